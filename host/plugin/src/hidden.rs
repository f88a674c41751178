//! Secrets that a plugin has been given, or that were sent for it, as operators must not see them: what a guest logs, writes
//! to its standard error or answers as an error goes past here before anybody is shown it.
//!
//! A guest that prints its configuration when it fails means no harm, and a server that answers "no such token: ..." neither.
//! What is recognised is the secret as it is; one that a guest encodes or takes apart is not.

use std::collections::BTreeSet;

use parking_lot::Mutex;

/// Shorter ones are part of ordinary words, which would become unreadable, and nobody's secret.
const HIDDEN_BYTES_MIN: usize = 4;
/// What stands in a secret's place.
const PLACEHOLDER: &str = "<secret>";

/// The secrets of one plugin.
#[derive(Default)]
pub(crate) struct Hidden {
    values: Mutex<BTreeSet<String>>,
}

impl Hidden {
    /// From now on this is not to be seen, and neither are lines of it.
    pub(crate) fn add(&self, secret: &str) {
        let mut values = self.values.lock();
        for part in std::iter::once(secret).chain(secret.lines()) {
            if part.len() >= HIDDEN_BYTES_MIN && !values.contains(part) {
                values.insert(part.to_owned());
            }
        }
    }

    /// The text without secrets.
    pub(crate) fn redact(&self, mut text: String) -> String {
        let values = self.values.lock();
        let mut found: Vec<&String> = values.iter().filter(|value| text.contains(value.as_str())).collect();
        // One may be part of another, of which nothing may be left over.
        found.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in found {
            text = text.replace(value.as_str(), PLACEHOLDER);
        }
        text
    }

    /// The same for a text whose beginning may be missing, and with it that of a secret.
    pub(crate) fn redact_end(&self, text: String) -> String {
        let text = self.redact(text);
        let cut = self.values.lock().iter().filter_map(|value| remainder(value, &text)).max();
        match cut.and_then(|cut| text.get(cut..)) {
            Some(rest) => format!("{PLACEHOLDER}{rest}"),
            None => text,
        }
    }
}

/// The length of what a text begins with, where that is the end of a secret.
fn remainder(secret: &str, text: &str) -> Option<usize> {
    let ends = (1..=secret.len().saturating_sub(HIDDEN_BYTES_MIN)).filter_map(|from| secret.get(from..));
    ends.filter(|end| text.starts_with(end)).map(str::len).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_secret_in_it() {
        let hidden = Hidden::default();
        let shown = |text: &str| hidden.redact(text.to_owned());
        assert_eq!(shown("nothing is secret yet"), "nothing is secret yet");
        for secret in ["sesame", "open-sesame-now", "abc", "", "first line\nsecond line\n"] {
            hidden.add(secret);
        }
        for (text, expected) in [
            ("", ""),
            ("abc of sesam", "abc of sesam"),
            ("tried sesame, sesamesesame", "tried <secret>, <secret><secret>"),
            // The longer one first: no part of it is left.
            ("tried open-sesame-now", "tried <secret>"),
            ("the second line of it", "the <secret> of it"),
            ("first line\nsecond line\n", "<secret>"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn of_a_secret_that_was_cut_nothing_is_left() {
        let hidden = Hidden::default();
        hidden.add("pässwörd");
        for (text, expected) in [
            ("wörd: wrong", "<secret>: wrong"),
            ("sswörd", "<secret>"),
            ("pässwörd again", "<secret> again"),
            // Too little to tell from a word.
            ("rd: wrong", "rd: wrong"),
            ("word", "word"),
        ] {
            assert_eq!(hidden.redact_end(text.to_owned()), expected);
        }
    }
}
