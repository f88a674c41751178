//! What goes against the customs of Prometheus' world in an exposition that can be read: names, units, types. The
//! judgements and their words are those of `promtool check metrics`, whose output people look for.

use std::collections::BTreeMap;

use model::MetricKind;

use super::{Entry, Format, ParseError, ScrapedSample, parse};

/// Units that values should be in, and others with what they should be.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("moles", "moles"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
];
/// What makes a unit a multiple of another.
const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi",
    "giga", "gibi", "tera", "tebi", "peta", "pebi",
];
const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];
const TYPES: [&str; 5] = ["counter", "gauge", "summary", "histogram", "gauge_histogram"];

/// Something against custom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The metric, as its family is called.
    pub metric: String,
    /// What is against custom.
    pub text: String,
}

/// What an exposition holds.
#[derive(Debug, Default)]
pub struct Judgement {
    /// By metric, then by text.
    pub problems: Vec<Problem>,
    /// How many series each metric has.
    pub series: BTreeMap<String, usize>,
}

#[derive(Default)]
struct Family {
    kind: Option<MetricKind>,
    has_help: bool,
    series: usize,
    /// The names of labels, once for each series that has them.
    labels: Vec<String>,
}

/// Judges an exposition in Prometheus' text format.
///
/// # Errors
/// [`ParseError`] where it cannot be read.
pub fn judge(body: &[u8]) -> Result<Judgement, ParseError> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    parse(Format::PrometheusText, body, &mut |entry| {
        match entry {
            Entry::Help { family, .. } => families.entry(family.into_owned()).or_default().has_help = true,
            Entry::Kind { family, kind } => {
                families.entry(family.into_owned()).or_default().kind = Some(kind);
            }
            Entry::Sample(sample) => add(&mut families, &sample)?,
            Entry::Unit { .. } | Entry::Histogram(_) => {}
        }
        Ok::<(), ParseError>(())
    })?;
    let mut judgement = Judgement::default();
    for (name, family) in families.iter().filter(|(_, family)| family.series > 0) {
        judgement.series.insert(name.clone(), family.series);
        let texts = texts(name, family);
        judgement.problems.extend(texts.into_iter().map(|text| Problem { metric: name.clone(), text }));
    }
    judgement.problems.sort();
    Ok(judgement)
}

fn add(families: &mut BTreeMap<String, Family>, sample: &ScrapedSample<'_>) -> Result<(), ParseError> {
    let labels = sample.labels().map_err(|what| ParseError::Line { line: 0, what })?;
    let name = labels.metric_name().unwrap_or_default();
    let of = |suffixes: &[&str], kind: MetricKind| {
        let stems = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
        stems.map(str::to_owned).find(|stem| families.get(stem).is_some_and(|f| f.kind == Some(kind)))
    };
    let owner = of(&["_bucket", "_sum", "_count"], MetricKind::Histogram)
        .or_else(|| of(&["_sum", "_count"], MetricKind::Summary))
        .unwrap_or_else(|| name.to_owned());
    let own = |label: &str| label != model::METRIC_NAME && !matches!(label, "le" | "quantile");
    let kind = families.get(&owner).and_then(|family| family.kind);
    let shaped = matches!(kind, Some(MetricKind::Histogram | MetricKind::Summary));
    let family = families.entry(owner).or_default();
    family.series += 1;
    let named = labels.iter().map(|(label, _)| label);
    family.labels.extend(
        named.filter(|label| *label != model::METRIC_NAME && (!shaped || own(label))).map(str::to_owned),
    );
    Ok(())
}

