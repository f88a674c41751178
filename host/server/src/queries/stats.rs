//! What a query took, as the API and the query log tell it.

use model::Timestamp;
use promql::QueryStats;
use serde_json::json;

/// What a query took, in Prometheus' shape.
pub(crate) fn to_json(stats: &QueryStats) -> serde_json::Value {
    let timings = &stats.timings;
    let mut samples = json!({
        "totalQueryableSamples": stats.queryable_samples,
        "peakSamples": stats.peak_samples,
        "samplesRead": stats.samples_read,
    });
    if !stats.queryable_samples_per_step.is_empty() {
        let steps = &stats.queryable_samples_per_step;
        let pair = |(at, count): &(Timestamp, u64)| json!([at.millis() as f64 / 1000.0, count]);
        samples["totalQueryableSamplesPerStep"] = steps.iter().map(pair).collect();
    }
    json!({
        "timings": {
            "evalTotalTime": timings.eval_total.as_secs_f64(),
            "resultSortTime": timings.result_sort.as_secs_f64(),
            "queryPreparationTime": timings.query_preparation.as_secs_f64(),
            "innerEvalTime": timings.inner_eval.as_secs_f64(),
            "execQueueTime": timings.exec_queue.as_secs_f64(),
            "execTotalTime": timings.exec_total.as_secs_f64(),
        },
        "samples": samples,
    })
}
