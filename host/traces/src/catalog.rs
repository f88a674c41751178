//! What names occur in a segment: services with their operations, tags with their values.
//!
//! Kept as spans are appended, since lists for completion are asked for far more often than a scan could be
//! paid. Bounded: past a limit the lists are incomplete, searches are not.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ahash::{AHashMap, AHashSet};
use model::span::{Attribute, AttributeValue, Resource, Span};

use crate::encoding::{Cursor, Decoded, Malformed, put_text, put_varint};

/// Values remembered per tag and segment: enough for a completion list, too few for ids to fill the memory.
const VALUES_MAX: usize = 256;
/// Longer values (statements, stack traces) help nobody in a list.
const VALUE_BYTES_MAX: usize = 128;
/// Tags remembered per segment; OpenTelemetry's conventions name a few hundred.
const TAGS_MAX: usize = 1024;
/// Services remembered per segment.
const SERVICES_MAX: usize = 4096;
/// Operations remembered per service and segment; more means that names carry ids.
const OPERATIONS_MAX: usize = 2048;

/// Where a tag stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagScope {
    /// On the resource a span comes from.
    Resource,
    /// On the span itself.
    Span,
    /// Part of every span: its name, its status and so on.
    Intrinsic,
}

impl TagScope {
    /// Tempo's name for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::Span => "span",
            Self::Intrinsic => "intrinsic",
        }
    }
}

/// What kind of value a tag has, under Tempo's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TagKind {
    /// Text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// True or false.
    Bool,
    /// A word of TraceQL, such as `error`.
    Keyword,
}

const KINDS: [TagKind; 4] = [TagKind::String, TagKind::Int, TagKind::Float, TagKind::Bool];

/// One value of a tag, as `/api/v2/search/tag/{tag}/values` gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct TagValue {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: TagKind,
    /// Its text.
    pub value: String,
}

/// The names of one segment.
#[derive(Default, Debug, PartialEq)]
pub(crate) struct Catalog {
    operations: AHashMap<String, AHashSet<String>>,
    resource: Tags,
    span: Tags,
}

/// Tags of one scope, each with its values by kind.
#[derive(Default, Debug, PartialEq)]
struct Tags(AHashMap<String, [AHashSet<String>; KINDS.len()]>);

impl Catalog {
    /// Remembers a span's own names; its resource is told apart, once for many spans.
    pub(crate) fn add_span(&mut self, span: &Span, service: &str) {
        if let Some(operations) = entry(&mut self.operations, service, SERVICES_MAX)
            && operations.len() < OPERATIONS_MAX
            && !operations.contains(&span.name)
        {
            operations.insert(span.name.clone());
        }
        self.span.add(&span.attributes);
    }

    pub(crate) fn add_resource(&mut self, resource: &Resource) {
        self.resource.add(&resource.attributes);
    }

    /// Whether some span may come from `service`; wrong only towards yes.
    pub(crate) fn may_have_service(&self, service: &str) -> bool {
        self.operations.len() >= SERVICES_MAX
            || service.len() > VALUE_BYTES_MAX
            || self.operations.contains_key(service)
    }

    pub(crate) fn services(&self, into: &mut BTreeSet<String>) {
        into.extend(self.operations.keys().cloned());
    }

    pub(crate) fn operations(&self, service: &str, into: &mut BTreeSet<String>) {
        into.extend(self.operations.get(service).into_iter().flatten().cloned());
    }

    pub(crate) fn all_operations(&self, into: &mut BTreeSet<String>) {
        into.extend(self.operations.values().flatten().cloned());
    }

    pub(crate) fn tag_names(&self, scope: TagScope, into: &mut BTreeSet<String>) {
        if let Some(tags) = self.tags(scope) {
            into.extend(tags.0.keys().cloned());
        }
    }

