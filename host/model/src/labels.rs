//! Label sets: what names a series.
//!
//! A set is one byte span: for each pair, in order of its name, a varint length and the name, then a varint
//! length and the value. Names are unique, values are never empty (an empty value means that the label is not
//! there), all text is UTF-8. Two sets are equal exactly where their spans are.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// A sorted, immutable set of labels; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Labels(Arc<[u8]>);

/// Why bytes are no label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A length runs past the end.
    #[error("label set ends in the middle of a label")]
    Truncated,
    /// Some name or value is not UTF-8.
    #[error("label set is not UTF-8")]
    NotUtf8,
    /// Names are not strictly increasing.
    #[error("label names are not in strictly increasing order")]
    Unsorted,
    /// A name or a value of length zero.
    #[error("label set holds an empty name or value")]
    Empty,
}

impl Labels {
    /// The set without labels.
    pub fn empty() -> Self {
        Self(Arc::from([]))
    }

    /// Builds a set from pairs in any order; the last of equal names wins, empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds a set from pairs that are sorted by name, without a builder's copies: for decoders, where most
    /// senders sort already. Empty values are left out.
    ///
    /// # Errors
    /// [`LabelsError::Unsorted`] where a name is not greater than the one before, [`LabelsError::Empty`] where
    /// a name is empty.
    pub fn from_sorted<N: AsRef<str>, V: AsRef<str>>(pairs: &[(N, V)]) -> Result<Self, LabelsError> {
        let size = pairs.iter().map(|(n, v)| n.as_ref().len() + v.as_ref().len() + 4).sum();
        let mut bytes = Vec::with_capacity(size);
        let mut previous: Option<&str> = None;
        for (name, value) in pairs {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.is_empty() {
                return Err(LabelsError::Empty);
            }
            if previous.is_some_and(|p| p >= name) {
                return Err(LabelsError::Unsorted);
            }
            previous = Some(name);
            if !value.is_empty() {
                put(&mut bytes, name);
                put(&mut bytes, value);
            }
        }
        Ok(Self(bytes.into()))
    }

    /// Takes an encoded span, for example from a log or a block.
    ///
    /// # Errors
    /// [`LabelsError`] where the span is not one that this type would have written.
    pub fn from_encoded<'a>(bytes: &'a [u8]) -> Result<Self, LabelsError> {
        // Looked at once for the whole span, since nearly all spans are: each text by itself takes several times as long.
        let ascii = bytes.is_ascii();
        let text = |rest: &mut &'a [u8]| {
            let text = take(rest)?;
            if ascii || std::str::from_utf8(text).is_ok() { Ok(text) } else { Err(LabelsError::NotUtf8) }
        };
        let mut previous: Option<&[u8]> = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (name, value) = (text(&mut rest)?, text(&mut rest)?);
            if name.is_empty() || value.is_empty() {
                return Err(LabelsError::Empty);
            }
            if previous.is_some_and(|p| p >= name) {
                return Err(LabelsError::Unsorted);
            }
            previous = Some(name);
        }
        Ok(Self(Arc::from(bytes)))
    }

    /// The encoded span.
    pub fn as_encoded(&self) -> &[u8] {
        &self.0
    }

    /// The pairs, in order of their names.
    pub fn iter(&self) -> LabelIter<'_> {
        LabelIter(&self.0)
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        // Names are sorted: what is not there is missed early.
        let entry = self.entries().find(|entry| entry.name >= name.as_bytes())?;
        if entry.name == name.as_bytes() { std::str::from_utf8(entry.value).ok() } else { None }
    }

    /// The metric's name.
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// How many labels there are.
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A builder that starts from this set.
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder { pairs: self.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect() }
    }

    /// This set without the labels that `drop` says yes to.
    #[must_use]
    pub fn without(&self, mut drop: impl FnMut(&str) -> bool) -> Self {
        self.filtered(|name| !drop(name))
    }

    /// This set with only the labels that `keep` says yes to.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        self.project(|name| std::str::from_utf8(name).is_ok_and(&mut keep), &mut bytes);
        Self(bytes.into())
    }

    /// Appends the encoded span of the set with only the labels to whose names, in bytes, `keep` says yes: for keys
    /// of groups, of which there are far fewer than of series.
    pub fn project(&self, mut keep: impl FnMut(&[u8]) -> bool, span: &mut Vec<u8>) {
        for entry in self.entries() {
            if keep(entry.name) {
                span.extend_from_slice(entry.span);
            }
        }
    }

    /// The pairs, in order of their names, as the bytes of their texts: for indexes, which compare far more than they read.
    pub fn as_bytes(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries().map(Entry::pair)
    }

    /// The set of what [`Labels::project`] leaves, put together in `scratch`, which saves an allocation for each of many.
    #[must_use]
    pub fn projected(&self, keep: impl FnMut(&[u8]) -> bool, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        self.project(keep, scratch);
        Self(scratch.as_slice().into())
    }

    fn entries(&self) -> Entries<'_> {
        Entries(&self.0)
    }

    /// This set with `name` set to `value`; an empty value removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut builder = self.to_builder();
        builder.set(name, value);
        builder.build()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// By the first pair that differs, names before values; a set that is a prefix of another comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (&*self.0, &*other.0);
        // Sets that are compared mostly begin alike: up to the first byte that differs, fields need not be looked at. What
        // differs is the first field that reaches beyond it, and text is ordered as its bytes are.
        let common = common_bytes(a, b);
        let (mut rest, mut at) = (a, 0);
        loop {
            if at == a.len() || at == b.len() {
                return a.len().cmp(&b.len());
            }
            let text = take(&mut rest).unwrap_or_default();
            let end = a.len() - rest.len();
            if end > common {
                let other = take(&mut &b[at..]).unwrap_or_default();
                return text.cmp(other);
            }
            at = end;
        }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As PromQL writes it: `name{label="value"}`; a name or label that is not a classic identifier is quoted, and
