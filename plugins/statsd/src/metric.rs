//! One line of StatsD, taken apart.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Set,
    Timer,
}

/// One value of one metric.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) kind: Kind,
    pub(crate) number: f64,
    /// The value as it is written, for sets.
    pub(crate) text: String,
    /// Whether a gauge changes by the number.
    pub(crate) relative: bool,
    /// Which share of what happened was sent.
    pub(crate) rate: f64,
}

/// Takes a line apart: as many metrics as it has values.
pub(crate) fn parse(line: &str) -> Result<Vec<Metric>, String> {
    let mut sections = line.split('|');
    let head = sections.next().unwrap_or_default();
    let (name, values) = head.split_once(':').ok_or("there is no value")?;
    let unit = sections.next().ok_or("there is no type")?;
    let kind = match unit {
        "c" | "m" => Kind::Counter,
        "g" => Kind::Gauge,
        "s" => Kind::Set,
        "ms" | "h" | "d" => Kind::Timer,
        _ => return Err("there is no such type".to_owned()),
    };
    let (mut rate, mut labels) = (1.0, Vec::new());
    for section in sections {
        if let Some(text) = section.strip_prefix('@') {
            rate = text.parse().map_err(|_| "its sample rate is no number".to_owned())?;
            if !(rate > 0.0 && rate <= 1.0) {
                return Err("its sample rate is not above 0 and at most 1".to_owned());
            }
        } else if let Some(tags) = section.strip_prefix('#') {
            let pairs = tags.split(',').filter(|tag| !tag.is_empty());
            labels.extend(pairs.map(|tag| {
                let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                (plain(name), value.to_owned())
            }));
        }
        // Others, such as DogStatsD's container ids and timestamps, say nothing that is kept here.
    }
    labels.sort();
    labels.dedup_by(|a, b| a.0 == b.0);
    let name = plain(name);
    if name.is_empty() {
        return Err("there is no name".to_owned());
    }
    values.split(':').map(|text| value(&name, &labels, kind, unit, text, rate)).collect()
}

fn value(
    name: &str,
    labels: &[(String, String)],
    kind: Kind,
    unit: &str,
    text: &str,
    rate: f64,
) -> Result<Metric, String> {
    let mut number = 0.0;
    if kind != Kind::Set {
        number = text.parse().ok().filter(|n: &f64| n.is_finite()).ok_or("its value is no number")?;
    }
    // Milliseconds come, seconds are what Prometheus has.
    if unit == "ms" {
        number /= 1000.0;
    }
    Ok(Metric {
        name: name.to_owned(),
        labels: labels.to_vec(),
        kind,
        number,
        text: text.to_owned(),
        relative: kind == Kind::Gauge && text.starts_with(['+', '-']),
        rate,
    })
}

/// The text as a name: an underscore for each character that no name has.
fn plain(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}
