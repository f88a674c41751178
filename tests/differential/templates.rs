//! Expressions written by hand: every function, aggregation, operator and modifier that Prometheus 2.42 knows, with the
//! turns that generated ones seldom take.
//!
//! Windows of subqueries are ten seconds longer than a multiple of their step, so that no inner step lies on their left
//! end, which Prometheus 3 leaves out.

/// A range selector of counters, and one of gauges.
const COUNTED: &str = "requests_total[5m]";
const MEASURED: &str = "temperature[7m]";

/// Functions of one number each.
const MATH: [&str; 25] = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "round",
    "timestamp",
];
/// Functions of the calendar.
pub(super) const CALENDAR: [&str; 8] =
    ["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year"];
/// Functions of a window.
pub(super) const OVER_TIME: [&str; 12] = [
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "last_over_time",
    "present_over_time",
    "changes",
    "resets",
    "deriv",
];
pub(super) const OF_COUNTERS: [&str; 3] = ["rate", "increase", "irate"];
const OF_GAUGES: [&str; 2] = ["delta", "idelta"];
/// Aggregations without a parameter.
pub(super) const AGGREGATIONS: [&str; 8] = ["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"];
pub(super) const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "^"];
pub(super) const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

/// What has a form of its own.
const SINGLE: &[&str] = &[
    // Literals.
    "42",
    "-1.5e3",
    "0x1F",
    "Inf",
    "-Inf",
    "NaN",
    "\"a text\"",
    "'another \\u00e9'",
    "`a raw\\n one`",
    "1 + 2 * 3 ^ 2 ^ 0.5 % 5",
    "-(2 ^ 2)",
    "-2 ^ 2",
    "1 > bool 2",
    "time()",
    "pi()",
    "vector(time())",
    "scalar(size{instance=\"a:1\"})",
    "scalar(size)",
    // Selectors.
    "requests_total",
    "requests_total{}",
    "{__name__=\"size\"}",
    "{__name__=~\"si.e|temp.*\"}",
    "requests_total{code=~\"4..|5..\"}",
    "requests_total{code!~\"[45].*\", job!=\"api\"}",
    "requests_total{missing=\"\"}",
    "requests_total{missing!=\"\"}",
    "requests_total{instance=~\"a.+\",instance=~\".*1\"}",
    "requests_total{job=~\"\"}",
    "no_such_metric",
    "odd",
    "requests_total offset 10m",
    "requests_total offset -5m",
    "requests_total @ 1700008000",
    "requests_total @ 1700008000.5 offset 2m",
    "requests_total offset 2m @ 1700008000",
    "requests_total @ start()",
    "requests_total @ end()",
    "rate(requests_total[5m] @ end())",
    "sum(rate(requests_total[5m] offset 7m))",
    "rate(sparse_total[15m])",
    "increase(sparse_total[30m])",
    "sparse_total",
    // Windows with a parameter.
    "quantile_over_time(0.5, temperature[7m])",
    "quantile_over_time(0.95, odd[7m])",
    "quantile_over_time(-1, temperature[7m])",
    "quantile_over_time(2, temperature[7m])",
    "quantile_over_time(NaN, temperature[7m])",
    "quantile_over_time(scalar(size{instance=\"a:1\"}) / 100, temperature[7m])",
    "holt_winters(temperature[7m], 0.5, 0.3)",
    "holt_winters(sparse_total[30m], 0.1, 0.9)",
    "holt_winters(temperature[7m], 2, 0.3)",
    "predict_linear(temperature[7m], 600)",
    "predict_linear(requests_total[7m], -60)",
    "absent_over_time(requests_total{code=\"200\"}[5m])",
    "absent_over_time(no_such_metric{a=\"b\", c=~\"d\"}[5m])",
    "absent_over_time(rate(no_such_metric[5m])[5m10s:1m])",
    "absent(no_such_metric{a=\"b\", c!=\"d\"})",
    "absent(requests_total{code=\"200\"})",
    "absent(sum(no_such_metric{a=\"b\"}))",
    // Functions with parameters.
    "clamp(temperature, -5, 5)",
    "clamp(temperature, 5, -5)",
    "clamp(temperature, NaN, 5)",
    "clamp_min(temperature, 0)",
    "clamp_max(temperature, time() - 1700008000)",
    "round(temperature, 0.5)",
    "round(temperature, 10)",
    "round(requests_total, 1000)",
    "label_replace(requests_total, \"host\", \"$1-$2\", \"instance\", \"(.*):(.*)\")",
    "label_replace(requests_total, \"host\", \"${port}\", \"instance\", \".*:(?P<port>.*)\")",
    "label_replace(requests_total, \"code\", \"\", \"code\", \"5..\")",
    "label_replace(requests_total, \"host\", \"x\", \"instance\", \"a\")",
    "label_replace(requests_total, \"code\", \"same\", \"\", \"\")",
    "label_replace(requests_total, \"host\", \"x\", \"instance\", \"(\")",
    "label_join(requests_total, \"all\", \"/\", \"job\", \"instance\", \"missing\")",
    "label_join(requests_total, \"code\", \"\")",
    "label_join(requests_total, \"instance\", \",\", \"job\")",
    "sort(requests_total{job=\"api\"})",
    "sort_desc(requests_total{job=\"api\"})",
    "sort(odd)",
    "hour()",
    "minute(vector(1136239445))",
    "days_in_month(vector(1709164800))",
    "timestamp(timestamp(size))",
    "timestamp(size offset 3m)",
    "vector(scalar(temperature{instance=\"b:1\", job=\"web\"}))",
    // Aggregations with parameters.
    "topk(3, requests_total)",
    "topk by (job) (1, requests_total)",
    "topk(0, requests_total)",
    "topk(100, size)",
    "topk(-1, requests_total)",
    "bottomk(2, requests_total)",
    "bottomk without (instance) (1, temperature)",
    "topk(scalar(count(size)), requests_total)",
    "quantile(0.3, requests_total)",
    "quantile by (job) (0.9, requests_total)",
    "quantile(1.5, requests_total)",
    "quantile(-0.5, requests_total)",
    "quantile(NaN, requests_total)",
    "count_values(\"value\", size)",
    "count_values by (kind) (\"kind\", size)",
    "count_values without (instance) (\"value\", build_info)",
    "count_values(\"instance\", size)",
    "sum(requests_total) by (job, code)",
    "sum by (missing) (requests_total)",
    "sum by () (requests_total)",
    "sum without () (requests_total)",
    "sum without (job, instance, missing) (requests_total)",
    "sum by (__name__) ({__name__=~\"size|temperature\"})",
    "count({__name__=~\".+\"}) by (__name__)",
    "sum(odd)",
    "min(odd)",
    "max(odd)",
    "count(odd)",
    // Vectors against each other.
    "requests_total / requests_total",
    "requests_total - requests_total offset 5m",
    "requests_total{job=\"api\"} / ignoring(job) requests_total{job=\"web\"}",
    "requests_total{code=\"200\"} / on(instance, job) requests_total{code=\"500\"}",
    "requests_total / on(instance) group_left size",
    "requests_total / on(instance) group_left(kind) size",
    "size * on(instance) group_right(kind) requests_total",
    "requests_total * on(instance) group_left(version) build_info",
    "sum by (instance, version) (requests_total * on(instance) group_left(version) build_info)",
    "requests_total / ignoring(code) group_left sum without (code) (requests_total)",
    "requests_total + on(job) requests_total",
    "requests_total + on(instance) group_left size + on(instance) group_left size",
    "size + on(instance) requests_total",
    "requests_total and on(instance) size > 20",
    "requests_total unless on(instance) (size > 20)",
    "requests_total or size",
    "size or requests_total",
    "requests_total{job=\"api\"} or ignoring(code) requests_total",
    "requests_total and no_such_metric",
    "requests_total unless no_such_metric",
    "no_such_metric or size",
    "no_such_metric + size",
    "size == size",
    "size == bool size",
    "size > bool 20",
    "20 < size",
    "20 < bool size",
    "temperature > on(instance, job) group_left latency_sum / latency_count",
    "-temperature",
    "+temperature",
    "-(-temperature)",
    "temperature ^ 2",
    "2 ^ temperature",
    "-temperature ^ 2",
    "temperature % 3",
    "-7 % 3",
    "1 / 0",
    "0 / 0",
    "temperature / 0",
    "2 * temperature + 1 > 3 and temperature < 10 or size",
    // Classic histograms.
    "histogram_quantile(0.5, latency_bucket)",
    "histogram_quantile(0.9, rate(latency_bucket[5m]))",
    "histogram_quantile(0.99, sum by (le) (rate(latency_bucket[5m])))",
    "histogram_quantile(0.99, sum by (le, job) (increase(latency_bucket[10m])))",
    "histogram_quantile(0, latency_bucket)",
    "histogram_quantile(1, latency_bucket)",
    "histogram_quantile(-1, latency_bucket)",
    "histogram_quantile(2, latency_bucket)",
    "histogram_quantile(NaN, latency_bucket)",
    "histogram_quantile(0.5, requests_total)",
    "histogram_quantile(0.5, latency_bucket{le!=\"+Inf\"})",
    "histogram_quantile(scalar(vector(0.25)), latency_bucket{job=\"api\"})",
    "sum(rate(latency_sum[5m])) / sum(rate(latency_count[5m]))",
    // Native histograms, as far as 2.42 handles them as 3.14 does.
    "duration",
    "spread",
    "rate(duration[5m])",
    "increase(duration[5m])",
    "delta(spread[5m])",
    "sum(duration)",
    "sum by (job) (rate(duration[5m]))",
    "count(duration)",
    "group(duration)",
    "duration + duration",
    "histogram_count(duration)",
    "histogram_sum(duration)",
    "histogram_count(spread)",
    "histogram_sum(rate(duration[5m]))",
    "histogram_count(sum(rate(duration[5m])))",
    "histogram_fraction(-Inf, Inf, duration)",
    "histogram_quantile(0, duration)",
    "histogram_quantile(-1, duration)",
    "histogram_quantile(2, duration)",
    "histogram_quantile(NaN, duration)",
    "last_over_time(duration[5m])",
    "count_over_time(duration[5m])",
    "present_over_time(duration[5m])",
    "absent(duration)",
    "label_replace(duration, \"x\", \"$1\", \"instance\", \"(.).*\")",
    "topk(1, requests_total or duration)",
    "timestamp(duration)",
    "scalar(duration)",
    "duration and size",
    "duration unless on(instance) size{instance=\"a:1\"}",
    // Subqueries.
    "max_over_time(rate(requests_total[5m])[10m10s:1m])",
    "avg_over_time(sum by (job) (rate(requests_total[5m]))[10m10s:30s])",
    "rate(requests_total[10m10s:1m])",
    "sum_over_time(size[10m10s:])",
    "max_over_time(max_over_time(temperature[3m10s:30s])[10m10s:1m])",
    "max_over_time(temperature[10m10s:1m] offset 5m)",
    "max_over_time(temperature[10m10s:1m] @ 1700008000)",
    "max_over_time((temperature > 0)[10m10s:1m])",
    "min_over_time(time()[10m10s:1m])",
    "quantile_over_time(0.5, rate(requests_total[5m])[20m10s:1m])",
    "count_over_time(no_such_metric[10m10s:1m])",
    "last_over_time(build_info[10m10s:1m])",
    "deriv(rate(requests_total[5m])[10m10s:1m])",
    // Windows as answers; instant queries only.
    "requests_total{code=\"500\"}[2m]",
    "size[3m] offset 5m",
    "size[2m10s:30s]",
    "duration{instance=\"a:1\"}[1m]",
    // What is wrong.
    "sum(",
    "requests_total{",
    "{}",
    "{job=~\".*\"}",
    "requests_total{code=~\"(\"}",
    "requests_total[5m] offset",
    "rate(requests_total)",
    "rate(requests_total[0s])",
    "sum(requests_total[5m])",
    "requests_total[5m] + 1",
    "1 and 2",
    "1 == 2",
    "\"a\" + 1",
    "requests_total + on(code) group_left(code) size",
    "requests_total and on(code) group_left size",
    "requests_total + bool size",
    "no_such_function(size)",
    "clamp(size)",
    "clamp(size, 1, 2, 3)",
    "topk(size, size)",
    "label_replace(size, \"a\")",
    "size offset 5m offset 5m",
    "size @ start() @ end()",
    "sum by (job) without (code) (requests_total)",
    "-\"text\"",
    "size[5m:1m][5m]",
    "3 @ 5",
    "0b12",
    "",
];

