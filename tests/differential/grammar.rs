//! Expressions made at random from the grammar: valid ones, of every type, nested a few levels deep. The same seed makes
//! the same expression.
//!
//! Some turns are left out because their answers hang by the last bit of a float, which no two implementations share:
//! rounding of what has been computed, counting equal values, ranking values that may be equal. What Prometheus 2.42 does
//! not know at all is asked in the scripts of `tests/promql`: `sort_by_label`, `limitk`, and most functions of native
//! histograms.

use super::data::Random;
use super::templates::{AGGREGATIONS, ARITHMETIC, CALENDAR, COMPARISONS, OF_COUNTERS, OVER_TIME};

/// How deep expressions nest.
const DEPTH: usize = 3;

const COUNTERS: [&str; 4] =
    ["requests_total", "requests_total{job=\"api\"}", "requests_total{code=~\"2..|404\"}", "latency_count"];
const GAUGES: [&str; 4] =
    ["temperature", "temperature{job!=\"web\"}", "size", "temperature{instance=~\"[ab]:1\"}"];
const SMOOTH: [&str; 6] = ["abs", "sgn", "atan", "sin", "tanh", "deg"];
const WINDOWS: [&str; 5] = ["1m", "5m", "7m", "12m", "90s"];
const LABELS: [&str; 6] = ["job", "instance", "code", "job, instance", "instance, code", "missing"];
const OFFSETS: [&str; 10] = [
    "offset 1m",
    "offset 10m",
    "offset -3m",
    "@ 1700008500",
    "@ start()",
    "@ end()",
    "@ 1700007000.25 offset -90s",
    "offset 4m @ 1700009100",
    "@ end() offset 12m",
    "@ start() offset -20m",
];
/// None of their steps lies on the left end of the window, where the step is a part of a minute.
const SUBQUERIES: [&str; 6] =
    ["[5m10s:1m]", "[11m10s:30s]", "[6m5s:15s]", "[12m10s:2m]", "[3m7s:20s]", "[7m10s:]"];
const SINGLE_LABELS: [&str; 5] = ["job", "instance", "code", "kind", "new"];
/// Values of which no two are ever equal.
const RANKED: [&str; 4] = ["temperature", "requests_total", "-requests_total", "latency_count"];
/// Where buckets of powers of two begin and end.
const FRACTIONS: [&str; 5] = ["-Inf, Inf", "-4, 8", "0.5, 2", "2, -2", "-Inf, -0.25"];
const NUMBERS: [&str; 7] = ["0", "1", "2.5", "-3", "100", "1e6", "time() - 1700006000"];

/// The expression of a seed.
pub(super) fn expression(seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    match random.below(24) {
        0 | 1 => scalar(&mut random, DEPTH),
        2 => format!("sort({})", vector(&mut random, DEPTH - 1)),
        3 => format!("sort_desc({})", vector(&mut random, DEPTH - 1)),
        // Windows as answers, at one time; a range of them is refused.
        4 => format!("{}[{}] {}", random.pick(&GAUGES), random.pick(&WINDOWS[..2]), random.pick(&OFFSETS)),
        5 => {
            let inner = parenthesised(vector(&mut random, DEPTH - 1));
            format!("{inner}{} {}", random.pick(&SUBQUERIES[..2]), random.pick(&OFFSETS))
        }
        _ => vector(&mut random, DEPTH),
    }
}

fn scalar(random: &mut Random, depth: usize) -> String {
    match if depth == 0 { 0 } else { random.below(5) } {
        0 | 1 => random.pick(&NUMBERS).to_owned(),
        2 => format!("scalar({})", vector(random, depth - 1)),
        3 => format!(
            "({} {} {})",
            scalar(random, depth - 1),
            random.pick(&ARITHMETIC),
            scalar(random, depth - 1)
        ),
        _ => format!("-({})", scalar(random, depth - 1)),
    }
}

