//! Walks one line from left to right. Every step ends at an ASCII character, and so between characters.

use std::borrow::Cow;

use super::series::unescape;

/// What is left of a line.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        Self { rest: line }
    }

    pub(crate) fn rest(self) -> &'a str {
        self.rest
    }

    pub(crate) fn peek(self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Takes one byte if it is `wanted`, which is ASCII.
    pub(crate) fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    /// Takes so many bytes; nothing where there are fewer, or they end within a character.
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    /// Takes everything up to the next blank.
    pub(crate) fn token(&mut self) -> &'a str {
        self.take_while(|byte| !is_blank(byte))
    }

    /// Takes an unquoted label name; empty where none begins here.
    pub(crate) fn label_name(&mut self) -> &'a str {
        match self.peek() {
            Some(byte) if is_label_byte(byte) && !byte.is_ascii_digit() => self.take_while(is_label_byte),
            _ => "",
        }
    }

    /// Takes an unquoted metric name; empty where none begins here.
    pub(crate) fn metric_name(&mut self) -> &'a str {
        match self.peek() {
            Some(byte) if is_metric_byte(byte) && !byte.is_ascii_digit() => self.take_while(is_metric_byte),
            _ => "",
        }
    }

    /// Takes the name of a family, quoted or not.
    pub(crate) fn family_name(&mut self) -> Result<Cow<'a, str>, String> {
        let name = match self.quoted()? {
            Some(raw) => unescape(raw),
            None => Cow::Borrowed(self.metric_name()),
        };
        if name.is_empty() { Err("metric name is missing".to_owned()) } else { Ok(name) }
    }

    /// Takes a quoted text, if one begins here, and gives what is between the quotes, still escaped.
    pub(crate) fn quoted(&mut self) -> Result<Option<&'a str>, &'static str> {
        if !self.eat(b'"') {
            return Ok(None);
        }
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        loop {
            let tail = bytes.get(at..).unwrap_or_default();
            let found = memchr::memchr2(b'"', b'\\', tail).ok_or("quoted text does not end")?;
            at += found;
            if bytes.get(at) == Some(&b'"') {
                let (text, tail) = self.rest.split_at_checked(at).unwrap_or_default();
                self.rest = tail.get(1..).unwrap_or_default();
                return Ok(Some(text));
            }
            // The escaped byte may begin a longer character, whose other bytes are neither quote nor backslash.
            at += 2;
        }
    }

    fn take_while(&mut self, mut wanted: impl FnMut(u8) -> bool) -> &'a str {
        let bytes = self.rest.as_bytes();
        let end = bytes.iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_metric_byte(byte: u8) -> bool {
    is_label_byte(byte) || byte == b':'
}