/// All of them.
pub(super) fn all() -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for function in MATH {
        texts.push(format!("{function}(temperature)"));
        texts.push(format!("{function}(odd)"));
    }
    for function in CALENDAR {
        texts.push(format!("{function}()"));
        texts.push(format!("{function}(requests_total * 1000)"));
        texts.push(format!("{function}(temperature * 100000)"));
    }
    for function in OVER_TIME {
        for window in [COUNTED, MEASURED, "sparse_total[20m]", "odd[4m]", "temperature[10m10s:1m]"] {
            texts.push(format!("{function}({window})"));
        }
    }
    for function in OF_COUNTERS {
        for window in [COUNTED, "sparse_total[20m]", "requests_total[30m] offset 3m", "latency_bucket[4m]"] {
            texts.push(format!("{function}({window})"));
        }
    }
    for function in OF_GAUGES {
        texts.push(format!("{function}({MEASURED})"));
        texts.push(format!("{function}(sparse_total[20m])"));
    }
    for aggregation in AGGREGATIONS {
        for grouping in ["", "by (job)", "by (job, instance)", "without (code)", "without (instance, job)"] {
            texts.push(format!("{aggregation} {grouping} (requests_total)"));
            texts.push(format!("{aggregation} {grouping} (temperature)"));
        }
        texts.push(format!("{aggregation}(no_such_metric)"));
    }
    for operator in ARITHMETIC.into_iter().chain(COMPARISONS).chain(["atan2"]) {
        let bool = if COMPARISONS.contains(&operator) { "bool" } else { "" };
        for text in [
            format!("temperature {operator} temperature"),
            format!("temperature {operator} on(instance) group_left size"),
            format!("temperature {operator} 3"),
            format!("3 {operator} temperature"),
            format!("odd {operator} {bool} odd offset 1m"),
        ] {
            // 2.42 forgets to take the name off what this one has computed.
            let named = operator == "atan2";
            texts.push(if named { format!("sum by (instance, job, which) ({text})") } else { text });
        }
        texts.push(format!("7 {operator} {bool} 3"));
    }
    texts.extend(SINGLE.iter().map(|text| (*text).to_owned()));
    texts
}
