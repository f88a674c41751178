//! Names as Prometheus has them: metric names with their unit and type spelled out, label names without dots.
//! The rules are OpenTelemetry's ("Prometheus and OpenMetrics compatibility"), the words Prometheus' own.

use super::{Strategy, TranslateOptions};

/// How the name of a metric ends, besides its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suffix {
    /// `_total`.
    Counter,
    /// `_ratio` where the unit is 1.
    Gauge,
    /// Nothing.
    Other,
}

/// UCUM's units and Prometheus' words for them. Others stand for themselves.
const UNITS: [(&str, &str); 26] = [
    ("1", ""),
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// The words after "per". Here `m` is a minute.
const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric; empty where nothing of `name` can stay.
pub(super) fn metric_name(name: &str, unit: &str, suffix: Suffix, strategy: Strategy) -> String {
    match (strategy.escapes(), strategy.has_suffixes()) {
        (true, true) => escaped_with_suffixes(name, unit, suffix),
        (true, false) => escaped(name),
        (false, true) => with_suffixes(name, unit, suffix),
        (false, false) => name.to_owned(),
    }
}

/// A name with an underscore for each character that cannot stand in it.
fn escaped(name: &str) -> String {
    let mut escaped: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == ':' || c == '_' { c } else { '_' })
        .collect();
    if escaped.starts_with(|c: char| c.is_ascii_digit()) {
        escaped.insert(0, '_');
    }
    if escaped.chars().all(|c| c == '_') { String::new() } else { escaped }
}

/// A name as it is, with unit and type behind it where it does not end in them.
fn with_suffixes(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut whole = name.to_owned();
    let (main, per) = unit_words(unit);
    let last = last_word(unit, suffix);
    // The type stays behind the unit.
    if !last.is_empty()
        && let Some(without) = whole.strip_suffix(last).and_then(|rest| rest.strip_suffix('_'))
    {
        whole.truncate(without.len());
    }
    for word in [main.as_str(), per.as_str(), last] {
        if !whole.is_empty() && !word.is_empty() && !whole.ends_with(&format!("_{word}")) {
            whole.push('_');
            whole.push_str(word);
        }
    }
    whole
}

/// The word that a name ends in for its type.
fn last_word(unit: &str, suffix: Suffix) -> &'static str {
    match suffix {
        Suffix::Counter => "total",
        Suffix::Gauge if unit == "1" => "ratio",
        _ => "",
    }
}

fn escaped_with_suffixes(name: &str, unit: &str, suffix: Suffix) -> String {
    let mut words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|w| !w.is_empty()).collect();
    if words.is_empty() {
        return String::new();
    }
    let (main, per) = unit_words(unit);
    for word in [&main, &per] {
        if !word.is_empty() && !words.contains(&word.as_str()) {
            words.push(word);
        }
    }
    let last = last_word(unit, suffix);
    if !last.is_empty() {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let joined = words.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

/// The unit as metadata names it, for example `bytes_per_second`.
pub(super) fn unit_name(unit: &str) -> String {
    let (main, per) = unit_words(unit);
    match (main.as_str(), per.as_str()) {
        (_, "") => main,
        ("", _) => per,
        _ => format!("{main}_{per}"),
    }
}

/// The unit in words: what is measured, and `per_…` for what follows a slash. Parts in braces are annotations
/// and no units.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main.trim(), per.trim()),
        None => (unit.trim(), ""),
    };
    let known = |table: &[(&str, &'static str)], part: &str| {
        table.iter().find(|(unit, _)| *unit == part).map(|(_, word)| (*word).to_owned())
    };
    let annotated = |part: &str| part.contains(['{', '}']);
    let main =
        if annotated(main) { String::new() } else { known(&UNITS, main).unwrap_or_else(|| cleaned(main)) };
    let per = if annotated(per) {
        String::new()
    } else {
        match known(&PER_UNITS, per).unwrap_or_else(|| cleaned(per)).as_str() {
            "" => String::new(),
            word => format!("per_{word}"),
        }
    };
    (main, per)
}

/// A unit that is in no table, with underscores for what cannot stand in a name.
fn cleaned(unit: &str) -> String {
    let words: Vec<&str> =
        unit.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|w| !w.is_empty()).collect();
    words.join("_")
}

/// How names of labels are written.
#[derive(Clone, Copy)]
pub(super) struct LabelStyle {
    /// Whether anything is changed about them.
    pub(super) escapes: bool,
    /// Whether a single underscore at the start stays as it is.
    bare_underscore: bool,
    /// Whether several underscores become one.
    merge_underscores: bool,
}

impl LabelStyle {
    pub(super) fn of(options: &TranslateOptions) -> Self {
        Self {
            escapes: options.strategy.escapes(),
            bare_underscore: options.bare_underscore,
            merge_underscores: options.merge_underscores,
        }
    }
}