fn vector(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return leaf(random);
    }
    let next = depth - 1;
    match random.below(18) {
        0 => leaf(random),
        1..=3 => window(random, next),
        4..=6 => aggregation(random, next),
        16 => joined(random, next),
        17 => of_times(random, next),
        7 => format!("{}({})", random.pick(&SMOOTH), vector(random, next)),
        8 => {
            let (operator, bool) = operator(random);
            format!("({} {operator} {bool}{})", vector(random, next), scalar(random, next))
        }
        9 => {
            let (operator, bool) = operator(random);
            format!("({} {operator} {bool}{})", scalar(random, next), vector(random, next))
        }
        10 | 11 => between(random, next),
        12 => {
            let set = random.pick(&["and", "or", "unless"]);
            let on = on(random);
            format!("({} {set} {on}{})", vector(random, next), vector(random, next))
        }
        13 => match random.below(8) {
            0 => format!("clamp_min({}, {})", vector(random, next), scalar(random, next)),
            5 => format!("clamp_max({}, {})", vector(random, next), scalar(random, next)),
            6 => format!("absent_over_time({}[{}])", random.pick(&COUNTERS), random.pick(&WINDOWS)),
            7 => format!("absent_over_time({}[5m10s:1m])", parenthesised(vector(random, next))),
            1 => {
                format!("clamp({}, {}, {})", vector(random, next), scalar(random, next), scalar(random, next))
            }
            2 => format!("absent({})", vector(random, next)),
            3 => format!("vector({})", scalar(random, next)),
            _ => format!("-{}", parenthesised(vector(random, next))),
        },
        14 => match random.below(6) {
            4 => format!(
                "label_replace({}, \"{}\", \"$2$1\", \"{}\", \"(.*)[:0](.*)\")",
                vector(random, next),
                random.pick(&SINGLE_LABELS),
                random.pick(&SINGLE_LABELS)
            ),
            5 => format!(
                "label_join({}, \"{}\", \"{}\", \"instance\", \"{}\")",
                vector(random, next),
                random.pick(&SINGLE_LABELS),
                random.pick(&["", "/", "."]),
                random.pick(&SINGLE_LABELS)
            ),
            0 => format!("label_replace({}, \"job\", \"$1\", \"instance\", \"(.).*\")", vector(random, next)),
            1 => format!("label_replace({}, \"new\", \"$1\", \"job\", \"(a?).*\")", vector(random, next)),
            2 => format!("label_join({}, \"new\", \"-\", \"job\", \"code\")", vector(random, next)),
            _ => format!("label_join({}, \"code\", \"-\", \"code\", \"instance\")", vector(random, next)),
        },
        _ => match random.below(8) {
            4 => format!("histogram_fraction({}, {})", random.pick(&FRACTIONS), gauge_histograms(random)),
            5 => format!("histogram_count({})", gauge_histograms(random)),
            6 => format!(
                "histogram_quantile({}, latency_bucket{{job=\"api\"}} {})",
                scalar(random, next),
                random.pick(&OFFSETS)
            ),
            7 => format!(
                "histogram_quantile(0.{}, {} by (le, {}) (increase(latency_bucket[{}])))",
                random.below(100),
                random.pick(&["sum", "avg", "max"]),
                random.pick(&LABELS),
                random.pick(&WINDOWS)
            ),
            0 => format!(
                "histogram_quantile({}, rate(latency_bucket[{}]))",
                scalar(random, 0),
                random.pick(&WINDOWS)
            ),
            1 => format!(
                "histogram_quantile(0.{}, sum by (le, {}) (rate(latency_bucket[{}])))",
                random.below(100),
                random.pick(&LABELS),
                random.pick(&WINDOWS)
            ),
            2 => format!("histogram_count({})", native(random)),
            _ => format!("histogram_sum({})", native(random)),
        },
    }
}

