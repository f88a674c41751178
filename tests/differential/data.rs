//! What both servers are told: series of every kind that behaves in a way of its own, the same in every run.
//!
//! Samples lie beside whole seconds, and everything asked lies on them: whether a window includes its left end is one of
//! the things that Prometheus 3 has changed.

use formats::{TimeSeries, WriteRequest, remote_write};
use model::staleness::STALE_NAN;
use model::{Buckets, Histogram, Labels, ResetHint, Sample, Timestamp};

/// The time of the first samples, a whole minute.
pub(super) const START_MS: i64 = 1_700_006_400_000;
/// How long the data goes on.
pub(super) const LENGTH_MS: i64 = 3_600_000;
/// The time between two samples of a series.
const STEP_MS: i64 = 15_000;
/// How far samples lie beside whole seconds.
const SHIFT_MS: i64 = 217;
const STEPS: usize = (LENGTH_MS / STEP_MS) as usize;

const INSTANCES: [&str; 3] = ["a:1", "b:1", "c:2"];
const BOUNDS: [&str; 6] = ["0.1", "0.2", "0.5", "1", "5", "+Inf"];

/// Random numbers, the same everywhere: splitmix64.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

/// The series, being filled.
struct Filler {
    series: Vec<TimeSeries>,
    random: Random,
}

/// The bodies of the remote write requests, in the order in which servers take them.
pub(super) fn requests() -> Vec<Vec<u8>> {
    let mut filler = Filler { series: Vec::new(), random: Random(4) };
    filler.counters();
    filler.gauges();
    filler.classic_histograms();
    filler.native_histograms();
    // A series' samples come in order; one request with all is what every server takes.
    vec![remote_write::encode(&WriteRequest { series: filler.series, metadata: Vec::new() })]
}

fn at(step: usize) -> i64 {
    START_MS + step as i64 * STEP_MS + SHIFT_MS
}

impl Filler {
    fn floats(&mut self, labels: &[(&str, &str)], mut value: impl FnMut(usize, &mut Random) -> Option<f64>) {
        let samples =
            (0..STEPS).filter_map(|step| Some(Sample::new(at(step), value(step, &mut self.random)?)));
        let samples = samples.collect();
        let labels = Labels::from_pairs(labels.iter().copied());
        self.series.push(TimeSeries { labels, samples, ..TimeSeries::default() });
    }

    /// `requests_total` with resets, gaps, stale markers, late starts; `sparse_total` with samples seven minutes apart.
    fn counters(&mut self) {
        for (number, instance) in INSTANCES.iter().enumerate() {
            for (kind, (job, code)) in
                [("api", "200"), ("api", "500"), ("web", "200"), ("web", "404")].into_iter().enumerate()
            {
                // High from the start: how far a counter near zero is extrapolated is another thing that has changed.
                // And far apart, so that no two are ever equal.
                let mut total = 1_000_000.0 + (number * 4 + kind) as f64 * 100_000.0;
                let labels =
                    [("__name__", "requests_total"), ("code", code), ("instance", *instance), ("job", job)];
                self.floats(&labels, |step, random| {
                    total += random.below(50) as f64 + number as f64 / 8.0;
                    match (job, code, number) {
                        // Starts anew, but not at zero.
                        ("api", "200", _) if step == 60 + 30 * number => {
                            total = 500_000.0 + number as f64 * 50_000.0;
                        }
                        ("api", "500", 0) if (100..130).contains(&step) => return None,
                        ("api", "500", 1) if step == 90 => return Some(STALE_NAN),
                        ("api", "500", 1) if (91..120).contains(&step) => return None,
                        ("web", "404", 2) if step < 110 => return None,
                        ("web", "404", 1) if step > 170 => return None,
                        ("web", "404", 0) if step == 150 => return Some(STALE_NAN),
                        ("web", "404", 0) if step > 150 => return None,
                        _ => {}
                    }
                    Some(total)
                });
            }
            let labels = [("__name__", "sparse_total"), ("instance", *instance), ("job", "api")];
            self.floats(&labels, |step, random| {
                (step % 28 == number).then(|| 10_000.0 + (step * 100 + random.below(90)) as f64)
            });
        }
    }