fn texts(name: &str, family: &Family) -> Vec<String> {
    let mut texts = Vec::new();
    if !family.has_help {
        texts.push("no help text".to_owned());
    }
    if let Some((unit, base)) = unit_of(name).filter(|(unit, base)| unit != base) {
        texts.push(format!("use base unit {base:?} instead of {unit:?}"));
    }
    let kind = family.kind.unwrap_or_default();
    let typed = kind != MetricKind::Unknown;
    let mut against = |broken: bool, text: &str| {
        if broken {
            texts.push(text.to_owned());
        }
    };
    let (counter, histogram) = (kind == MetricKind::Counter, kind == MetricKind::Histogram);
    let summary = kind == MetricKind::Summary;
    let total = name.ends_with("_total");
    against(counter && !total, "counter metrics should have \"_total\" suffix");
    against(typed && !counter && total, "non-counter metrics should not have \"_total\" suffix");
    if typed {
        let shaped = histogram || summary;
        against(
            !histogram && name.ends_with("_bucket"),
            "non-histogram metrics should not have \"_bucket\" suffix",
        );
        for suffix in ["_count", "_sum"] {
            let text = format!("non-histogram and non-summary metrics should not have {suffix:?} suffix");
            against(!shaped && name.ends_with(suffix), &text);
        }
        for label in &family.labels {
            against(!histogram && label == "le", "non-histogram metrics should not have \"le\" label");
            against(
                !summary && label == "quantile",
                "non-summary metrics should not have \"quantile\" label",
            );
        }
    }
    let lower = name.to_lowercase();
    let holds = |word: &str| lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
    for word in TYPES {
        against(holds(word), &format!("metric name should not include type '{word}'"));
    }
    against(name.contains(':'), "metric names should not contain ':'");
    against(is_camel(name), "metric names should be written in 'snake_case' not 'camelCase'");
    for label in &family.labels {
        against(is_camel(label), "label names should be written in 'snake_case' not 'camelCase'");
    }
    for word in ABBREVIATIONS {
        against(holds(word), "metric names should not contain abbreviated units");
    }
    texts
}

/// The first unit in a name, and what it should be.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    let base = |unit: &str| UNITS.iter().find(|(known, _)| *known == unit).map(|(_, base)| *base);
    name.split('_').find_map(|word| {
        let prefixed = || PREFIXES.iter().filter_map(|prefix| word.strip_prefix(prefix)).find_map(base);
        base(word).or_else(prefixed).map(|base| (word, base))
    })
}

fn is_camel(name: &str) -> bool {
    name.as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(body: &str, expected: &Expect) {
        let text = match judge(body.as_bytes()) {
            Ok(found) => found.problems.iter().map(|p| format!("{} {}\n", p.metric, p.text)).collect(),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn customs_are_those_of_promtool() {
        check(
            "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1\n\
             # HELP h_seconds x\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"+Inf\"} 1\nh_seconds_sum 1\n\
             h_seconds_count 1\n",
            &expect![[""]],
        );
        check(
            "# TYPE requests counter\nrequests 1\n# HELP g_total x\n# TYPE g_total gauge\ng_total 1\n\
             # HELP x_gauge_milliseconds y\n# TYPE x_gauge_milliseconds gauge\nx_gauge_milliseconds{fooBar=\"1\"} 1\n\
             # HELP job:x y\n# TYPE job:x gauge\njob:x 1\n# HELP y_count y\n# TYPE y_count gauge\ny_count{le=\"1\"} 1\n\
             untyped_ms 3\n",
            &expect![[r#"
                g_total non-counter metrics should not have "_total" suffix
                job:x metric names should not contain ':'
                requests counter metrics should have "_total" suffix
                requests no help text
                untyped_ms metric names should not contain abbreviated units
                untyped_ms no help text
                x_gauge_milliseconds label names should be written in 'snake_case' not 'camelCase'
                x_gauge_milliseconds metric name should not include type 'gauge'
                x_gauge_milliseconds use base unit "seconds" instead of "milliseconds"
                y_count non-histogram and non-summary metrics should not have "_count" suffix
                y_count non-histogram metrics should not have "le" label
            "#]],
        );
        check("a{ 1\n", &expect!["error: line 1: expected a label name or }, got '1'"]);
    }
}
