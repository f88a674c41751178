//! Scores against values worked out by hand, and against a plain reading of the definition.

use stormglass_sdk::testing::init;

use super::*;

fn job(rows: &[&[f64]]) -> Job {
    Job {
        start_ms: 0,
        step_ms: 15_000,
        steps: rows.first().map_or(0, |row| row.len() as u32),
        series: rows.len() as u32,
        values: rows.concat(),
    }
}

fn detect(config: &str, rows: &[&[f64]]) -> Scores {
    init::<ZScore>(config).unwrap().detect(&job(rows)).unwrap()
}

fn check(config: &str, row: &[f64], last: [f64; 3]) {
    let scores = detect(config, &[row]);
    let end = row.len() - 1;
    let got = [scores.scores[end], scores.lower[end], scores.upper[end]];
    for (got, expected) in got.iter().zip(last) {
        let same = got.is_nan() && expected.is_nan()
            || (got - expected).abs() <= 1e-9 * expected.abs()
            || *got == expected;
        assert!(same, "{row:?}: got {got}, expected {expected}");
    }
}

const SIGMA: f64 = 1.482_602_218_505_602;

#[test]
fn by_hand() {
    let config = r#"{"min_points": 4, "threshold": 2}"#;
    // Median 3, deviations 2 1 0 1 2, so MAD 1.
    check(config, &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0], [6.0 / SIGMA, 3.0 - 2.0 * SIGMA, 3.0 + 2.0 * SIGMA]);
    // An even window: median 2.5, deviations 1.5 0.5 0.5 1.5, so MAD 1.
    check(config, &[4.0, 1.0, 3.0, 2.0, 2.5], [0.0, 2.5 - 2.0 * SIGMA, 2.5 + 2.0 * SIGMA]);
    // One wild value in the window moves nothing by much.
    check(config, &[1.0, 2.0, 3.0, 4.0, 1e9, 3.0], [0.0, 3.0 - 2.0 * SIGMA, 3.0 + 2.0 * SIGMA]);
    // Missing values are no evidence, and have bounds but no score.
    check(
        config,
        &[1.0, f64::NAN, 2.0, 3.0, f64::INFINITY, 4.0, 5.0, f64::NAN],
        [f64::NAN, 3.0 - 2.0 * SIGMA, 3.0 + 2.0 * SIGMA],
    );
    check(config, &[1.0, 2.0, 3.0, f64::NAN, 4.0], [f64::NAN; 3]);
    check(
        config,
        &[1.0, 2.0, 3.0, 4.0, 5.0, f64::INFINITY],
        [f64::INFINITY, 3.0 - 2.0 * SIGMA, 3.0 + 2.0 * SIGMA],
    );
}

#[test]
fn a_constant_series_has_a_floor() {
    let config = r#"{"min_points": 3, "threshold": 1}"#;
    let scale = 0.1 + 1e-9;
    check(config, &[100.0, 100.0, 100.0, 100.0], [0.0, 100.0 - scale, 100.0 + scale]);
    check(config, &[100.0, 100.0, 100.0, 101.0], [1.0 / scale, 100.0 - scale, 100.0 + scale]);
    check(config, &[0.0, 0.0, 0.0, 1.0], [1e9, -1e-9, 1e-9]);
}

#[test]
fn where_most_values_are_equal_the_mean_deviation_counts() {
    let scale = 1.253_314_137_315_500_3 * 2.0;
    check(
        r#"{"min_points": 5, "threshold": 1}"#,
        &[0.0, 0.0, 0.0, 0.0, 10.0, 10.0],
        [10.0 / scale, -scale, scale],
    );
}