    pub(crate) fn tag_values(&self, scope: TagScope, tag: &str, into: &mut BTreeSet<TagValue>) {
        let Some(values) = self.tags(scope).and_then(|tags| tags.0.get(tag)) else { return };
        for (kind, values) in KINDS.iter().zip(values) {
            into.extend(values.iter().map(|value| TagValue { kind: *kind, value: value.clone() }));
        }
    }

    const fn tags(&self, scope: TagScope) -> Option<&Tags> {
        match scope {
            TagScope::Resource => Some(&self.resource),
            TagScope::Span => Some(&self.span),
            TagScope::Intrinsic => None,
        }
    }

    /// Appends the bytes that [`Catalog::decode`] reads, the same for equal catalogs:
    /// `count { service count { operation } }`, then for resources and for spans
    /// `count { tag 4 x (count { value }) }`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let operations: BTreeMap<_, _> = self.operations.iter().collect();
        put_varint(out, operations.len() as u64);
        for (service, operations) in operations {
            put_text(out, service);
            put_set(out, operations);
        }
        for tags in [&self.resource, &self.span] {
            let tags: BTreeMap<_, _> = tags.0.iter().collect();
            put_varint(out, tags.len() as u64);
            for (tag, kinds) in tags {
                put_text(out, tag);
                kinds.iter().for_each(|values| put_set(out, values));
            }
        }
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Decoded<Self> {
        let mut catalog = Self::default();
        for _ in 0..cursor.count(2)? {
            let service = cursor.text()?.to_owned();
            catalog.operations.insert(service, take_set(cursor)?);
        }
        for tags in [&mut catalog.resource, &mut catalog.span] {
            for _ in 0..cursor.count(1 + KINDS.len())? {
                let tag = cursor.text()?.to_owned();
                let mut kinds = <[AHashSet<String>; KINDS.len()]>::default();
                for values in &mut kinds {
                    *values = take_set(cursor)?;
                }
                if tags.0.insert(tag, kinds).is_some() {
                    return Err(Malformed("tag listed twice"));
                }
            }
        }
        Ok(catalog)
    }
}

impl Tags {
    fn add(&mut self, attributes: &[Attribute]) {
        let mut number = String::new();
        for Attribute { key, value } in attributes {
            let Some([strings, ints, floats, bools]) = entry(&mut self.0, key, TAGS_MAX) else { continue };
            let (values, text) = match value {
                AttributeValue::String(text) => (strings, text.as_str()),
                AttributeValue::Bool(true) => (bools, "true"),
                AttributeValue::Bool(false) => (bools, "false"),
                AttributeValue::Int(_) | AttributeValue::Double(_) => {
                    number.clear();
                    let _ = write!(number, "{value}");
                    (if matches!(value, AttributeValue::Int(_)) { ints } else { floats }, number.as_str())
                }
                _ => continue,
            };
            if values.len() >= VALUES_MAX || text.len() > VALUE_BYTES_MAX {
                continue;
            }
            if !values.contains(text) {
                values.insert(text.to_owned());
            }
        }
    }
}

/// The entry of `key`, made where there is room for one more.
fn entry<'a, V: Default>(
    map: &'a mut AHashMap<String, V>,
    key: &str,
    entries_max: usize,
) -> Option<&'a mut V> {
    if !map.contains_key(key) {
        if map.len() >= entries_max || key.len() > VALUE_BYTES_MAX {
            return None;
        }
        map.insert(key.to_owned(), V::default());
    }
    map.get_mut(key)
}

fn put_set(out: &mut Vec<u8>, set: &AHashSet<String>) {
    let sorted: BTreeSet<_> = set.iter().collect();
    put_varint(out, sorted.len() as u64);
    sorted.into_iter().for_each(|text| put_text(out, text));
}

fn take_set(cursor: &mut Cursor<'_>) -> Decoded<AHashSet<String>> {
    let count = cursor.count(1)?;
    (0..count).map(|_| cursor.text().map(str::to_owned)).collect()
}
