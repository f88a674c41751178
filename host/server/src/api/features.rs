//! `/api/v1/features`: what this server can do, by Prometheus' categories and names, so that clients need not guess from
//! a version. Only what is known to be there is said to be there; what belongs to parts that we built otherwise is left
//! out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use promql::{AggregateOp, BinaryOp, Signature};

use super::envelope::{ApiResult, Success};
use crate::app::App;
use crate::features::Features;

type Category = BTreeMap<&'static str, bool>;

/// Parts of the language that are always there.
const LANGUAGE: [&str; 15] = [
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "start_end_modifiers",
    "subqueries",
    "trim_operators",
    "without",
];

pub(super) async fn features(State(app): State<Arc<App>>) -> ApiResult<BTreeMap<&'static str, Category>> {
    let enabled = app.queries.engine().options().features;
    let mut promql: Category = LANGUAGE.iter().map(|name| (*name, true)).collect();
    promql.extend([
        ("anchored", enabled.extended_range_selectors),
        ("smoothed", enabled.extended_range_selectors),
        ("fill", enabled.binop_fill_modifiers),
        ("fill_left", enabled.binop_fill_modifiers),
        ("fill_right", enabled.binop_fill_modifiers),
        ("delayed_name_removal", enabled.delayed_name_removal),
        ("per_step_stats", enabled.per_step_stats),
        ("type_and_unit_labels", enabled.type_and_unit_labels),
        ("use_start_timestamps", enabled.use_start_timestamps),
    ]);
    let functions = Signature::all()
        .iter()
        .map(|function| (function.name, enabled.experimental_functions || !function.is_experimental()));
    let aggregations = AggregateOp::ALL.iter().map(|aggregation| {
        (aggregation.as_str(), enabled.experimental_functions || !aggregation.is_experimental())
    });
    let operators = BinaryOp::ALL.iter().map(|operator| (operator.as_str(), true));
    let matchers = ["=", "!=", "=~", "!~", "@"].map(|operator| (operator, true));
    let api = [
        ("exclude_alerts", true),
        ("explain", true),
        ("label_values_match", true),
        ("admin", app.args.enable_admin_api),
        ("lifecycle", app.args.enable_lifecycle),
        ("otlp_write_receiver", true),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", true),
        ("search", true),
        ("time_range_labels", true),
        ("time_range_series", true),
    ];
    let rules = [
        ("concurrent_rule_eval", Features::parse(&app.args.enable_feature).concurrent_rules()),
        ("keep_firing_for", true),
        ("query_offset", true),
    ];
    let tsdb = [("exemplar_storage", true), ("isolation", true), ("native_histograms", true)];
    Ok(Success::new(BTreeMap::from([
        ("api", api.into()),
        ("prometheus", [("agent_mode", false), ("server_mode", true)].into()),
        ("promql", promql),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators.chain(aggregations).chain(matchers).collect()),
        ("rules", rules.into()),
        ("templating_functions", alerting::template::functions().iter().map(|name| (*name, true)).collect()),
        ("tsdb", tsdb.into()),
    ])))
}
