//! Planted outliers, which no series shows by itself.

use stormglass_sdk::testing::init;

use super::*;

/// Two series that rise and fall together between 0 and 100, with a little noise, over so many steps.
fn together(steps: usize) -> Vec<f64> {
    let wave = |step: usize| 50.0 + 50.0 * (step as f64 * 0.37).sin();
    let noise = |step: usize| ((step * 7919) % 101) as f64 / 50.0 - 1.0;
    let first = (0..steps).map(|step| wave(step) + noise(step));
    first.chain((0..steps).map(|step| wave(step) + noise(step + 50))).collect()
}

fn job(values: Vec<f64>, steps: usize) -> Job {
    let series = values.len() / steps;
    Job { start_ms: 0, step_ms: 1000, steps: steps as u32, series: series as u32, values }
}

fn history(values: Vec<f64>, steps: usize) -> History {
    let Job { start_ms, step_ms, steps, series, values } = job(values, steps);
    History { start_ms, step_ms, steps, series, values }
}

fn trained(config: &str) -> IsolationForest {
    let mut plugin: IsolationForest = init(config).unwrap();
    let model = plugin.train(&history(together(1000), 1000), &[]).unwrap();
    plugin.load(&model).unwrap();
    plugin
}

fn scores(plugin: &mut IsolationForest, points: &[(f64, f64)]) -> Vec<f64> {
    let values = points.iter().map(|p| p.0).chain(points.iter().map(|p| p.1)).collect();
    let scores = plugin.detect(&job(values, points.len())).unwrap().scores;
    assert_eq!(scores[..points.len()], scores[points.len()..], "a step has one score");
    scores[..points.len()].to_vec()
}

/// The robust z-score of a value among those of one series: how far it is from the median, in scaled median deviations.
fn robust_z(values: &[f64], value: f64) -> f64 {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let center = median(values.to_vec());
    let spread = median(values.iter().map(|v| (v - center).abs()).collect());
    0.6745 * (value - center).abs() / spread
}

#[test]
fn what_each_series_takes_for_ordinary_is_found_in_both() {
    let mut plugin = trained("{}");
    // High here and low there: each has been seen a hundred times, both together never.
    let planted = [(85.0, 15.0), (15.0, 85.0)];
    let values = together(1000);
    for (first, second) in planted {
        assert!(robust_z(&values[..1000], first) < 3.5 && robust_z(&values[1000..], second) < 3.5);
    }
    let ordinary: Vec<(f64, f64)> = (0..1000).map(|step| (values[step], values[1000 + step])).collect();
    let usual = scores(&mut plugin, &ordinary);
    let most = usual.iter().copied().fold(0.0, f64::max);
    for score in scores(&mut plugin, &planted) {
        assert!(score > most, "{score} is below {most}, which an ordinary step has");
    }
    // Far outside of everything is worse still than the mean of what is ordinary.
    let mean = usual.iter().sum::<f64>() / usual.len() as f64;
    assert!(scores(&mut plugin, &[(1e6, -1e6)])[0] > most.max(mean * 2.0));
}

#[test]
fn without_training_the_job_itself_is_the_forest() {
    let mut values = together(400);
    (values[200], values[600]) = (90.0, 10.0);
    let mut plugin: IsolationForest = init("{}").unwrap();
    let scores = plugin.detect(&job(values, 400)).unwrap().scores;
    let highest = (0..400).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
    assert_eq!(highest, 200);
    let few = plugin.detect(&job(together(20), 20)).unwrap().scores;
    assert!(few.iter().all(|score| score.is_nan()));
}

#[test]
fn the_same_seed_makes_the_same_forest() {
    let model = |seed: u64| {
        let mut plugin: IsolationForest = init(&format!(r#"{{"seed": {seed}, "trees": 10}}"#)).unwrap();
        plugin.train(&history(together(500), 500), &[]).unwrap()
    };
    assert_eq!(model(7), model(7));
    assert_ne!(model(7), model(8));
}

#[test]
fn what_is_missing_is_no_outlier() {
    let mut plugin = trained("{}");
    let points = [(50.0, f64::NAN), (f64::NAN, f64::NAN), (50.0, 50.0)];
    let values: Vec<f64> = points.iter().map(|p| p.0).chain(points.iter().map(|p| p.1)).collect();
    let scores = plugin.detect(&job(values.clone(), 3)).unwrap().scores;
    assert!(scores[0] < 0.3 && scores[3].is_nan(), "{scores:?}");
    assert!(scores[1].is_nan() && scores[4].is_nan(), "{scores:?}");
    // A series that came after training is not judged, and changes nothing for the others.
    let more = [values, vec![1e9, 1e9, 1e9]].concat();
    let with_more = plugin.detect(&job(more, 3)).unwrap().scores;
    assert_eq!((with_more[0], with_more[2]), (scores[0], scores[2]));
    assert!(with_more[6..].iter().all(|score| score.is_nan()));
}

#[test]
fn a_constant_has_no_outliers() {
    let mut plugin: IsolationForest = init("{}").unwrap();
    let scores = plugin.detect(&job(vec![3.0; 200], 200)).unwrap().scores;
    assert!(scores.iter().all(|score| *score < 0.01), "{scores:?}");
}

#[test]
fn models_that_are_none_are_refused() {
    let mut plugin: IsolationForest = init("{}").unwrap();
    for wrong in [
        "something else",
        r#"{"medians": [1.0], "sample": 2, "trees": []}"#,
        r#"{"medians": [1.0], "sample": 2, "trees": [[{"s": [0, 1.0, 0]}]]}"#,
        r#"{"medians": [1.0], "sample": 2, "trees": [[{"s": [5, 1.0, 1]}, {"l": 1}, {"l": 1}]]}"#,
    ] {
        assert!(!plugin.load(wrong.as_bytes()).unwrap_err().is_retryable(), "{wrong}");
    }
    plugin
        .load(br#"{"medians": [1.0], "sample": 2, "trees": [[{"s": [0, 1.0, 1]}, {"l": 1}, {"l": 1}]]}"#)
        .unwrap();
    let error = plugin.train(&history(together(10), 10), &[]).unwrap_err();
    assert_eq!(error.message(), "10 points are too few: min_points is 64");
}
