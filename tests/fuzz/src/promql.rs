//! Queries and scripts.

use crate::Target;

pub(crate) const PROMQL: Target = Target {
    name: "promql",
    run: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Ok(expr) = promql::parse(text) else { return };
        let printed = expr.to_string();
        let again =
            promql::parse(&printed).unwrap_or_else(|error| panic!("{printed:?} is not read again: {error}"));
        assert_eq!(again.to_string(), printed, "printing what {text:?} prints as changes it");
    },
    seeds: || {
        let queries = [
            "sum by (job, le) (rate(http_request_duration_seconds_bucket{job=~\"a.*\",code!=\"500\"}[5m] offset 1h))",
            "a / on (x) group_left (y) b > bool 0.5e-3 and -c ^ 2 ^ 3 unless d",
            "histogram_quantile(0.99, max_over_time(up[1h:30s] @ start()) or vector(NaN))",
            "{\"utf-8 metric\", \"strange.label\"='\\x41\\u00e9', z!~`raw`}",
            "topk without (instance) (3, x @ 1.5e3 offset -5m) # comment",
            "absent_over_time(foo[step() * 2]) + quantile(0x1F, -Inf)",
        ];
        queries.iter().map(|query| query.as_bytes().to_vec()).collect()
    },
};

pub(crate) const PROMQL_SCRIPT: Target = Target {
    name: "promql_script",
    run: |bytes| {
        // Long scripts can ask for any amount of work, which is what whoever runs a script wants.
        let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 2_000) else { return };
        if !text.contains(|digit: char| digit.is_ascii_digit()) || has_long_number(text) {
            return;
        }
        promql::script::run(text);
    },
    seeds: || {
        let scripts = [
            "load 1m\n  a{x=\"1\"} 0+1x5 _ stale 7\n  b {{schema:0 sum:2 count:3 buckets:[1 2]}}x2\n\
             eval instant at 3m a\n  a{x=\"1\"} 3\n",
            "load 30s\n  c 1 2 3\neval range from 0 to 1m step 30s c * 2\n  {} 2 4 6\n",
            "clear\neval instant at 1m sum(\n  expect fail\n",
        ];
        scripts.iter().map(|script| script.as_bytes().to_vec()).collect()
    },
};

/// Whether a number has more than two digits, as one that asks for a million samples has.
fn has_long_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_hexdigit()).any(|digits| digits.len() > 2)
}
