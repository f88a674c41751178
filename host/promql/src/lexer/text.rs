//! Quoting as Go does it, and what quoted strings hold.

use std::fmt::Write as _;

/// Quotes bytes as Go's `%q` does, which every error text of Prometheus goes through.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c, '"'));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// Quotes a character as Go's `%q` does.
pub(crate) fn quote_char(c: char) -> String {
    let mut out = String::from("'");
    push(&mut out, c, '\'');
    out.push('\'');
    out
}

fn push(out: &mut String, c: char, mark: char) {
    match c {
        c if c == mark || c == '\\' => out.extend(['\\', c]),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\u{b}' => out.push_str("\\v"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if is_printable(c) => out.push(c),
        c if u32::from(c) <= 0xffff => {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => {
            let _ = write!(out, "\\U{:08x}", u32::from(c));
        }
    }
}

/// Whether a character is shown as it is. Marks that join the letter before them are.
fn is_printable(c: char) -> bool {
    // Behind a letter, which they then belong to, marks are not escaped.
    let shown: String = ['a', c].iter().collect();
    matches!(c, ' ' | '"' | '\'') || !c.is_whitespace() && shown.escape_debug().count() == 2
}

/// Reads a quoted string at the start of `text`: its content, and how many bytes it took.
pub(crate) fn unquote_prefix(text: &str, mark: char) -> Result<(Vec<u8>, usize), String> {
    let raw = mark == '`';
    let mut content = Vec::new();
    let mut chars = text.char_indices().skip(1);
    loop {
        match chars.next() {
            None if raw => return Err("unterminated raw string".to_owned()),
            None => return Err("unterminated quoted string".to_owned()),
            Some((_, '\n')) if !raw => return Err("unterminated quoted string".to_owned()),
            Some((at, c)) if c == mark => return Ok((content, at + 1)),
            // It is what Go takes for a broken encoding.
            Some((_, char::REPLACEMENT_CHARACTER)) => return Err("invalid UTF-8 rune".to_owned()),
            Some((_, '\\')) if !raw => {
                let mut next = || chars.next().map(|(_, c)| c);
                escape(&mut next, mark, &mut content)?;
            }
            Some((_, c)) => content.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Reads what follows a backslash.
fn escape(next: &mut dyn FnMut() -> Option<char>, mark: char, content: &mut Vec<u8>) -> Result<(), String> {
    let unterminated = || "escape sequence not terminated".to_owned();
    let first = next().ok_or_else(unterminated)?;
    let (count, radix, value) = match first {
        'a' => return simple(content, 7),
        'b' => return simple(content, 8),
        'f' => return simple(content, 12),
        'n' => return simple(content, b'\n'),
        'r' => return simple(content, b'\r'),
        't' => return simple(content, b'\t'),
        'v' => return simple(content, 11),
        '\\' => return simple(content, b'\\'),
        c if c == mark => {
            content.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        '0'..='7' => (2, 8, first.to_digit(8).unwrap_or(0)),
        'x' => (2, 16, 0),
        'u' => (4, 16, 0),
        'U' => (8, 16, 0),
        other => return Err(format!("unknown escape sequence {}", describe(other))),
    };
    let mut value = u64::from(value);
    for _ in 0..count {
        let digit = next().ok_or_else(unterminated)?;
        let Some(found) = digit.to_digit(radix) else {
            return Err(format!("illegal character {} in escape sequence", describe(digit)));
        };
        value = value * u64::from(radix) + u64::from(found);
    }
    let is_byte = !matches!(first, 'u' | 'U');
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    if is_byte {
        content.push(u8::try_from(value).map_err(|_| invalid())?);
    } else {
        let c = u32::try_from(value).ok().and_then(char::from_u32).ok_or_else(invalid)?;
        content.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(())
}

fn simple(content: &mut Vec<u8>, byte: u8) -> Result<(), String> {
    content.push(byte);
    Ok(())
}

/// `U+0041 'A'`, as Go's `%#U` does.
fn describe(c: char) -> String {
    let code = format!("U+{:04X}", u32::from(c));
    if is_printable(c) { format!("{code} '{c}'") } else { code }
}
