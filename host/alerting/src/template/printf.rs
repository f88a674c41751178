//! Go's `printf`, with what it says of arguments that do not suit their verb (package `fmt`).
//!
//! ```text
//! %[flags][width][.precision]verb     flags: - + # 0 and a blank; width and precision may be * or [n]*
//! %[2]s                               the argument by its number
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::Value;
use super::format::{general, print, quote, special, type_name, with_exponent};

/// Field widths and precisions beyond this are refused rather than padded for.
const WIDTH_MAX: i64 = 1024;

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Default)]
struct Flags {
    left: bool,
    plus: bool,
    sharp: bool,
    /// `%#v`, which asks for how the value would be written in a program.
    literal: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Writes the arguments as the pattern says.
///
/// # Errors
/// Where a width is beyond all reason; what else is wrong is said in the text, as in Go.
pub(super) fn printf(pattern: &str, arguments: &[Value]) -> Result<String, String> {
    let mut printer = Printer { rest: pattern, arguments, next: 0, numbered: false, out: String::new() };
    while let Some(at) = printer.rest.find('%') {
        let (text, verb) = printer.rest.split_at(at);
        printer.out.push_str(text);
        printer.rest = verb.get(1..).unwrap_or_default();
        printer.verb()?;
    }
    printer.out.push_str(printer.rest);
    let extra = arguments.get(printer.next..).filter(|extra| !extra.is_empty() && !printer.numbered);
    if let Some(extra) = extra {
        let told: Vec<String> = extra.iter().map(|value| told(value, Flags::default())).collect();
        printer.out.push_str(&format!("%!(EXTRA {})", told.join(", ")));
    }
    Ok(printer.out)
}

struct Printer<'a> {
    rest: &'a str,
    arguments: &'a [Value],
    next: usize,
    /// Whether any argument was named by its number.
    numbered: bool,
    out: String,
}

/// A number in brackets.
enum Number {
    /// There is none.
    Absent,
    Good,
    Bad,
}

