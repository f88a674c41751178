//! The functions of the language: their signatures, and which kind of work each is.
//!
//! [`TABLE`] says what the parser must know. The work itself is one module per kind: [`math`] maps a sample to
//! a sample, [`over_time`] and [`rate`] fold a window of samples, [`quantile`] reads classic buckets.

pub(crate) mod date;
pub(crate) mod extended;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod start;

use crate::parser::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// What the parser knows of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments; the last repeats where the function takes any number.
    pub args: &'static [ValueType],
    /// How many of the last arguments may be left out; `-1`: the last may come any number of times or never.
    pub optional: i32,
    /// What it answers.
    pub returns: ValueType,
}

/// The functions that Prometheus may still change, sorted.
const EXPERIMENTAL: [&str; 17] = [
    "double_exponential_smoothing",
    "end",
    "histogram_quantiles",
    "info",
    "mad_over_time",
    "max_of",
    "min_of",
    "range",
    "sort_by_label",
    "sort_by_label_desc",
    "start",
    "start_timestamp",
    "step",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];

impl Signature {
    /// All of them, sorted by name.
    pub fn all() -> &'static [Self] {
        &TABLE
    }

    /// The least and, where there is one, the most number of arguments.
    pub(crate) fn arity(&self) -> (usize, Option<usize>) {
        match usize::try_from(self.optional) {
            Ok(optional) => (self.args.len() - optional, Some(self.args.len())),
            Err(_) if self.name == "histogram_quantiles" => (self.args.len() - 1, Some(QUANTILES_MAX + 2)),
            Err(_) => (self.args.len() - 1, None),
        }
    }

    /// Whether it needs the feature `promql-experimental-functions`.
    pub fn is_experimental(&self) -> bool {
        EXPERIMENTAL.binary_search(&self.name).is_ok()
    }
}

/// How many quantiles `histogram_quantiles` is asked for at once.
const QUANTILES_MAX: usize = 10;

const fn f(name: &'static str, args: &'static [ValueType], optional: i32, returns: ValueType) -> Signature {
    Signature { name, args, optional, returns }
}

