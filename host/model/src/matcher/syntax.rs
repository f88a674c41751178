//! Regular expressions as Prometheus knows them, Go's RE2 syntax, in the syntax of the engine that runs them here.
//!
//! Both look alike, but not everything means the same: `\d` and `\w` are ASCII there, `[a&&b]` is a list of characters, a
//! brace that counts nothing stands for itself, and `\Q` quotes. What is no expression is told in Go's words.

use std::fmt::Write as _;

/// An expression may repeat something so many times at most.
const REPEATS_MAX: u32 = 1000;

/// Translates an expression.
///
/// # Errors
/// What is wrong with it, for people.
pub(super) fn translated(pattern: &str) -> Result<String, String> {
    let mut translator = Translator {
        pattern,
        at: 0,
        out: String::with_capacity(pattern.len() + 8),
        open: 0,
        repeatable: false,
        names: Vec::new(),
    };
    translator.all()?;
    Ok(translator.out)
}

fn fault<T>(what: &str, where_: &str) -> Result<T, String> {
    Err(format!("error parsing regexp: {what}: `{where_}`"))
}

const BAD_RANGE: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const NO_ARGUMENT: &str = "missing argument to repetition operator";
const NO_PARENTHESIS: &str = "missing closing )";

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

struct Translator<'p> {
    pattern: &'p str,
    at: usize,
    out: String,
    /// Groups that are open.
    open: usize,
    /// Whether there is something before that can be repeated.
    repeatable: bool,
    /// Names of groups so far; a second group of a name goes without.
    names: Vec<&'p str>,
}

