//! What is asked of the API, and what each answer holds whatever the contract says: every endpoint once with an answer
//! that has something in it, and once with a mistake if it takes parameters.

use serde_json::Value;

use crate::harness::http::{Answer, Client};

/// One request, and what its answer must hold.
pub(super) struct Case {
    pub(super) what: &'static str,
    /// As the contract names it.
    pub(super) path: &'static str,
    parameters: Vec<(&'static str, String)>,
    status: u16,
    /// JSON pointers of what must be there; `=` says what it must be.
    holds: Vec<&'static str>,
}

impl Case {
    pub(super) fn ask(&self, api: &Client, method: &str) -> Answer {
        let path = format!("/api/v1{}", self.path.replace("{name}", "job"));
        let parameters: Vec<(&str, &str)> =
            self.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match method {
            "get" => api.get_with(&path, &parameters),
            _ => api.post_form(&path, &parameters),
        }
    }

    /// What the answer breaks of what is known without the contract.
    pub(super) fn misses(&self, answer: &Answer) -> Vec<String> {
        let json = answer.json();
        let mut misses = Vec::new();
        if answer.status != self.status {
            misses.push(format!("status {} instead of {}", answer.status, self.status));
        }
        if answer.content_type != "application/json" {
            misses.push(format!("content type {:?}", answer.content_type));
        }
        let envelope: &[&str] = match self.status {
            200 => &["/status=success", "/data"],
            422 => &["/status=error", "/errorType=execution", "/error"],
            _ => &["/status=error", "/errorType=bad_data", "/error"],
        };
        for expected in envelope.iter().chain(&self.holds) {
            let (pointer, wanted) = expected
                .split_once('=')
                .map_or((*expected, None), |(pointer, wanted)| (pointer, Some(wanted)));
            let found = json.pointer(pointer);
            if found.is_none() || wanted.is_some() && found.and_then(Value::as_str) != wanted {
                misses.push(format!("no {expected}"));
            }
        }
        misses
    }
}

fn good<const P: usize, const H: usize>(
    what: &'static str,
    path: &'static str,
    parameters: [(&'static str, &str); P],
    holds: [&'static str; H],
) -> Case {
    let parameters = parameters.map(|(name, value)| (name, value.to_owned())).into();
    Case { what, path, parameters, status: 200, holds: holds.into() }
}

fn bad<const P: usize>(
    what: &'static str,
    path: &'static str,
    parameters: [(&'static str, &str); P],
) -> Case {
    Case { status: 400, ..good(what, path, parameters, []) }
}

/// Queries, with values of every type; `start` and `end` are around what was fed.
pub(super) fn queries(start: &str, end: &str) -> Vec<Case> {
    let range = |query| [("query", query), ("start", start), ("end", end), ("step", "1")];
    let at = |query| [("query", query), ("time", end)];
    let execution = Case {
        status: 422,
        ..good("a join of many to many", "/query", at("up + on() group_left() {job=~\".+\"}"), [])
    };
    vec![
        good(
            "a vector",
            "/query",
            at("up"),
            [
                "/data/resultType=vector",
                "/data/result/0/metric/__name__=up",
                "/data/result/0/value/0",
                "/data/result/0/value/1=1",
            ],
        ),
        good("an empty vector", "/query", at("nothing_here"), ["/data/resultType=vector", "/data/result"]),
        good("a scalar", "/query", at("1 / 0"), ["/data/resultType=scalar", "/data/result/1=+Inf"]),
        good("a string", "/query", at("\"text\""), ["/data/resultType=string", "/data/result/1=text"]),
        good(
            "a histogram",
            "/query",
            at("pushed_seconds"),
            [
                "/data/resultType=vector",
                "/data/result/0/histogram/1/count=6",
                "/data/result/0/histogram/1/sum=4.5",
                "/data/result/0/histogram/1/buckets/0/3=1",
            ],
        ),
        good(
            "a matrix of an instant",
            "/query",
            at("pushed_total[10m]"),
            ["/data/resultType=matrix", "/data/result/0/values/0/1=7"],
        ),
        good("a warning", "/query", at("quantile(2, up)"), ["/warnings/0", "/data/result/0/value/1=+Inf"]),
        good(
            "an info",
            "/query",
            at("stddev({via=\"remote-write\"})"),
            ["/infos/0", "/data/result/0/value/1=0"],
        ),
        bad("no query", "/query", []),
        bad("a broken query", "/query", [("query", "sum(")]),
        bad("a broken time", "/query", [("query", "up"), ("time", "yesterday")]),
        execution,
        good(
            "a matrix",
            "/query_range",
            range("pushed_total"),
            [
                "/data/resultType=matrix",
                "/data/result/0/metric/via=remote-write",
                "/data/result/0/values/0/1=7",
            ],
        ),
        good(
            "a matrix of histograms",
            "/query_range",
            range("pushed_seconds"),
            ["/data/result/0/histograms/0/1/count=6"],
        ),
        bad("no step", "/query_range", [("query", "up"), ("start", start), ("end", end)]),
        good(
            "exemplars",
            "/query_exemplars",
            [("query", "pushed_total"), ("start", start), ("end", end)],
            [
                "/data/0/seriesLabels/__name__=pushed_total",
                "/data/0/exemplars/0/labels/trace_id=abc",
                "/data/0/exemplars/0/value=3",
                "/data/0/exemplars/0/timestamp",
            ],
        ),
        good(
            "exemplars of what went into a rule",
            "/query_exemplars",
            [("query", "via:pushed:sum"), ("start", start), ("end", end)],
            ["/data/0/seriesLabels/via=remote-write", "/data/0/exemplars/0/labels/trace_id=abc"],
        ),
        bad(
            "exemplars of a broken query",
            "/query_exemplars",
            [("query", "sum("), ("start", start), ("end", end)],
        ),
        good("a formatted query", "/format_query", [("query", "sum( up )")], ["/data=sum(up)"]),
        bad("no query to format", "/format_query", []),
        good(
            "a query's tree",
            "/parse_query",
            [("query", "sum by (job) (rate(up[5m]))")],
            [
                "/data/type=aggregation",
                "/data/grouping/0=job",
                "/data/expr/type=call",
                "/data/expr/func/name=rate",
                "/data/expr/args/0/type=matrixSelector",
                "/data/expr/args/0/matchers/0/value=up",
            ],
        ),
        bad("the tree of a broken query", "/parse_query", [("query", "sum(")]),
        good(
            "what a query took",
            "/query",
            [("query", "up"), ("time", end), ("stats", "all")],
            ["/data/stats/timings/evalTotalTime", "/data/stats/samples/totalQueryableSamples"],
        ),
        good(
            "a cut vector",
            "/query",
            [("query", "{__name__=~\"up|scrape_samples_scraped\"}"), ("time", end), ("limit", "1")],
            ["/data/result/0", "/warnings/0=results truncated due to limit"],
        ),
    ]
}

/// Everything else.
pub(super) fn lists(start: &str) -> Vec<Case> {
    vec![
        good("label names", "/labels", [("start", start)], ["/data/0=__name__"]),
        good("one label name", "/labels", [("limit", "1")], ["/data/0", "/warnings/0"]),
        bad("label names since nonsense", "/labels", [("start", "yesterday")]),
        good("label values", "/label/{name}/values", [("match[]", "up")], ["/data/0=self"]),
        bad("label values of nonsense", "/label/{name}/values", [("match[]", "{")]),
        good(
            "series",
            "/series",
            [("match[]", "up"), ("match[]", "pushed_total")],
            ["/data/0/__name__", "/data/1/__name__"],
        ),
        bad("series of no selector", "/series", []),
        good(
            "metadata",
            "/metadata",
            [("metric", "stormglass_build_info")],
            [
                "/data/stormglass_build_info/0/type=gauge",
                "/data/stormglass_build_info/0/help",
                "/data/stormglass_build_info/0/unit=",
            ],
        ),
        good("all metadata", "/metadata", [], ["/data/stormglass_build_info"]),
        good(
            "one declaration of each metric",
            "/metadata",
            [("limit_per_metric", "1")],
            ["/data/stormglass_build_info/0"],
        ),
        bad("one broken declaration of each metric", "/metadata", [("limit_per_metric", "few")]),
        bad("metadata with a broken limit", "/metadata", [("limit", "few")]),
        good(
            "scrape pools",
            "/scrape_pools",
            [],
            ["/data/scrapePools/0=dropping", "/data/scrapePools/1=self"],
        ),
        good(
            "targets",
            "/targets",
            [],
            [
                "/data/activeTargets/0/scrapePool=self",
                "/data/activeTargets/0/health=up",
                "/data/activeTargets/0/lastScrape",
                "/data/activeTargets/0/discoveredLabels/__address__",
                "/data/droppedTargets/0/discoveredLabels/__address__",
                "/data/droppedTargetCounts/dropping",
            ],
        ),
        good(
            "active targets",
            "/targets",
            [("state", "active")],
            ["/data/activeTargets/0", "/data/droppedTargets"],
        ),
        good(
            "metadata of targets",
            "/targets/metadata",
            [("match_target", "{job=\"self\"}")],
            [
                "/data/0/target/job=self",
                "/data/0/target/instance",
                "/data/0/metric",
                "/data/0/type",
                "/data/0/help",
                "/data/0/unit",
            ],
        ),
        good(
            "one metric of one target",
            "/targets/metadata",
            [("metric", "process_open_fds"), ("limit", "1")],
            ["/data/0/type=gauge"],
        ),
        bad("metadata of no selector of targets", "/targets/metadata", [("match_target", "{")]),
        good(
            "what rules do to a target",
            "/targets/relabel_steps",
            [("scrapePool", "dropping"), ("labels", "{\"job\": \"dropping\"}")],
            [
                "/data/steps/0/rule/action=drop",
                "/data/steps/0/rule/regex=dropping",
                "/data/steps/0/output",
                "/data/steps/0/keep",
            ],
        ),
        bad("what rules do to nothing", "/targets/relabel_steps", [("scrapePool", "dropping")]),
        bad("what rules of nobody do", "/targets/relabel_steps", [("labels", "{}")]),
        bad("targets of no known state", "/targets", [("state", "sleepy")]),
        good(
            "rules",
            "/rules",
            [],
            [
                "/data/groups/0/name=test",
                "/data/groups/0/file",
                "/data/groups/0/interval",
                "/data/groups/0/lastEvaluation",
                "/data/groups/0/rules/0/type=recording",
                "/data/groups/0/rules/0/health=ok",
                "/data/groups/0/rules/2/type=alerting",
                "/data/groups/0/rules/2/state=firing",
                "/data/groups/0/rules/2/alerts/0/value=1e+00",
            ],
        ),
        good("alerting rules", "/rules", [("type", "alert")], ["/data/groups/0/rules/0/name=Up"]),
        good("a page of rules", "/rules", [("group_limit", "1")], ["/data/groups/0/name=test"]),
        bad("a page of rules from nowhere", "/rules", [("group_limit", "1"), ("group_next_token", "x")]),
        bad("a page without a size", "/rules", [("group_next_token", "x")]),
        bad("rules of no known type", "/rules", [("type", "nonsense")]),
        good(
            "alerts",
            "/alerts",
            [],
            [
                "/data/alerts/0/state=firing",
                "/data/alerts/0/labels/alertname=Up",
                "/data/alerts/0/annotations/summary=self is up",
                "/data/alerts/0/activeAt",
                "/data/alerts/0/value=1e+00",
            ],
        ),
        good(
            "alertmanagers",
            "/alertmanagers",
            [],
            ["/data/activeAlertmanagers", "/data/droppedAlertmanagers"],
        ),
        good("the configuration", "/status/config", [], ["/data/yaml"]),
        good(
            "the runtime",
            "/status/runtimeinfo",
            [],
            ["/data/startTime", "/data/storageRetention", "/data/CWD"],
        ),
        good("the build", "/status/buildinfo", [], ["/data/version=3.14.0", "/data/goVersion"]),
        good("the flags", "/status/flags", [], ["/data/config.file=prometheus.yml"]),
        good(
            "the storage",
            "/status/tsdb",
            [],
            ["/data/headStats/numSeries", "/data/seriesCountByMetricName/0/name"],
        ),
        bad("the storage with a broken limit", "/status/tsdb", [("limit", "few")]),
        good(
            "features",
            "/features",
            [],
            [
                "/data/promql/at_modifier",
                "/data/promql_functions/rate",
                "/data/templating_functions/humanize",
            ],
        ),
        good("the blocks", "/status/tsdb/blocks", [], ["/data/blocks"]),
        good(
            "metrics of the server itself",
            "/status/self_metrics",
            [("metric_name_pattern", "prometheus_build.*")],
            [
                "/data/0/name=prometheus_build_info",
                "/data/0/type=GAUGE",
                "/data/0/metric/0/gauge/value",
                "/data/0/metric/0/label/0/name",
            ],
        ),
        bad("metrics by no pattern", "/status/self_metrics", [("metric_name_pattern", "(")]),
        good("notices", "/notifications", [], ["/data"]),
        good("the replay of the log", "/status/walreplay", [], ["/data/min", "/data/max", "/data/current"]),
    ]
}