    /// `temperature` around zero, `size` in whole numbers, `build_info` that changes, `odd` with what is no number.
    fn gauges(&mut self) {
        for (number, instance) in INSTANCES.iter().enumerate() {
            for job in ["api", "web"] {
                let mut value = number as f64 * 7.0;
                let labels = [("__name__", "temperature"), ("instance", *instance), ("job", job)];
                self.floats(&labels, |step, random| {
                    value += random.below(1000) as f64 / 250.0 - 1.99;
                    (!(job == "web" && number == 1 && (40..70).contains(&step))).then_some(value)
                });
            }
            let labels = [("__name__", "size"), ("instance", *instance), ("kind", "disk")];
            self.floats(&labels, |_, random| Some((random.below(5) * 10 + number) as f64));
            for (version, steps) in [("1.0", 0..120 + 10 * number), ("1.1", 120 + 10 * number..STEPS)] {
                let labels = [("__name__", "build_info"), ("instance", *instance), ("version", version)];
                self.floats(&labels, |step, _| match step {
                    step if steps.contains(&step) => Some(1.0),
                    step if step == steps.end => Some(STALE_NAN),
                    _ => None,
                });
            }
        }
        for (which, odd) in
            [("nan", f64::NAN), ("inf", f64::INFINITY), ("minus", f64::NEG_INFINITY), ("zero", -0.0)]
        {
            self.floats(&[("__name__", "odd"), ("which", which)], |step, _| {
                Some(if step % 11 == 5 { odd } else { step as f64 / 16.0 })
            });
        }
    }

    fn classic_histograms(&mut self) {
        for (number, instance) in INSTANCES.iter().enumerate() {
            for job in ["api", "web"] {
                let mut counts = vec![[0.0; BOUNDS.len()]; STEPS];
                let mut total = [100_000.0; BOUNDS.len()];
                for (step, counts) in counts.iter_mut().enumerate() {
                    for (bound, total) in total.iter_mut().enumerate() {
                        *total += (self.random.below(4 + bound) + number) as f64;
                        // All buckets of a server that has started anew, but not at zero.
                        if job == "web" && step == 100 {
                            *total = 50_000.0;
                        }
                    }
                    let mut sum = 0.0;
                    for (count, total) in counts.iter_mut().zip(total) {
                        sum += total;
                        *count = sum;
                    }
                }
                for (bound, le) in BOUNDS.iter().enumerate() {
                    let labels =
                        [("__name__", "latency_bucket"), ("instance", *instance), ("job", job), ("le", *le)];
                    self.floats(&labels, |step, _| Some(counts[step][bound]));
                }
                let labels = [("__name__", "latency_count"), ("instance", *instance), ("job", job)];
                self.floats(&labels, |step, _| Some(counts[step][BOUNDS.len() - 1]));
                let labels = [("__name__", "latency_sum"), ("instance", *instance), ("job", job)];
                self.floats(&labels, |step, _| Some(counts[step][BOUNDS.len() - 1] * 0.375));
            }
        }
    }

    /// `duration`, which counts, changes its resolution and starts anew; `spread`, which is a gauge with negative buckets.
    fn native_histograms(&mut self) {
        for (number, instance) in INSTANCES.iter().enumerate() {
            let mut counts = [1_000.0; 8];
            let mut histograms = Vec::new();
            for step in 0..STEPS {
                for (bucket, count) in counts.iter_mut().enumerate() {
                    *count += self.random.below(3 + bucket) as f64;
                }
                if number == 1 && step == 130 {
                    counts = [200.0; 8];
                }
                // Half way the resolution changes, and with it the buckets.
                let schema = if number == 2 && step >= 120 { 1 } else { 2 };
                histograms.push((
                    Timestamp::from_millis(at(step)),
                    histogram(schema, &counts, &[], ResetHint::Unknown),
                ));
            }
            self.native("duration", instance, histograms);

            let mut histograms = Vec::new();
            for step in 0..STEPS {
                let mut side = || [0; 5].map(|_| self.random.below(9) as f64 + 1.0);
                let (positive, negative) = (side(), side());
                histograms.push((
                    Timestamp::from_millis(at(step)),
                    histogram(0, &positive, &negative, ResetHint::Gauge),
                ));
            }
            self.native("spread", instance, histograms);
        }
    }

    fn native(&mut self, name: &str, instance: &str, histograms: Vec<(Timestamp, Histogram)>) {
        let labels = Labels::from_pairs([("__name__", name), ("instance", instance), ("job", "api")]);
        self.series.push(TimeSeries { labels, histograms, ..TimeSeries::default() });
    }
}

fn histogram(schema: i8, positive: &[f64], negative: &[f64], reset_hint: ResetHint) -> Histogram {
    let total: f64 = positive.iter().chain(negative).sum();
    // Every third bucket is missing, so that there are spans.
    let side = |counts: &[f64]| {
        Buckets::from_pairs(counts.iter().enumerate().map(|(at, count)| ((at + at / 2) as i32 - 3, *count)))
    };
    Histogram {
        schema,
        zero_threshold: 0.001,
        zero_count: 7.0,
        count: total + 7.0,
        sum: total * 0.625,
        positive: side(positive),
        negative: side(negative),
        reset_hint,
        ..Histogram::stale()
    }
}