/// such a metric name moves inside the braces.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare = name.filter(|n| is_identifier(n, true));
        f.write_str(bare.unwrap_or(""))?;
        let mut first = true;
        let mut open = |f: &mut fmt::Formatter<'_>| -> fmt::Result {
            f.write_str(if std::mem::take(&mut first) { "{" } else { ", " })
        };
        if let (Some(name), None) = (name, bare) {
            open(f)?;
            write_quoted(f, name)?;
        }
        for (label, value) in self.iter().filter(|(n, _)| *n != METRIC_NAME) {
            open(f)?;
            if is_identifier(label, false) {
                f.write_str(label)?;
            } else {
                write_quoted(f, label)?;
            }
            f.write_str("=")?;
            write_quoted(f, value)?;
        }
        if !first {
            f.write_str("}")
        } else if bare.is_none() {
            f.write_str("{}")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelIter<'a>;

    fn into_iter(self) -> LabelIter<'a> {
        self.iter()
    }
}

/// The pairs of a set, in order of their names.
#[derive(Clone)]
pub struct LabelIter<'a>(&'a [u8]);

impl<'a> Iterator for LabelIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // The span was checked or written by this module, so that nothing is found wrong here.
        let name = take_checked(&mut self.0).ok()?;
        let value = take_checked(&mut self.0).ok()?;
        Some((name, value))
    }
}

/// One label in the span of a set, as bytes.
#[derive(Clone, Copy)]
struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Both with their lengths.
    span: &'a [u8],
}

impl<'a> Entry<'a> {
    fn pair(self) -> (&'a [u8], &'a [u8]) {
        (self.name, self.value)
    }
}

/// The labels of a set without a look at whether they are text: the span was checked or written by this module.
#[derive(Clone)]
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let all = self.0;
        let name = take(&mut self.0).ok()?;
        let value = take(&mut self.0).ok()?;
        Some(Entry { name, value, span: &all[..all.len() - self.0.len()] })
    }
}

/// Collects labels in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Sorted by name, names unique, values not empty.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// A builder without labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
            Ok(at) if value.is_empty() => {
                self.pairs.remove(at);
            }
            Ok(at) => value.clone_into(&mut self.pairs[at].1),
            Err(_) if value.is_empty() || name.is_empty() => {}
            Err(at) => self.pairs.insert(at, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value set so far.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.pairs.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok()?;
        Some(&self.pairs[at].1)
    }

    /// The pairs set so far, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The finished set.
    pub fn build(&self) -> Labels {
        let size = self.pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
        let mut bytes = Vec::with_capacity(size);
        for (name, value) in &self.pairs {
            put(&mut bytes, name);
            put(&mut bytes, value);
        }
        Labels(bytes.into())
    }
}

/// How many bytes two spans have in common at their start.
fn common_bytes(a: &[u8], b: &[u8]) -> usize {
    let (a_words, _) = a.as_chunks::<16>();
    let (b_words, _) = b.as_chunks::<16>();
    let words = a_words.iter().zip(b_words).take_while(|(a, b)| a == b).count() * 16;
    let rest = a[words..].iter().zip(&b[words..]).take_while(|(a, b)| a == b).count();
    words + rest
}

/// Whether `text` can stand unquoted: a metric name (which may hold colons) or a label name.
fn is_identifier(text: &str, colons: bool) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || (colons && c == ':'))
}

fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => fmt::Write::write_char(f, c)?,
        }
    }
    f.write_str("\"")
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(text.as_bytes());
}

fn take_checked<'a>(rest: &mut &'a [u8]) -> Result<&'a str, LabelsError> {
    std::str::from_utf8(take(rest)?).map_err(|_| LabelsError::NotUtf8)
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], LabelsError> {
    // Nearly all texts are shorter than this.
    if let Some((&length @ 0..0x80, tail)) = rest.split_first() {
        let (text, tail) = tail.split_at_checked(usize::from(length)).ok_or(LabelsError::Truncated)?;
        *rest = tail;
        return Ok(text);
    }
    let mut length = 0usize;
    let mut shift = 0;
    loop {
        let (&byte, tail) = rest.split_first().ok_or(LabelsError::Truncated)?;
        *rest = tail;
        length |= usize::from(byte & 0x7f).checked_shl(shift).ok_or(LabelsError::Truncated)?;
        if byte & 0x80 == 0 {
            // Lengths are written in their shortest form, so that equal sets have equal spans.
            if byte == 0 && shift > 0 {
                return Err(LabelsError::Truncated);
            }
            break;
        }
        shift += 7;
        if shift > 28 {
            return Err(LabelsError::Truncated);
        }
    }
    let (text, tail) = rest.split_at_checked(length).ok_or(LabelsError::Truncated)?;
    *rest = tail;
    Ok(text)
}

#[cfg(test)]
mod tests;
