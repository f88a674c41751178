//! One line, taken apart. A backslash before a comma, an equals sign, a space or a quote takes its meaning away.

/// What a line says; fields that are texts are left out.
pub(crate) struct Line {
    pub(crate) measurement: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) fields: Vec<(String, f64)>,
    pub(crate) timestamp: Option<i64>,
}

/// Takes a line apart.
pub(crate) fn parse(text: &str) -> Result<Line, String> {
    let mut sections = split(text.trim(), ' ').into_iter().filter(|section| !section.is_empty());
    let (Some(key), Some(fields)) = (sections.next(), sections.next()) else {
        return Err("it has no fields".to_owned());
    };
    let timestamp = match sections.next() {
        None => None,
        Some(time) => Some(time.parse().map_err(|_| "its timestamp is no number".to_owned())?),
    };
    if sections.next().is_some() {
        return Err("something follows its timestamp".to_owned());
    }
    let mut key = split(key, ',').into_iter();
    let measurement = unescape(key.next().unwrap_or_default());
    if measurement.is_empty() {
        return Err("it has no measurement".to_owned());
    }
    let tags = key
        .map(|tag| match split(tag, '=').as_slice() {
            [name, value] if !value.is_empty() => Ok((unescape(name), unescape(value))),
            _ => Err("a tag has no value".to_owned()),
        })
        .collect::<Result<_, _>>()?;
    let fields = split(fields, ',').into_iter().filter_map(|field| field_of(field).transpose());
    Ok(Line { measurement, tags, fields: fields.collect::<Result<_, _>>()?, timestamp })
}

/// A field; none where it is a text.
fn field_of(field: &str) -> Result<Option<(String, f64)>, String> {
    let [name, value] = split(field, '=').try_into().map_err(|_| format!("field {field:?} has no value"))?;
    let name = unescape(name);
    let number = match value {
        "t" | "T" | "true" | "True" | "TRUE" => Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => Some(0.0),
        text if text.starts_with('"') => return Ok(None),
        // Integers end in i or u; those that a float does not hold exactly come as close as it can.
        number => number.strip_suffix(['i', 'u']).unwrap_or(number).parse::<f64>().ok(),
    };
    match number {
        Some(number) => Ok(Some((name, number))),
        None => Err(format!("field {name:?} is no number, boolean or text")),
    }
}

/// The parts between separators that are neither escaped nor within quotes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> String {
    let (mut plain, mut escaped) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        if c == '\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            plain.push(c);
        }
    }
    plain
}
