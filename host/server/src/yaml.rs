//! Reading YAML so that every complaint names file, line and key.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_saphyr::Location;

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileError {
    path: PathBuf,
    /// Line and column from 1, where the complaint is about a place.
    place: Option<(u64, u64)>,
    /// The key that the place belongs to.
    key: Option<String>,
    what: String,
    /// What else is wrong with the file.
    more: Vec<FileError>,
}

impl FileError {
    /// A complaint about the file as a whole.
    pub(crate) fn whole(path: &Path, what: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), place: None, key: None, what: what.to_string(), more: Vec::new() }
    }

    /// A complaint about one place; `key` says which setting.
    pub(crate) fn at(path: &Path, location: Location, key: &str, what: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            place: Some((location.line(), location.column())),
            key: Some(key.to_owned()),
            what: what.to_string(),
            more: Vec::new(),
        }
    }

    /// The line that the complaint is about, from 1.
    pub(crate) const fn line(&self) -> Option<u64> {
        match self.place {
            Some((line, _)) => Some(line),
            None => None,
        }
    }

    /// The same, with other complaints about the same file behind it.
    pub(crate) fn with_more(self, more: Vec<Self>) -> Self {
        Self { more, ..self }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.what)?;
        self.more.iter().try_for_each(|error| write!(f, "\n{error}"))
    }
}

impl std::error::Error for FileError {}

/// Reads one document.
pub(crate) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|location| (location.line(), location.column()));
        // The plain text repeats the place; we say it in front, as compilers do.
        let full = error.without_snippet().to_string();
        let what = full.rsplit_once(" at line ").map_or(full.as_str(), |(what, _)| what);
        let key = place.and_then(|(line, column)| key_at(text, line, column));
        FileError { path: path.to_owned(), place, key, what: what.to_owned(), more: Vec::new() }
    })
}

/// The dotted keys that lead to a place in a block-style document, for example `global.scrape_interval`.
fn key_at(text: &str, line: u64, column: u64) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(usize::try_from(line).ok()?).collect();
    let (last, above) = lines.split_last()?;
    let before: String = last.chars().take(usize::try_from(column).ok()?.saturating_sub(1)).collect();
    // A complaint about a value stands behind its key; one about a key stands at the key itself.
    let own = key_of(&before).or_else(|| key_of(last))?;
    let mut path = vec![own.1];
    let mut depth = own.0;
    for text in above.iter().rev() {
        if let Some((indent, key)) = key_of(text)
            && indent < depth
        {
            path.push(key);
            depth = indent;
        }
    }
    path.reverse();
    Some(path.join("."))
}

/// The key that a line begins with, and how far it is indented; list dashes count as indentation.
fn key_of(line: &str) -> Option<(usize, &str)> {
    let content = line.trim_start_matches([' ', '-']);
    let (key, rest) = content.split_once(':')?;
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-. ".contains(c));
    (plain && (rest.is_empty() || rest.starts_with([' ', '\r']))).then_some((line.len() - content.len(), key))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors matter here")]
    struct Outer {
        #[serde(default)]
        global: Inner,
        #[serde(default)]
        items: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        interval: model::ConfigDuration,
        names: Vec<String>,
    }

    fn check(text: &str, expected: &Expect) {
        let error = parse::<Outer>(Path::new("a.yml"), text).unwrap_err();
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn complaints_name_file_line_and_key() {
        check(
            "global:\n  interval: 5x\n",
            &expect![[r#"a.yml:2:13: global.interval: unknown unit "x" in duration "5x""#]],
        );
        check(
            "items:\n  - names: [a]\n    intervall: 5s\n",
            &expect![
                "a.yml:3:5: items.intervall: unknown field `intervall`, expected one of interval, names"
            ],
        );
        check("items:\n  - names: {a: b}\n", &expect!["a.yml:2:12: items.names: expected sequence start"]);
        check("items: [\n", &expect!["a.yml:1:8: items: unclosed bracket '['"]);
    }
}
