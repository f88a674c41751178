//! Expressions made at random from the grammar: valid ones, of every type, nested a few levels deep. The same seed makes
//! the same expression.
//!
//! Some turns are left out because their answers hang by the last bit of a float, which no two implementations share:
//! rounding of what has been computed, counting equal values, ranking values that may be equal.

use super::data::Random;
use super::templates::{AGGREGATIONS, ARITHMETIC, COMPARISONS, OF_COUNTERS, OVER_TIME};

/// How deep expressions nest.
const DEPTH: usize = 3;

const COUNTERS: [&str; 4] =
    ["requests_total", "requests_total{job=\"api\"}", "requests_total{code=~\"2..|404\"}", "latency_count"];
const GAUGES: [&str; 4] =
    ["temperature", "temperature{job!=\"web\"}", "size", "temperature{instance=~\"[ab]:1\"}"];
const SMOOTH: [&str; 6] = ["abs", "sgn", "atan", "sin", "tanh", "deg"];
const WINDOWS: [&str; 5] = ["1m", "5m", "7m", "12m", "90s"];
const LABELS: [&str; 6] = ["job", "instance", "code", "job, instance", "instance, code", "missing"];
const OFFSETS: [&str; 5] = ["offset 1m", "offset 10m", "offset -3m", "@ 1700008500", "@ end()"];
const NUMBERS: [&str; 7] = ["0", "1", "2.5", "-3", "100", "1e6", "time() - 1700006000"];

/// The expression of a seed.
pub(super) fn expression(seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    match random.below(12) {
        0 => scalar(&mut random, DEPTH),
        1 => format!("sort({})", vector(&mut random, DEPTH - 1)),
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
    match random.below(16) {
        0 => leaf(random),
        1..=3 => window(random, next),
        4..=6 => aggregation(random, next),
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
        13 => match random.below(5) {
            0 => format!("clamp_min({}, {})", vector(random, next), scalar(random, next)),
            1 => {
                format!("clamp({}, {}, {})", vector(random, next), scalar(random, next), scalar(random, next))
            }
            2 => format!("absent({})", vector(random, next)),
            3 => format!("vector({})", scalar(random, next)),
            _ => format!("-{}", parenthesised(vector(random, next))),
        },
        14 => match random.below(4) {
            0 => format!("label_replace({}, \"job\", \"$1\", \"instance\", \"(.).*\")", vector(random, next)),
            1 => format!("label_replace({}, \"new\", \"$1\", \"job\", \"(a?).*\")", vector(random, next)),
            2 => format!("label_join({}, \"new\", \"-\", \"job\", \"code\")", vector(random, next)),
            _ => format!("label_join({}, \"code\", \"-\", \"code\", \"instance\")", vector(random, next)),
        },
        _ => match random.below(4) {
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

/// Native histograms; how they are summed and subtracted has not changed.
fn native(random: &mut Random) -> String {
    match random.below(4) {
        0 => "duration".to_owned(),
        1 => format!("rate(duration[{}])", random.pick(&WINDOWS[1..4])),
        2 => format!("sum by ({}) (rate(duration[{}]))", random.pick(&LABELS), random.pick(&WINDOWS[1..4])),
        _ => format!("(duration {})", random.pick(&OFFSETS)),
    }
}

fn leaf(random: &mut Random) -> String {
    let selector = if random.below(2) == 0 { random.pick(&COUNTERS) } else { random.pick(&GAUGES) };
    match random.below(5) {
        0 => format!("{selector} {}", random.pick(&OFFSETS)),
        _ => selector.to_owned(),
    }
}

fn window(random: &mut Random, depth: usize) -> String {
    let (width, offset) =
        (random.pick(&WINDOWS), if random.below(4) == 0 { random.pick(&OFFSETS) } else { "" });
    match random.below(6) {
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
            format!("{}({inner}[5m10s:1m] {offset})", random.pick(&OVER_TIME[..9]))
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
    match random.below(8) {
        0 => format!("topk{grouping}({}, temperature)", random.below(4)),
        1 => format!("bottomk{grouping}({}, requests_total)", random.below(4)),
        2 => format!("quantile{grouping}(0.{}, {})", random.below(100), vector(random, depth)),
        3 => format!("count_values{grouping}(\"value\", size)"),
        // Without deviations: 2.42 says zero, 3.x says no number where the only value is none.
        _ => format!("{}{grouping}({})", random.pick(&AGGREGATIONS[..6]), vector(random, depth)),
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
