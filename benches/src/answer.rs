//! Answers of Prometheus' query API, read so that those of two servers can be compared: values within the tolerance of
//! Prometheus' own test runner, labels, times and kinds exactly.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Reply;

/// Relative difference that still counts as equal.
const EPSILON: f64 = 1e-6;

/// What a query came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It failed.
    Failed {
        /// `bad_data`, `execution`, …
        kind: String,
        /// In the server's words.
        text: String,
    },
    /// A number.
    Scalar(f64),
    /// A text.
    Text(String),
    /// Series with one point each, in the order in which they came.
    Vector(Vec<Series>),
    /// Series with points, in the order in which they came.
    Matrix(Vec<Series>),
}

/// A series of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its points by time in milliseconds.
    pub points: BTreeMap<i64, Point>,
}

/// A point of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram {
        /// Observations.
        count: f64,
        /// Their sum.
        sum: f64,
        /// The populated ones.
        buckets: Vec<Bucket>,
    },
}

/// A bucket of a native histogram: which ends belong to it (as the API numbers that), lower bound, upper bound,
/// observations.
pub type Bucket = (u8, f64, f64, f64);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<Data<'a>>,
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data<'a> {
    #[serde(borrow)]
    Scalar((f64, Cow<'a, str>)),
    String((f64, String)),
    Vector(Vec<JsonSeries<'a>>),
    Matrix(Vec<JsonSeries<'a>>),
}

#[derive(Deserialize)]
struct JsonSeries<'a> {
    metric: BTreeMap<String, String>,
    #[serde(borrow)]
    value: Option<(f64, Cow<'a, str>)>,
    histogram: Option<(f64, JsonHistogram<'a>)>,
    #[serde(default)]
    values: Vec<(f64, Cow<'a, str>)>,
    #[serde(default)]
    histograms: Vec<(f64, JsonHistogram<'a>)>,
}

type JsonBucket<'a> = (u8, Cow<'a, str>, Cow<'a, str>, Cow<'a, str>);

#[derive(Deserialize)]
struct JsonHistogram<'a> {
    #[serde(borrow)]
    count: Cow<'a, str>,
    sum: Cow<'a, str>,
    #[serde(default)]
    buckets: Vec<JsonBucket<'a>>,
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    /// A text, where it is not one of Prometheus' API.
    pub fn read(reply: &Reply) -> Result<Self, String> {
        let shown = || String::from_utf8_lossy(&reply.body[..reply.body.len().min(500)]).into_owned();
        let envelope: Envelope<'_> =
            serde_json::from_slice(&reply.body).map_err(|error| format!("{error}: {}", shown()))?;
        let series = |list: Vec<JsonSeries<'_>>| {
            list.into_iter().map(Series::read).collect::<Result<Vec<_>, String>>()
        };
        Ok(match envelope.data {
            Some(Data::Scalar((_, value))) => Self::Scalar(number(&value)?),
            Some(Data::String((_, text))) => Self::Text(text),
            Some(Data::Vector(list)) => Self::Vector(series(list)?),
            Some(Data::Matrix(list)) => Self::Matrix(series(list)?),
            None => Self::Failed {
                kind: envelope.error_type.ok_or_else(shown)?,
                text: envelope.error.unwrap_or_default(),
            },
        })
    }

    /// How the other answer differs, if it does; in words, with the first difference. Failures are alike if they are of
    /// one kind. The order of a vector counts only where `ordered` says so; that of a matrix never does.
    pub fn difference(&self, other: &Self, ordered: bool) -> Option<String> {
        match (self, other) {
            (Self::Failed { kind: a, .. }, Self::Failed { kind: b, .. }) if a == b => None,
            (Self::Text(a), Self::Text(b)) if a == b => None,
            (Self::Scalar(a), Self::Scalar(b)) if floats_equal(*a, *b) => None,
            (Self::Vector(a), Self::Vector(b)) if ordered => {
                series_differ(a, b).or_else(|| order_differs(a, b))
            }
            (Self::Vector(a), Self::Vector(b)) | (Self::Matrix(a), Self::Matrix(b)) => series_differ(a, b),
            (a, b) => Some(format!("{} and {}", a.in_short(), b.in_short())),
        }
    }

    /// How many series it has, if it has any to have.
    pub fn series_count(&self) -> usize {
        match self {
            Self::Vector(series) | Self::Matrix(series) => series.len(),
            _ => 0,
        }
    }

    fn in_short(&self) -> String {
        let text = format!("{self:?}");
        text.chars().take(300).collect()
    }
}

impl Series {
    fn read(json: JsonSeries<'_>) -> Result<Self, String> {
        let mut points = BTreeMap::new();
        for (at, value) in json.value.into_iter().chain(json.values) {
            points.insert(millis(at), Point::Float(number(&value)?));
        }
        for (at, histogram) in json.histogram.into_iter().chain(json.histograms) {
            let bucket = |(ends, low, high, count): &JsonBucket<'_>| {
                Ok((*ends, number(low)?, number(high)?, number(count)?))
            };
            let point = Point::Histogram {
                count: number(&histogram.count)?,
                sum: number(&histogram.sum)?,
                buckets: histogram.buckets.iter().map(bucket).collect::<Result<_, String>>()?,
            };
            if points.insert(millis(at), point).is_some() {
                return Err(format!("{:?} has a float and a histogram at {at}", json.metric));
            }
        }
        Ok(Self { labels: json.metric, points })
    }
}

fn series_differ(a: &[Series], b: &[Series]) -> Option<String> {
    let by_labels = |list: &[Series]| list.iter().map(|s| (s.labels.clone(), s.points.clone())).collect();
    let (a_count, b_count) = (a.len(), b.len());
    let a: BTreeMap<BTreeMap<String, String>, BTreeMap<i64, Point>> = by_labels(a);
    let mut b: BTreeMap<BTreeMap<String, String>, BTreeMap<i64, Point>> = by_labels(b);
    if a.len() != a_count || b.len() != b_count {
        return Some("the same series twice".to_owned());
    }
    for (labels, points) in a {
        let Some(others) = b.remove(&labels) else {
            return Some(format!("{labels:?} {} and nothing", first(&points)));
        };
        if let Some(difference) = points_differ(&points, &others) {
            return Some(format!("{labels:?} {difference}"));
        }
    }
    b.first_key_value().map(|(labels, points)| format!("{labels:?} nothing and {}", first(points)))
}

/// Series of equal values come in any order.
fn order_differs(a: &[Series], b: &[Series]) -> Option<String> {
    let differ = |(a, b): &(&Series, &Series)| points_differ(&a.points, &b.points).is_some();
    a.iter().zip(b).find(differ).map(|(a, b)| format!("order: {:?} and {:?}", a.labels, b.labels))
}

fn points_differ(a: &BTreeMap<i64, Point>, b: &BTreeMap<i64, Point>) -> Option<String> {
    let times: std::collections::BTreeSet<i64> = a.keys().chain(b.keys()).copied().collect();
    times.into_iter().find_map(|at| match (a.get(&at), b.get(&at)) {
        (Some(x), Some(y)) if points_equal(x, y) => None,
        (x, y) => Some(format!("at {at}: {x:?} and {y:?}")),
    })
}

fn first(points: &BTreeMap<i64, Point>) -> String {
    points
        .first_key_value()
        .map_or_else(|| "without points".to_owned(), |(at, point)| format!("{point:?} at {at}"))
}

fn points_equal(a: &Point, b: &Point) -> bool {
    match (a, b) {
        (Point::Float(a), Point::Float(b)) => floats_equal(*a, *b),
        (
            Point::Histogram { count, sum, buckets },
            Point::Histogram { count: other_count, sum: other_sum, buckets: others },
        ) => {
            let alike = |(x, y): (&Bucket, &Bucket)| {
                x.0 == y.0 && floats_equal(x.1, y.1) && floats_equal(x.2, y.2) && floats_equal(x.3, y.3)
            };
            floats_equal(*count, *other_count)
                && floats_equal(*sum, *other_sum)
                && buckets.len() == others.len()
                && buckets.iter().zip(others).all(alike)
        }
        _ => false,
    }
}

/// Equal as Prometheus' test runner sees it.
fn floats_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn number(text: &str) -> Result<f64, String> {
    // Rust knows `+Inf`, `-Inf` and `NaN` as the API writes them.
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

/// The API tells milliseconds as fractions of a second.
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

#[cfg(test)]
mod tests;