/// Native histograms that are gauges, with buckets between powers of two.
fn gauge_histograms(random: &mut Random) -> String {
    match random.below(4) {
        0 => "spread".to_owned(),
        1 => format!("(spread {})", random.pick(&OFFSETS)),
        2 => format!("sum by ({}) (spread)", random.pick(&LABELS)),
        _ => "(spread + spread offset 3m)".to_owned(),
    }
}

/// Native histograms; how they are summed and subtracted has not changed.
fn native(random: &mut Random) -> String {
    match random.below(6) {
        4 => format!("(duration + on(instance, job) duration {})", random.pick(&OFFSETS[..3])),
        5 => format!("increase(duration[{}] {})", random.pick(&WINDOWS[1..4]), random.pick(&OFFSETS)),
        0 => "duration".to_owned(),
        1 => format!("rate(duration[{}])", random.pick(&WINDOWS[1..4])),
        2 => format!("sum by ({}) (rate(duration[{}]))", random.pick(&LABELS), random.pick(&WINDOWS[1..4])),
        _ => format!("(duration {})", random.pick(&OFFSETS)),
    }
}

fn leaf(random: &mut Random) -> String {
    let selector = match random.below(8) {
        0..=3 => random.pick(&COUNTERS),
        4..=6 => random.pick(&GAUGES),
        _ => random.pick(&["build_info", "sparse_total", "{__name__=~\"size|build_info\"}"]),
    };
    match random.below(4) {
        0 => format!("{selector} {}", random.pick(&OFFSETS)),
        _ => selector.to_owned(),
    }
}

fn window(random: &mut Random, depth: usize) -> String {
    let (width, offset) =
        (random.pick(&WINDOWS), if random.below(3) == 0 { random.pick(&OFFSETS) } else { "" });
    match random.below(10) {
        6 => {
            format!("predict_linear({}[{width}] {offset}, {})", random.pick(&GAUGES[..2]), scalar(random, 0))
        }
        7 => {
            let (smoothing, trend) = (random.below(9) + 1, random.below(9) + 1);
            format!("holt_winters({}[{width}] {offset}, 0.{smoothing}, 0.{trend})", random.pick(&GAUGES))
        }
        8 => {
            let function = random.pick(&["idelta", "deriv", "changes", "resets", "stddev_over_time"]);
            format!("{function}({}[{width}] {offset})", random.pick(&GAUGES))
        }
        9 => {
            let (function, counters) = (random.pick(&OF_COUNTERS), random.pick(&COUNTERS));
            let inner = format!("{function}({counters}[5m])");
            format!("{}({inner}{} {offset})", random.pick(&OVER_TIME[..5]), random.pick(&SUBQUERIES))
        }
        0 | 1 => format!("{}({}[{width}] {offset})", random.pick(&OF_COUNTERS), random.pick(&COUNTERS)),
        2 => format!("{}({}[{width}] {offset})", random.pick(&OVER_TIME), random.pick(&GAUGES)),
        3 => format!("delta({}[{width}] {offset})", random.pick(&GAUGES[..2])),
        4 => {
            let share = random.below(100);
            format!("quantile_over_time(0.{share}, {}[{width}] {offset})", random.pick(&GAUGES))
        }
        // Without `deriv` and `changes`: both look at differences, of what may differ in the last bit only.
        _ => {
            let inner = parenthesised(vector(random, depth.min(1)));
            format!("{}({inner}{} {offset})", random.pick(&OVER_TIME[..9]), random.pick(&SUBQUERIES))
        }
    }
}

fn parenthesised(text: String) -> String {
    if text.ends_with(')') && text.starts_with('(') { text } else { format!("({text})") }
}