impl<'p> Translator<'p> {
    fn rest(&self) -> &'p str {
        self.pattern.get(self.at..).unwrap_or("")
    }

    fn from(&self, start: usize) -> &'p str {
        self.pattern.get(start..self.at).unwrap_or("")
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn all(&mut self) -> Result<(), String> {
        let mut repeated_from = None;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            let is_repeat = match c {
                '*' | '+' | '?' => {
                    self.at += 1;
                    true
                }
                '{' => self.counts()?,
                _ => false,
            };
            if is_repeat {
                self.repeat(start, repeated_from)?;
                repeated_from = Some(start);
                continue;
            }
            repeated_from = None;
            self.one(c)?;
        }
        if self.open > 0 { fault(NO_PARENTHESIS, self.pattern) } else { Ok(()) }
    }

    /// Takes `{n}`, `{n,}` or `{n,m}`; anything else behind a brace leaves it a character.
    fn counts(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let Some((inner, _)) = rest[1..].split_once('}') else { return Ok(false) };
        let (least, most) = match inner.split_once(',') {
            None => (inner, Some(inner)),
            Some((least, "")) => (least, None),
            Some((least, most)) => (least, Some(most)),
        };
        let is_number = |text: &str| {
            let canonical = text.len() == 1 || !text.starts_with('0');
            !text.is_empty() && canonical && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !is_number(least) || !most.is_none_or(is_number) {
            return Ok(false);
        }
        let count = |text: &str| text.parse().unwrap_or(u32::MAX);
        let (least, most) = (count(least), most.map(count));
        self.at += inner.len() + 2;
        if least > REPEATS_MAX || most.is_some_and(|most| most > REPEATS_MAX || most < least) {
            return fault(
                "invalid repeat count",
                self.pattern.get(self.at - inner.len() - 2..self.at).unwrap_or(""),
            );
        }
        Ok(true)
    }

    /// A repetition that starts at `start`, where the one before, if it is right before, started at `before`.
    fn repeat(&mut self, start: usize, before: Option<usize>) -> Result<(), String> {
        if self.rest().starts_with('?') {
            self.at += 1;
        }
        if let Some(before) = before {
            return fault("invalid nested repetition operator", self.from(before));
        }
        if !self.repeatable {
            return fault(NO_ARGUMENT, self.from(start));
        }
        let text = self.from(start);
        self.out.push_str(text);
        Ok(())
    }

    fn one(&mut self, c: char) -> Result<(), String> {
        match c {
            '(' => return self.group(),
            '|' => {
                self.at += 1;
                self.repeatable = false;
                self.out.push('|');
                return Ok(());
            }
            ')' => {
                let Some(open) = self.open.checked_sub(1) else {
                    return fault("unexpected )", self.pattern);
                };
                self.open = open;
                self.at += 1;
                self.out.push(')');
            }
            '[' => self.class()?,
            '^' | '$' | '.' => {
                self.at += 1;
                self.out.push(c);
            }
            '\\' => return self.backslash(),
            c => {
                self.at += c.len_utf8();
                self.literal(c);
            }
        }
        self.repeatable = true;
        Ok(())
    }

    fn literal(&mut self, c: char) {
        if c.is_alphanumeric() || c == '_' {
            self.out.push(c);
        } else {
            let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c));
        }
    }

    fn group(&mut self) -> Result<(), String> {
        let rest = self.rest();
        if !rest.starts_with("(?") {
            self.at += 1;
            self.out.push('(');
            self.open += 1;
            self.repeatable = false;
            return Ok(());
        }
        let named = if rest.len() > 4 && rest.starts_with("(?P<") {
            Some(4)
        } else {
            (rest.len() > 3 && rest.starts_with("(?<")).then_some(3)
        };
        if let Some(skipped) = named {
            let Some(end) = rest.find('>') else { return fault("invalid named capture", rest) };
            let name = &rest[skipped..end];
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return fault("invalid named capture", &rest[..=end]);
            }
            self.at += end + 1;
            // A name that starts with a digit is none in the other syntax.
            if self.names.contains(&name) || name.starts_with(|c: char| c.is_ascii_digit()) {
                self.out.push('(');
            } else {
                self.names.push(name);
                let _ = write!(self.out, "(?P<{name}>");
            }
            self.open += 1;
            self.repeatable = false;
            return Ok(());
        }
        self.flags()
    }

    /// `(?i)`, `(?i-s:` and their like. The last word on a flag holds; the other syntax wants each once.
    fn flags(&mut self) -> Result<(), String> {
        let start = self.at;
        self.at += 2;
        let (mut negated, mut any) = (false, false);
        let (mut on, mut off) = (String::new(), String::new());
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' => {
                    any = true;
                    on.retain(|flag| flag != c);
                    off.retain(|flag| flag != c);
                    if negated { &mut off } else { &mut on }.push(c);
                }
                '-' if !negated => (negated, any) = (true, false),
                ':' | ')' if !negated || any => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    // Without any flag there is nothing to set.
                    if c == ':' || any {
                        let _ = write!(self.out, "(?{on}{minus}{off}{c}");
                    }
                    if c == ':' {
                        self.open += 1;
                        self.repeatable = false;
                    }
                    return Ok(());
                }
                _ => return fault(BAD_PERL, self.from(start)),
            }
        }
        fault(BAD_PERL, self.from(start))
    }

    fn backslash(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let special = match rest.as_bytes().get(1) {
            Some(b'A') => Some("\\A"),
            Some(b'z') => Some("\\z"),
            Some(b'b') => Some("(?-u:\\b)"),
            Some(b'B') => Some("\\B"),
            Some(b'Q') => {
                self.quoted();
                return Ok(());
            }
            _ => None,
        };
        if let Some(special) = special {
            self.at += 2;
            self.out.push_str(special);
        } else if let Some(class) = self.shorthand()? {
            self.out.push_str(&class);
        } else {
            let c = self.escaped()?;
            self.literal(c);
        }
        self.repeatable = true;
        Ok(())
    }

    /// `\Q…\E`, or to the end.
    fn quoted(&mut self) {
        let rest = &self.rest()[2..];
        let (text, length) = match rest.find("\\E") {
            Some(end) => (&rest[..end], end + 4),
            None => (rest, rest.len() + 2),
        };
        self.repeatable |= !text.is_empty();
        text.chars().for_each(|c| self.literal(c));
        self.at += length;
    }

    /// `\d` and its like, and `\pN`, as a class of their own.
    fn shorthand(&mut self) -> Result<Option<String>, String> {
        let (start, rest) = (self.at, self.rest());
        let Some(letter) = rest.chars().nth(1) else { return Ok(None) };
        let class = match letter {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\f\\r ]",
            'S' => "[^\\t\\n\\f\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => {
                self.at += 2;
                return self.property(start, letter == 'P').map(Some);
            }
            _ => return Ok(None),
        };
        self.at += 2;
        Ok(Some(class.to_owned()))
    }

    fn property(&mut self, start: usize, negated: bool) -> Result<String, String> {
        let name = if self.rest().starts_with('{') {
            let Some(end) = self.rest().find('}') else {
                return fault(BAD_RANGE, self.pattern.get(start..).unwrap_or(""));
            };
            let name = &self.rest()[1..end];
            self.at += end + 1;
            name
        } else {
            let name = self.at;
            self.next();
            self.from(name)
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name, negated),
        };
        let class = format!("\\{}{{{name}}}", if negated { 'P' } else { 'p' });
        if regex::Regex::new(&class).is_err() {
            return fault(BAD_RANGE, self.from(start));
        }
        Ok(class)
    }

    /// A character behind a backslash, or written with its number.
    fn escaped(&mut self) -> Result<char, String> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.next() else { return fault("trailing backslash at end of expression", "") };
        let found = match c {
            '0'..='7' => {
                let is_octal = |c: char| c.is_digit(8);
                // A single digit would refer to a group, which is not known.
                if c != '0' && !self.rest().starts_with(is_octal) { None } else { self.octal(c) }
            }
            'x' => self.hexadecimal(),
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        match found {
            Some(c) => Ok(c),
            None => fault(BAD_ESCAPE, self.from(start)),
        }
    }

    fn octal(&mut self, first: char) -> Option<char> {
        let mut value = first.to_digit(8)?;
        for _ in 0..2 {
            let Some(digit) = self.rest().chars().next().and_then(|c| c.to_digit(8)) else { break };
            self.at += 1;
            value = value * 8 + digit;
        }
        char::from_u32(value)
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let first = self.next()?;
        if first != '{' {
            let second = self.next();
            return char::from_u32(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let (mut value, mut digits) = (0_u32, 0);
        loop {
            let c = self.next()?;
            if c == '}' {
                return if digits > 0 { char::from_u32(value) } else { None };
            }
            value = value.checked_mul(16)? + c.to_digit(16)?;
            if value > u32::from(char::MAX) {
                return None;
            }
            digits += 1;
        }
    }

    fn class(&mut self) -> Result<(), String> {
        let whole = self.rest();
        self.at += 1;
        self.out.push('[');
        if self.rest().starts_with('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            if self.posix()? {
                continue;
            }
            if self.rest().starts_with('\\')
                && let Some(class) = self.shorthand()?
            {
                self.out.push_str(&class);
                continue;
            }
            let start = self.at;
            let low = self.class_char(whole)?;
            let mut high = low;
            if self.rest().starts_with('-') && self.rest().len() >= 2 && !self.rest().starts_with("-]") {
                self.at += 1;
                high = self.class_char(whole)?;
                if high < low {
                    return fault(BAD_RANGE, self.from(start));
                }
            }
            let _ = write!(self.out, "\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high));
        }
        self.at += 1;
        self.out.push(']');
        Ok(())
    }

    fn class_char(&mut self, whole: &str) -> Result<char, String> {
        if self.rest().starts_with('\\') {
            return self.escaped();
        }
        match self.next() {
            Some(c) => Ok(c),
            None => fault("missing closing ]", whole),
        }
    }

    /// `[:alpha:]` within a class.
    fn posix(&mut self) -> Result<bool, String> {
        let rest = self.rest();
        let Some(end) = rest.strip_prefix("[:").and_then(|inner| inner.find(":]")) else {
            return Ok(false);
        };
        let (text, name) = (&rest[..end + 4], &rest[2..end + 2]);
        if !POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return fault(BAD_RANGE, text);
        }
        self.at += text.len();
        self.out.push_str(text);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::translated;

    fn matches(pattern: &str, text: &str) -> bool {
        regex::Regex::new(&format!("^(?s:{})$", translated(pattern).unwrap())).unwrap().is_match(text)
    }

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, yes, no) in [
            ("\\d+", "12", "\u{663}"),
            ("\\w", "a", "é"),
            ("[^\\d\\s]", "a", "1"),
            ("[a&&b]", "&", "c"),
            ("[+--]", ",", "a"),
            ("[[:alpha:]]+", "ab", "1"),
            ("[]a]", "]", "b"),
            ("a{,2}", "a{,2}", "aa"),
            ("{", "{", "x"),
            ("a{2}", "aa", "a"),
            ("\\Qa.b\\E+", "a.bb", "axb"),
            ("(?i)ab(?-i)c", "ABc", "ABC"),
            ("(?P<n>x)(?P<n>y)", "xy", "x"),
            ("\\x41\\x{42}\\103", "ABC", "abc"),
            ("\\pL\\PL", "a1", "1a"),
            ("a#b c", "a#b c", "ab"),
            ("(?)a", "a", "b"),
            ("(?ii)a", "A", "b"),
            ("(?i-i)a", "a", "A"),
            ("(?-i)(?i:a(?s-s).)", "Ab", "A\n"),
        ] {
            assert!(matches(pattern, yes), "{pattern} and {yes}");
            assert!(!matches(pattern, no), "{pattern} and {no}");
        }
    }

    #[test]
    fn faults_are_told_in_the_words_of_go() {
        for (pattern, fault) in [
            ("(", "missing closing ): `(`"),
            ("a)b", "unexpected ): `a)b`"),
            ("[a", "missing closing ]: `[a`"),
            ("[b-a]", "invalid character class range: `b-a`"),
            ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2,1}", "invalid repeat count: `{2,1}`"),
            ("\\", "trailing backslash at end of expression: ``"),
            ("\\8", "invalid escape sequence: `\\8`"),
            ("\\p{Nope}", "invalid character class range: `\\p{Nope}`"),
            ("x(?=y)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?<!y)x", "invalid named capture: `(?<!y)x`"),
        ] {
            assert_eq!(translated(pattern), Err(format!("error parsing regexp: {fault}")));
        }
    }

    proptest! {
        #[test]
        fn what_is_translated_can_be_read(pattern in "[a-c0-3(){}\\[\\]|*+?.^$\\\\dwspQExiU:,<>PL&~ -]{0,24}") {
            if let Ok(text) = translated(&pattern) {
                let size = "size limit";
                if let Err(error) = regex::Regex::new(&text) {
                    prop_assert!(error.to_string().contains(size), "{pattern}: {text}: {error}");
                }
            }
        }
    }
}