/// Every function, sorted by name.
static TABLE: [Signature; 90] = [
    f("abs", &[Vector], 0, Vector),
    f("absent", &[Vector], 0, Vector),
    f("absent_over_time", &[Matrix], 0, Vector),
    f("acos", &[Vector], 0, Vector),
    f("acosh", &[Vector], 0, Vector),
    f("asin", &[Vector], 0, Vector),
    f("asinh", &[Vector], 0, Vector),
    f("atan", &[Vector], 0, Vector),
    f("atanh", &[Vector], 0, Vector),
    f("avg_over_time", &[Matrix], 0, Vector),
    f("ceil", &[Vector], 0, Vector),
    f("changes", &[Matrix], 0, Vector),
    f("clamp", &[Vector, Scalar, Scalar], 0, Vector),
    f("clamp_max", &[Vector, Scalar], 0, Vector),
    f("clamp_min", &[Vector, Scalar], 0, Vector),
    f("cos", &[Vector], 0, Vector),
    f("cosh", &[Vector], 0, Vector),
    f("count_over_time", &[Matrix], 0, Vector),
    f("day_of_month", &[Vector], 1, Vector),
    f("day_of_week", &[Vector], 1, Vector),
    f("day_of_year", &[Vector], 1, Vector),
    f("days_in_month", &[Vector], 1, Vector),
    f("deg", &[Vector], 0, Vector),
    f("delta", &[Matrix], 0, Vector),
    f("deriv", &[Matrix], 0, Vector),
    f("double_exponential_smoothing", &[Matrix, Scalar, Scalar], 0, Vector),
    f("end", &[], 0, Scalar),
    f("exp", &[Vector], 0, Vector),
    f("first_over_time", &[Matrix], 0, Vector),
    f("floor", &[Vector], 0, Vector),
    f("histogram_avg", &[Vector], 0, Vector),
    f("histogram_count", &[Vector], 0, Vector),
    f("histogram_fraction", &[Scalar, Scalar, Vector], 0, Vector),
    f("histogram_quantile", &[Scalar, Vector], 0, Vector),
    f("histogram_quantiles", &[Vector, String, Scalar, Scalar], -1, Vector),
    f("histogram_stddev", &[Vector], 0, Vector),
    f("histogram_stdvar", &[Vector], 0, Vector),
    f("histogram_sum", &[Vector], 0, Vector),
    f("hour", &[Vector], 1, Vector),
    f("idelta", &[Matrix], 0, Vector),
    f("increase", &[Matrix], 0, Vector),
    f("info", &[Vector, Vector], 1, Vector),
    f("irate", &[Matrix], 0, Vector),
    f("label_join", &[Vector, String, String, String], -1, Vector),
    f("label_replace", &[Vector, String, String, String, String], 0, Vector),
    f("last_over_time", &[Matrix], 0, Vector),
    f("ln", &[Vector], 0, Vector),
    f("log10", &[Vector], 0, Vector),
    f("log2", &[Vector], 0, Vector),
    f("mad_over_time", &[Matrix], 0, Vector),
    f("max_of", &[Scalar, Scalar], 0, Scalar),
    f("max_over_time", &[Matrix], 0, Vector),
    f("min_of", &[Scalar, Scalar], 0, Scalar),
    f("min_over_time", &[Matrix], 0, Vector),
    f("minute", &[Vector], 1, Vector),
    f("month", &[Vector], 1, Vector),
    f("pi", &[], 0, Scalar),
    f("predict_linear", &[Matrix, Scalar], 0, Vector),
    f("present_over_time", &[Matrix], 0, Vector),
    f("quantile_over_time", &[Scalar, Matrix], 0, Vector),
    f("rad", &[Vector], 0, Vector),
    f("range", &[], 0, Scalar),
    f("rate", &[Matrix], 0, Vector),
    f("resets", &[Matrix], 0, Vector),
    f("round", &[Vector, Scalar], 1, Vector),
    f("scalar", &[Vector], 0, Scalar),
    f("sgn", &[Vector], 0, Vector),
    f("sin", &[Vector], 0, Vector),
    f("sinh", &[Vector], 0, Vector),
    f("sort", &[Vector], 0, Vector),
    f("sort_by_label", &[Vector, String], -1, Vector),
    f("sort_by_label_desc", &[Vector, String], -1, Vector),
    f("sort_desc", &[Vector], 0, Vector),
    f("sqrt", &[Vector], 0, Vector),
    f("start", &[], 0, Scalar),
    f("start_timestamp", &[Vector], 0, Vector),
    f("stddev_over_time", &[Matrix], 0, Vector),
    f("stdvar_over_time", &[Matrix], 0, Vector),
    f("step", &[], 0, Scalar),
    f("sum_over_time", &[Matrix], 0, Vector),
    f("tan", &[Vector], 0, Vector),
    f("tanh", &[Vector], 0, Vector),
    f("time", &[], 0, Scalar),
    f("timestamp", &[Vector], 0, Vector),
    f("ts_of_first_over_time", &[Matrix], 0, Vector),
    f("ts_of_last_over_time", &[Matrix], 0, Vector),
    f("ts_of_max_over_time", &[Matrix], 0, Vector),
    f("ts_of_min_over_time", &[Matrix], 0, Vector),
    f("vector", &[Scalar], 0, Vector),
    f("year", &[Vector], 1, Vector),
];

/// Stands for every function that is not of the language: what it takes is known when a query is planned.
pub(crate) static EXTERNAL: Signature = f("wasm_", &[Vector], -1, Vector);

/// The function of that name; names are case sensitive.
pub(crate) fn find(name: &str) -> Option<&'static Signature> {
    TABLE.binary_search_by(|signature| signature.name.cmp(name)).ok().map(|at| &TABLE[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(TABLE.iter().all(|signature| find(signature.name).is_some()));
        assert_eq!(TABLE.iter().filter(|signature| signature.is_experimental()).count(), EXPERIMENTAL.len());
    }
}