impl Printer<'_> {
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let taken = chars.next();
        self.rest = chars.as_str();
        taken
    }

    fn eat(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Digits; `None` where there are none.
    fn digits(&mut self) -> Result<Option<i64>, String> {
        let count = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        if digits.is_empty() {
            return Ok(None);
        }
        let number = digits.parse().ok().filter(|number| *number <= WIDTH_MAX);
        number.map(Some).ok_or_else(|| format!("width or precision above {WIDTH_MAX}"))
    }

    /// `[n]`: the argument that comes next.
    fn number(&mut self) -> Number {
        if !self.rest.starts_with('[') {
            return Number::Absent;
        }
        self.numbered = true;
        let Some(end) = self.rest.find(']') else {
            self.take();
            return Number::Bad;
        };
        let number = self.rest.get(1..end).and_then(|digits| digits.parse::<usize>().ok());
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        match number.filter(|number| (1..=self.arguments.len()).contains(number)) {
            Some(number) => {
                self.next = number - 1;
                Number::Good
            }
            None => Number::Bad,
        }
    }

    /// The argument of a `*`, if it is a number that will do.
    fn star(&mut self) -> Result<Option<i64>, String> {
        let value = self.arguments.get(self.next);
        self.next += usize::from(value.is_some());
        match value {
            Some(Value::Int(number)) if number.abs() <= WIDTH_MAX => Ok(Some(*number)),
            Some(Value::Int(_)) => Err(format!("width or precision above {WIDTH_MAX}")),
            _ => Ok(None),
        }
    }

    /// All behind a percent sign.
    fn verb(&mut self) -> Result<(), String> {
        let mut flags = Flags::default();
        loop {
            match self.rest.chars().next() {
                Some('-') => flags.left = true,
                Some('+') => flags.plus = true,
                Some('#') => flags.sharp = true,
                Some(' ') => flags.space = true,
                Some('0') => flags.zero = true,
                _ => break,
            }
            self.take();
        }
        let mut found = self.number();
        let mut bad = matches!(found, Number::Bad);
        if self.eat('*') {
            match self.star()? {
                Some(width) => {
                    flags.left |= width < 0;
                    flags.width = usize::try_from(width.abs()).ok();
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            found = Number::Absent;
        } else {
            flags.width = self.digits()?.and_then(|width| usize::try_from(width).ok());
            // A number belongs right before a star or the verb.
            bad |= matches!(found, Number::Good) && flags.width.is_some();
        }
        if self.eat('.') {
            bad |= matches!(found, Number::Good);
            found = self.number();
            bad |= matches!(found, Number::Bad);
            if self.eat('*') {
                match self.star()? {
                    Some(precision) => flags.precision = usize::try_from(precision).ok(),
                    None => self.out.push_str("%!(BADPREC)"),
                }
                found = Number::Absent;
            } else {
                flags.precision = usize::try_from(self.digits()?.unwrap_or(0)).ok();
            }
        }
        if matches!(found, Number::Absent) {
            bad |= matches!(self.number(), Number::Bad);
        }
        let Some(verb) = self.take() else {
            self.out.push_str("%!(NOVERB)");
            return Ok(());
        };
        if verb == 'v' {
            // Both mean something else there.
            flags = Flags { literal: flags.sharp, sharp: false, plus: false, ..flags };
        }
        if verb == '%' {
            self.out.push('%');
        } else if bad {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if let Some(value) = self.arguments.get(self.next) {
            self.next += 1;
            self.out.push_str(&write(verb, value, flags));
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        Ok(())
    }
}

/// Type and value, as where an argument is too many.
fn told(value: &Value, flags: Flags) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        value => format!("{}={}", type_name(value), write('v', value, flags)),
    }
}

/// One argument with one verb.
fn write(verb: char, value: &Value, flags: Flags) -> String {
    let text = match (verb, value) {
        ('T', Value::Nil) | ('v', Value::Nil) => Some(flags.pad("<nil>")),
        ('T', _) => Some(flags.text(type_name(value))),
        (_, Value::Bool(truth)) => matches!(verb, 't' | 'v').then(|| flags.pad(&truth.to_string())),
        (_, Value::Int(number)) => flags.int(verb, *number),
        (_, Value::Float(number)) => flags.float(verb, *number),
        (_, Value::Text(text)) => flags.string(verb, text),
        ('d', Value::Duration(nanos)) => flags.int(verb, *nanos),
        (_, Value::Time(_) | Value::Duration(_)) => flags.string(verb, &print(value)),
        (_, Value::Labels(labels) | Value::Kv(labels)) => {
            let texts = labels.iter().map(|(name, value)| (Value::from(name), Value::from(value)));
            let pairs: Vec<String> = texts
                .map(|(name, value)| format!("{}:{}", write(verb, &name, flags), write(verb, &value, flags)))
                .collect();
            Some(match (verb, flags.literal) {
                ('v', true) => format!("map[string]string{{{}}}", pairs.join(", ")),
                _ => format!("map[{}]", pairs.join(" ")),
            })
        }
        (_, Value::Map(map)) => {
            let pair = |(name, value): (&String, &Value)| {
                format!("{}:{}", write(verb, &name.as_str().into(), flags), write(verb, value, flags))
            };
            Some(format!("map[{}]", map.iter().map(pair).collect::<Vec<_>>().join(" ")))
        }
        (_, Value::List(list)) => {
            let items: Vec<String> = list.iter().map(|item| write(verb, item, flags)).collect();
            Some(format!("[{}]", items.join(" ")))
        }
        ('v' | 's', Value::Fields(_)) => Some(print(value)),
        _ => None,
    };
    match (text, value) {
        (Some(text), _) => text,
        (None, Value::Nil) => format!("%!{verb}(<nil>)"),
        (None, value) => format!("%!{verb}({})", told(value, flags)),
    }
}

impl Flags {
    /// Fills up to the width.
    fn pad(&self, text: &str) -> String {
        let missing = self.width.unwrap_or(0).saturating_sub(text.chars().count());
        match (self.left, self.zero) {
            (true, _) => format!("{text}{}", " ".repeat(missing)),
            (false, true) => format!("{}{text}", "0".repeat(missing)),
            (false, false) => format!("{}{text}", " ".repeat(missing)),
        }
    }

    fn pad_blank(&self, text: &str) -> String {
        Self { zero: false, ..*self }.pad(text)
    }

    /// As much of a text as the precision allows.
    fn cut<'t>(&self, text: &'t str) -> &'t str {
        let end = self.precision.and_then(|count| text.char_indices().nth(count));
        end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
    }

    fn text(&self, text: &str) -> String {
        self.pad(self.cut(text))
    }

    fn string(&self, verb: char, text: &str) -> Option<String> {
        Some(match verb {
            'v' if self.literal => self.quoted(text),
            'v' | 's' => self.text(text),
            'q' => self.quoted(text),
            'x' | 'X' => self.hexadecimal(text, verb == 'X'),
            _ => return None,
        })
    }

    fn quoted(&self, text: &str) -> String {
        let text = self.cut(text);
        // Go's raw literals hold neither backquotes nor control characters but tabs.
        let outside = |c: char| c == '`' || c == '\u{feff}' || (c.is_control() && c != '\t');
        self.pad(&match (self.sharp && !text.contains(outside), self.plus) {
            (true, _) => format!("`{text}`"),
            (false, true) => ascii(&quote(text)),
            (false, false) => quote(text),
        })
    }

    fn hexadecimal(&self, text: &str, upper: bool) -> String {
        let count = self.precision.unwrap_or(text.len()).min(text.len());
        let bytes = text.as_bytes().get(..count).unwrap_or_default();
        let byte = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        let prefix = match (self.sharp && !bytes.is_empty(), upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let separator = match (self.space, prefix) {
            (false, _) => String::new(),
            (true, prefix) => format!(" {prefix}"),
        };
        self.pad(&format!("{prefix}{}", bytes.iter().map(byte).collect::<Vec<_>>().join(&separator)))
    }

    fn int(&self, verb: char, number: i64) -> Option<String> {
        let size = number.unsigned_abs();
        let digits = match verb {
            'v' | 'd' => size.to_string(),
            'b' => format!("{size:b}"),
            'o' | 'O' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            'c' => return Some(self.pad(&character(number).to_string())),
            'q' => return Some(self.pad(&self.quoted_character(number))),
            'U' => return Some(self.unicode(number)),
            _ => return None,
        };
        let sign = match (number < 0, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let least = match (self.precision, self.zero && !self.left, self.width) {
            // Nothing at all, in that many places.
            (Some(0), _, _) if number == 0 => return Some(self.pad_blank("")),
            (Some(precision), _, _) => precision,
            (None, true, Some(width)) => width.saturating_sub(sign.len()),
            _ => 0,
        };
        let digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
        let prefix = match (verb, self.sharp) {
            ('O', _) => "0o",
            ('b', true) => "0b",
            ('o', true) if !digits.starts_with('0') => "0",
            ('x', true) => "0x",
            ('X', true) => "0X",
            _ => "",
        };
        Some(self.pad_blank(&format!("{sign}{prefix}{digits}")))
    }

    fn quoted_character(&self, number: i64) -> String {
        let c = character(number);
        let inner = match c {
            '\'' => "\\'".to_owned(),
            '"' => "\"".to_owned(),
            c => {
                let quoted = quote(&c.to_string());
                quoted.trim_start_matches('"').trim_end_matches('"').to_owned()
            }
        };
        let quoted = format!("'{inner}'");
        if self.plus { ascii(&quoted) } else { quoted }
    }

    fn unicode(&self, number: i64) -> String {
        let least = self.precision.unwrap_or(4).max(4);
        let mut text = format!("U+{:0least$X}", number as u64);
        if self.sharp
            && let Some(c) = u32::try_from(number).ok().and_then(char::from_u32).filter(|c| !c.is_control())
        {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_blank(&text)
    }

    fn float(&self, verb: char, number: f64) -> Option<String> {
        let precision = self.precision;
        let size = number.abs();
        let digits = match (verb, special(size)) {
            ('v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E', Some(special)) => special.to_owned(),
            ('v' | 'g', _) => general(size, precision),
            ('G', _) => general(size, precision).to_uppercase(),
            ('f' | 'F', _) => format!("{size:.*}", precision.unwrap_or(6)),
            ('e', _) => with_exponent(&format!("{size:.*e}", precision.unwrap_or(6))),
            ('E', _) => with_exponent(&format!("{size:.*e}", precision.unwrap_or(6))).to_uppercase(),
            ('b', _) => binary(size),
            ('x', _) => hexadecimal(size, precision),
            ('X', _) => hexadecimal(size, precision).to_uppercase(),
            _ => return None,
        };
        let sign = match (number.is_sign_negative() && !number.is_nan(), self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        if number.is_nan() || number.is_infinite() {
            let bare = digits.trim_start_matches('+');
            // Infinity has its sign always.
            let sign = if sign.is_empty() && number.is_infinite() { "+" } else { sign };
            return Some(self.pad_blank(&format!("{sign}{bare}")));
        }
        let digits = if self.sharp && verb != 'b' { self.all_digits(verb, &digits) } else { digits };
        if self.zero && !self.left {
            let missing = self.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
            return Some(format!("{sign}{}{digits}", "0".repeat(missing)));
        }
        Some(self.pad(&format!("{sign}{digits}")))
    }

    /// With a point always, and with the zeros at the end that `g` leaves out.
    fn all_digits(&self, verb: char, digits: &str) -> String {
        let exponents: &[char] = if matches!(verb, 'x' | 'X') { &['p', 'P'] } else { &['e', 'E'] };
        let (number, exponent) = digits.split_at(digits.find(exponents).unwrap_or(digits.len()));
        let mut number = number.to_owned();
        let wanted = match verb {
            'v' | 'g' | 'G' | 'x' => self.precision.unwrap_or(6),
            _ => 0,
        };
        // From the first that is no zero on, which in a hexadecimal number is the x. A zero alone counts too.
        let counted = number.trim_start_matches(['0', '.']).chars().filter(|c| *c != '.').count();
        let counted = if number == "0" { 1 } else { counted };
        if !number.contains('.') {
            number.push('.');
        }
        format!("{number}{}{exponent}", "0".repeat(wanted.saturating_sub(counted)))
    }
}

fn character(number: i64) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}')
}

/// With every character that is not of ASCII as an escape.
fn ascii(text: &str) -> String {
    let escape = |c: char| match (c.is_ascii(), c as u32) {
        (true, _) => c.to_string(),
        (false, code @ ..=0xffff) => format!("\\u{code:04x}"),
        (false, code) => format!("\\U{code:08x}"),
    };
    text.chars().map(escape).collect()
}

/// A float as a whole number times a power of two.
const fn parts(number: f64) -> (u64, i64) {
    let bits = number.to_bits();
    let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
    match exponent {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent as i64 - 1075),
    }
}

/// Go's `b`: a whole number and a power of two.
fn binary(size: f64) -> String {
    let (mantissa, exponent) = parts(size);
    format!("{mantissa}p{exponent:+}")
}

/// Go's `x`: `0x1.8p+01`.
fn hexadecimal(size: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(size);
    if mantissa == 0 {
        let zeros = precision.filter(|count| *count > 0).map(|count| format!(".{}", "0".repeat(count)));
        return format!("0x0{}p+00", zeros.unwrap_or_default());
    }
    // One bit before the point and 52 behind it.
    let shift = i64::from(mantissa.leading_zeros()) - 11;
    mantissa <<= shift;
    exponent += 52 - shift;
    if let Some(count) = precision.filter(|count| *count < 13) {
        let drop = 52 - 4 * count as u32;
        let (half, rest) = (1_u64 << (drop - 1), mantissa & ((1 << drop) - 1));
        mantissa >>= drop;
        // To the nearest, and to the even one of two.
        mantissa += u64::from(rest > half || (rest == half && mantissa & 1 == 1));
        mantissa <<= drop;
        if mantissa >> 53 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let all = format!("{:013x}", mantissa & ((1 << 52) - 1));
    let fraction = match precision {
        None => all.trim_end_matches('0').to_owned(),
        Some(count) => format!("{all:0<count$}").chars().take(count).collect(),
    };
    let point = if fraction.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{point}{fraction}p{sign}{:02}", exponent.abs())
}