#[test]
fn a_window_forgets_and_the_scores_settle_after_a_step() {
    let mut row = vec![1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1, 0.9, 1.0];
    row.extend([5.0, 5.1, 4.9, 5.0, 5.05, 4.95, 5.0, 5.1, 4.9, 5.0, 5.0]);
    let scores = detect(r#"{"window": 10, "min_points": 10}"#, &[&row]).scores;
    assert!(scores[..10].iter().all(|score| score.is_nan()), "{scores:?}");
    assert!(scores[10] > 20.0, "{scores:?}");
    assert!(scores[20] < 1.0, "{scores:?}");
}

#[test]
fn a_past_score_does_not_depend_on_what_follows() {
    let row: Vec<f64> = noise(60);
    let whole = detect("{}", &[&row]);
    let half = detect("{}", &[&row[..30]]);
    assert_eq!(half.scores[10..], whole.scores[10..30]);
    assert_eq!(half.upper[10..], whole.upper[10..30]);
}

#[test]
fn rows_stand_apart() {
    let (a, b) = (noise(40), vec![7.0; 40]);
    let both = detect("{}", &[&a, &b]);
    assert_eq!(both.scores[10..40], detect("{}", &[&a]).scores[10..]);
    assert_eq!(both.scores[50..], detect("{}", &[&b]).scores[10..]);
    assert_eq!(both.lower.len(), 80);
}

#[test]
fn an_empty_job_has_empty_scores() {
    assert_eq!(detect("{}", &[]), Scores { scores: vec![], lower: vec![], upper: vec![] });
    assert!(detect("{}", &[&[], &[]]).scores.is_empty());
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut plugin: ZScore = init("{}").unwrap();
    let lie = Job { steps: u32::MAX, series: u32::MAX, ..job(&[&[1.0, 2.0]]) };
    assert_eq!(
        plugin.detect(&lie).unwrap_err().message(),
        "job has 2 values for 4294967295 series of 4294967295 steps"
    );
}

#[test]
fn the_sliding_window_agrees_with_the_definition() {
    let mut row = noise(300);
    for at in [3, 4, 50, 51, 52, 200] {
        row[at] = f64::NAN;
    }
    for at in [20, 120, 121] {
        row[at] *= 50.0;
    }
    for window in [10, 11, 64, 1000] {
        let scores = detect(&format!(r#"{{"window": {window}, "min_points": 8}}"#), &[&row]);
        for step in 0..row.len() {
            let before = &row[step.saturating_sub(window)..step];
            let expected = plain(before, row[step]);
            let got = scores.scores[step];
            let same =
                got.is_nan() && expected.is_nan() || (got - expected).abs() <= 1e-9 * expected.max(1.0);
            assert!(same, "window {window}, step {step}: got {got}, expected {expected}");
        }
    }
}

/// The definition, with nothing clever.
fn plain(before: &[f64], value: f64) -> f64 {
    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
    }
    let before: Vec<f64> = before.iter().copied().filter(|value| value.is_finite()).collect();
    if before.len() < 8 {
        return f64::NAN;
    }
    let centre = median(before.clone());
    let mad = median(before.iter().map(|value| (value - centre).abs()).collect());
    (value - centre).abs() / (mad * SIGMA).max(1e-3 * centre.abs() + 1e-9)
}

/// Values that scatter around 100, the same in every run.
fn noise(len: usize) -> Vec<f64> {
    let mut state = 42u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..len).map(|_| 100.0 + (0..4).map(|_| next() - 0.5).sum::<f64>()).collect()
}

#[test]
fn the_schema_has_the_keys_and_defaults_of_the_configuration() {
    let schema: serde_json::Value = serde_json::from_str(ZScore::CONFIG_SCHEMA).unwrap();
    let config = serde_json::to_value(Config::default()).unwrap();
    let defaults: serde_json::Map<_, _> = schema["properties"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, property)| (key.clone(), property["default"].clone()))
        .collect();
    assert_eq!(serde_json::Value::Object(defaults), config);
}

#[test]
fn a_window_too_small_to_score_is_refused() {
    let error = init::<ZScore>(r#"{"window": 5}"#).map(drop).unwrap_err();
    assert_eq!(
        error.message(),
        "window of 5 steps never holds min_points = 10 values; raise one or lower the other"
    );
}
