//! Numbers and durations: how far they reach, what they are, and what is wrong with them, in the words of Go's `strconv`.

/// How many bytes at the start of `rest` a number takes, and whether it is a duration. `Err` where it is neither, with how
/// many bytes it took to find out.
pub(super) fn length(rest: &str) -> Result<(usize, bool), usize> {
    let mut scan = Scan { bytes: rest.as_bytes(), at: 0 };
    if scan.number() && !scan.peek().is_some_and(is_alphanumeric) {
        return Ok((scan.at, false));
    }
    if scan.duration() { Ok((scan.at, true)) } else { Err(scan.looked_at(rest)) }
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, set: &[u8]) -> bool {
        let found = self.peek().is_some_and(|byte| set.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn take_all(&mut self, set: &[u8]) {
        while self.take(set) {}
    }

    /// Digits with at most one dot, one exponent, and underscores between digits. `false` where that is broken; what may
    /// follow it is not looked at.
    fn number(&mut self) -> bool {
        let mut digits: &[u8] = b"0123456789";
        let mut hexadecimal = false;
        if self.take(b"0") && self.take(b"xX") {
            self.take(b"_");
            digits = b"0123456789abcdefABCDEF";
            hexadecimal = true;
        }
        self.take(b".");
        self.take(digits);
        let (mut dot, mut exponent) = (false, false);
        while let Some(next) = self.peek() {
            match next {
                b'.' if dot => {
                    self.at += 1;
                    return false;
                }
                b'e' | b'E' if exponent => {
                    self.at += 1;
                    return false;
                }
                b'.' => {
                    self.at += 1;
                    dot = true;
                    if self.take(b"_.") || hexadecimal {
                        return false;
                    }
                }
                b'e' | b'E' => {
                    self.at += 1;
                    exponent = true;
                    self.take(b"+-");
                    if self.take(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.at += 1;
                    if self.take(b"._eE") || self.peek().is_none() {
                        return false;
                    }
                }
                byte if digits.contains(&byte) => self.take_all(digits),
                _ => break,
            }
        }
        true
    }

    /// Units, each but the first behind a number. Which units there are and in which order is found out later.
    fn duration(&mut self) -> bool {
        if !self.take(b"smhdwy") {
            return false;
        }
        self.take(b"s");
        while self.take(b"0123456789") {
            self.take_all(b"0123456789");
            if !self.take(b"smhdw") {
                return false;
            }
            self.take(b"s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.at += 1;
            return false;
        }
        true
    }

    /// How much of the text was looked at, in whole characters.
    fn looked_at(&self, rest: &str) -> usize {
        rest.ceil_char_boundary(self.at)
    }
}

/// Reads an unsigned number: whole ones with `0x`, `0b`, `0o` or a leading zero for octal and underscores between digits,
/// as Go writes them, and decimal ones.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    whole(text).or_else(|| number_fault(text).is_none().then(|| text.parse().ok()).flatten())
}

fn whole(text: &str) -> Option<f64> {
    let zero = text.strip_prefix('0').filter(|rest| !rest.is_empty());
    let (digits, radix) = match zero.map(|rest| (rest, rest.as_bytes()[0])) {
        None => (text, 10),
        Some((rest, b'x' | b'X')) => (&rest[1..], 16),
        Some((rest, b'b' | b'B')) => (&rest[1..], 2),
        Some((rest, b'o' | b'O')) => (&rest[1..], 8),
        Some((rest, _)) => (rest, 8),
    };
    let underscored = !digits.contains("__") && !digits.ends_with('_');
    let starts = radix != 10 || !digits.starts_with('_');
    let digits = (underscored && starts).then(|| digits.replace('_', ""))?;
    i64::from_str_radix(&digits, radix).ok().filter(|value| *value >= 0).map(|value| value as f64)
}

/// What is wrong with a number.
pub(crate) fn number_fault(text: &str) -> Option<String> {
    if whole(text).is_some() {
        return None;
    }
    let fault = match text.parse::<f64>() {
        Ok(value) if value.is_finite() => return None,
        Ok(_) => "value out of range",
        Err(_) => "invalid syntax",
    };
    Some(format!("error parsing number: strconv.ParseFloat: parsing \"{text}\": {fault}"))
}