/// The name of a label; `None` where nothing of `key` can stay. One underscore at the start is given a word
/// before it, as a digit is: names with underscores at the start are for internal use.
pub(super) fn label_name(key: &str, style: LabelStyle) -> Option<String> {
    let mut name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let reserved = key.starts_with("__") && key.ends_with("__");
    if style.merge_underscores && !reserved {
        let mut last = ' ';
        name.retain(|c| std::mem::replace(&mut last, c) != '_' || c != '_');
    }
    if name.chars().all(|c| c == '_') {
        None
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        Some(format!("key_{name}"))
    } else if !style.bare_underscore && name.starts_with('_') && !name.starts_with("__") {
        Some(format!("key{name}"))
    } else {
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_spell_out_unit_and_type() {
        use Suffix::{Counter, Gauge, Other};
        for (name, unit, suffix, expected, unit_expected) in [
            ("http.server.request.duration", "s", Other, "http_server_request_duration_seconds", "seconds"),
            ("requests", "", Counter, "requests_total", ""),
            ("requests_total", "", Counter, "requests_total", ""),
            ("total.requests", "", Counter, "requests_total", ""),
            ("requests", "{request}", Counter, "requests_total", ""),
            ("requests", "1", Counter, "requests_total", ""),
            ("cpu.utilization", "1", Gauge, "cpu_utilization_ratio", ""),
            ("hit_ratio", "1", Gauge, "hit_ratio", ""),
            ("queue", "1", Other, "queue", ""),
            ("memory.usage", "By", Gauge, "memory_usage_bytes", "bytes"),
            ("memory_usage_bytes", "By", Gauge, "memory_usage_bytes", "bytes"),
            ("cpu_seconds", "s", Counter, "cpu_seconds_total", "seconds"),
            ("network.io", "By/s", Gauge, "network_io_bytes_per_second", "bytes_per_second"),
            ("rate", "1/s", Gauge, "rate_per_second", "per_second"),
            ("rate", "{packet}/s", Gauge, "rate_per_second", "per_second"),
            ("io", "By/{op}", Gauge, "io_bytes", "bytes"),
            ("speed", "m/min", Gauge, "speed_meters_per_min", "meters_per_min"),
            ("temperature", "Cel", Gauge, "temperature_celsius", "celsius"),
            ("load", "%", Gauge, "load_percent", "percent"),
            ("a", "custom_unit", Gauge, "a_custom_unit", "custom_unit"),
            (
                "a",
                "unit@with#special/chars",
                Gauge,
                "a_unit_with_special_per_chars",
                "unit_with_special_per_chars",
            ),
            ("a__b", "u__v", Gauge, "a_b_u_v", "u_v"),
            ("3d.model", "", Gauge, "_3d_model", ""),
            ("rule:name", "", Gauge, "rule:name", ""),
            ("@#$%", "s", Gauge, "", "seconds"),
        ] {
            assert_eq!(
                (metric_name(name, unit, suffix, Strategy::default()).as_str(), unit_name(unit).as_str()),
                (expected, unit_expected),
                "{name} in {unit}"
            );
        }
    }

    #[test]
    fn strategies_differ_in_characters_and_suffixes() {
        use Suffix::{Counter, Gauge, Other};
        let check = |name: &str, unit: &str, suffix: Suffix, expected: [&str; 4]| {
            let strategies = [
                Strategy::UnderscoreEscapingWithSuffixes,
                Strategy::UnderscoreEscapingWithoutSuffixes,
                Strategy::NoUtf8EscapingWithSuffixes,
                Strategy::NoTranslation,
            ];
            assert_eq!(strategies.map(|strategy| metric_name(name, unit, suffix, strategy)), expected);
        };
        check(
            "http.server.duration",
            "s",
            Other,
            [
                "http_server_duration_seconds",
                "http_server_duration",
                "http.server.duration_seconds",
                "http.server.duration",
            ],
        );
        check("io", "By/s", Counter, ["io_bytes_per_second_total", "io", "io_bytes_per_second_total", "io"]);
        check(
            "reads_total",
            "By",
            Counter,
            ["reads_bytes_total", "reads_total", "reads_bytes_total", "reads_total"],
        );
        check("3d", "1", Gauge, ["_3d_ratio", "_3d", "3d_ratio", "3d"]);
    }

    #[test]
    fn label_names_are_escaped() {
        for (key, expected) in [
            ("http.route", Some("http_route")),
            ("label:with:colons", Some("label_with_colons")),
            ("label!with&special$chars)", Some("label_with_special_chars_")),
            ("字符.a", Some("___a")),
            ("123label", Some("key_123label")),
            ("_private", Some("key_private")),
            ("__reserved", Some("__reserved")),
            ("__", None),
            ("字符", None),
            ("", None),
        ] {
            let style = LabelStyle::of(&TranslateOptions::prometheus());
            assert_eq!(label_name(key, style).as_deref(), expected, "{key}");
        }
        let style = LabelStyle { escapes: true, bare_underscore: true, merge_underscores: true };
        for (key, expected) in [
            ("_private", Some("_private")),
            ("a..b___c", Some("a_b_c")),
            ("__name__", Some("__name__")),
            ("..", None),
        ] {
            assert_eq!(label_name(key, style).as_deref(), expected, "{key}");
        }
    }
}