fn aggregation(random: &mut Random, depth: usize) -> String {
    let grouping = match random.below(3) {
        0 => String::new(),
        1 => format!(" by ({}) ", random.pick(&LABELS)),
        _ => format!(" without ({}) ", random.pick(&LABELS)),
    };
    match random.below(11) {
        8 => format!("topk{grouping}({}, {})", scalar_count(random), random.pick(&RANKED)),
        9 => format!("{}{grouping}({})", random.pick(&["stddev", "stdvar"]), random.pick(&COUNTERS)),
        10 => format!("count_values{grouping}(\"{}\", build_info)", random.pick(&SINGLE_LABELS)),
        0 => format!("topk{grouping}({}, temperature)", random.below(4)),
        1 => format!("bottomk{grouping}({}, requests_total)", random.below(4)),
        2 => format!("quantile{grouping}(0.{}, {})", random.below(100), vector(random, depth)),
        3 => format!("count_values{grouping}(\"value\", size)"),
        // Without deviations: 2.42 says zero, 3.x says no number where the only value is none.
        _ => format!("{}{grouping}({})", random.pick(&AGGREGATIONS[..6]), vector(random, depth)),
    }
}

/// How many are ranked: also numbers that change, and whatever is not a whole one.
fn scalar_count(random: &mut Random) -> &'static str {
    random.pick(&["2", "1.9", "-1", "scalar(count(size))", "scalar(count(build_info) - 2)"])
}

/// Timestamps of samples and what they mean.
fn of_times(random: &mut Random, depth: usize) -> String {
    match random.below(3) {
        0 => format!("timestamp({})", leaf(random)),
        1 => format!("timestamp({})", parenthesised(vector(random, depth))),
        _ => format!("{}(timestamp({}))", random.pick(&CALENDAR), leaf(random)),
    }
}

/// Many with one, and one with many, with labels of the one.
fn joined(random: &mut Random, depth: usize) -> String {
    let (operator, bool) = operator(random);
    let many = vector(random, depth);
    let include = random.pick(&["", "kind", "version", "kind, missing", "job"]);
    match random.below(6) {
        0 => format!("({many} {operator} {bool}on(instance) group_left({include}) size)"),
        1 => format!("(size {operator} {bool}on(instance) group_right({include}) {many})"),
        2 => format!("({many} {operator} {bool}on(instance) group_left({include}) build_info)"),
        3 => {
            let by = random.pick(&SINGLE_LABELS);
            let one = vector(random, depth.min(1));
            format!("({many} {operator} {bool}on({by}) group_left max by ({by}) ({one}))")
        }
        4 => {
            let without = random.pick(&SINGLE_LABELS);
            format!(
                "(sum without ({without}) ({many}) {operator} {bool}ignoring({without}) group_right {many})"
            )
        }
        _ => {
            let set = random.pick(&["and", "unless", "or"]);
            format!("({many} {set} on(instance) (size {operator} {bool}{}))", scalar(random, 0))
        }
    }
}

fn operator(random: &mut Random) -> (&'static str, &'static str) {
    match random.below(3) {
        0 => (random.pick(&COMPARISONS[2..]), random.pick(&["", "bool "])),
        _ => (random.pick(&ARITHMETIC), ""),
    }
}

fn on(random: &mut Random) -> String {
    match random.below(3) {
        0 => String::new(),
        1 => format!("on({}) ", random.pick(&LABELS)),
        _ => format!("ignoring({}) ", random.pick(&LABELS)),
    }
}

/// Vectors that mostly match each other: what cannot be matched fails, in one word for all its reasons.
fn between(random: &mut Random, depth: usize) -> String {
    let (operator, bool) = operator(random);
    match random.below(4) {
        0 => format!("({} {operator} {bool}{})", vector(random, depth), vector(random, depth)),
        1 => {
            let selector = random.pick(&COUNTERS);
            format!("({selector} {operator} {bool}{selector} offset 2m)")
        }
        2 => {
            let many = vector(random, depth);
            format!("({many} {operator} {bool}on(instance) group_left(kind) size)")
        }
        _ => {
            let inner = vector(random, depth);
            let by = random.pick(&LABELS);
            format!("(sum by ({by}) ({inner}) {operator} {bool}sum by ({by}) ({}))", vector(random, depth))
        }
    }
}
