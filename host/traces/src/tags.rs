//! Tag filters: `service.name=api http.status_code=500`, the older way to search, in logfmt.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::BTreeSet;

use model::span::StatusCode;

use crate::catalog::{TagKind, TagScope, TagValue};
use crate::error::TraceError;
use crate::query::{CompareOp, Condition, Field, Literal, SPAN_KINDS, STATUSES, kind_word, status_word};
use crate::store::TraceStore;
use crate::traceql::intrinsic;

/// One tag that some span of a trace must have.
#[derive(Clone, Debug)]
pub struct TagFilter {
    pub(crate) condition: Condition,
}

/// Parses `key=value` pairs between spaces; values may stand in double quotes.
///
/// A key is an attribute of a span or its resource, its value compared as text. `name`, `status` (or
/// `status.code`), `kind`, `root.name` and `root.service.name` mean the intrinsics, `error=true` a failed span.
///
/// # Errors
/// [`TraceError::InvalidQuery`].
pub fn parse_tags(text: &str) -> Result<Vec<TagFilter>, TraceError> {
    let mut filters = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let position = text.len() - rest.len();
        let invalid = |what: &str| TraceError::InvalidQuery { position, what: what.to_owned() };
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (key, tail) = rest.split_at(end);
        let tail = tail.strip_prefix('=').ok_or_else(|| invalid("expected key=value"))?;
        if key.is_empty() {
            return Err(invalid("expected a key before ="));
        }
        let (value, tail) = match tail.strip_prefix('"') {
            Some(quoted) => unquote(quoted).ok_or_else(|| invalid("value without a closing quote"))?,
            None => {
                let (value, tail) = tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len()));
                (value.to_owned(), tail)
            }
        };
        filters.push(TagFilter { condition: condition(key, value) });
        rest = tail.trim_start();
    }
    Ok(filters)
}

fn condition(key: &str, value: String) -> Condition {
    let compare =
        |field, value| Condition::Compare { field, op: CompareOp::Equal, literal: Literal::AnyText(value) };
    match key {
        "name" => compare(Field::Name, value),
        "status" | "status.code" => compare(Field::Status, value),
        "kind" => compare(Field::Kind, value),
        "root.name" => compare(Field::RootName, value),
        "root.service.name" => compare(Field::RootServiceName, value),
        "error" if value == "true" => Condition::Any(vec![
            compare(Field::Status, status_word(StatusCode::Error).to_owned()),
            compare(Field::Either(key.to_owned()), value),
        ]),
        _ => compare(Field::Either(key.to_owned()), value),
    }
}

/// The text up to the closing quote, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, quoted.get(at + 1..)?)),
            '\\' => out.push(chars.next()?.1),
            c => out.push(c),
        }
    }
    None
}

impl TraceStore {
    /// The values of a tag, named as queries write it (`resource.service.name`, `span.x`, `.x`, `status`) or
    /// without a scope (`service.name`). Rare values of tags with very many are missing.
    pub fn tag_values(&self, tag: &str) -> BTreeSet<TagValue> {
        let words = |kind, words: Vec<&str>| {
            words.into_iter().map(|word| TagValue { kind, value: word.to_owned() }).collect()
        };
        let texts = |texts: BTreeSet<String>| {
            texts.into_iter().map(|value| TagValue { kind: TagKind::String, value }).collect()
        };
        match intrinsic(tag) {
            Some(Field::Status) => return words(TagKind::Keyword, STATUSES.map(status_word).to_vec()),
            Some(Field::Kind) => return words(TagKind::Keyword, SPAN_KINDS.map(kind_word).to_vec()),
            Some(Field::Name | Field::RootName) => return texts(self.operations(None)),
            Some(Field::RootServiceName) => return texts(self.services()),
            Some(_) => return BTreeSet::new(),
            None => {}
        }
        if let Some(name) = tag.strip_prefix("resource.") {
            return self.attribute_values(TagScope::Resource, name);
        }
        if let Some(name) = tag.strip_prefix("span.") {
            return self.attribute_values(TagScope::Span, name);
        }
        let name = tag.strip_prefix('.').unwrap_or(tag);
        let mut values = self.attribute_values(TagScope::Span, name);
        values.append(&mut self.attribute_values(TagScope::Resource, name));
        values
    }
}
