//! Deltas, added up: from what has happened since the last report to what has happened since the start.
//!
//! Each series has a running total, to which the points of its reports are added in their order; the total goes to storage. A
//! series that has not been heard of for a while is forgotten, and begins at zero when it comes back, which its readers see
//! as a counter that was reset. The totals are in memory; after a restart they are those that were stored last, as far as
//! whoever stores them can recall them.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::sync::{Mutex, PoisonError};

use model::staleness::is_stale;
use model::{Buckets, Histogram, Labels, ResetHint, Timestamp};

use crate::TimeSeries;

/// A series is forgotten after this: the default of OpenTelemetry's own processor.
const FORGOTTEN_AFTER_MS: i64 = 5 * 60 * 1000;

/// Totals that are kept at most, at some two hundred bytes each; beyond, new series are refused.
const SERIES_MAX: usize = 1_000_000;

/// How often series are forgotten, counted in reports, so that no report pays for all.
const REPORTS_PER_SWEEP: usize = 1000;

/// Tells the total of a series that was stored last, and when, as of a moment.
pub type Recall = dyn Fn(&Labels, Timestamp) -> Option<(Timestamp, Total)> + Send + Sync;

/// The running totals of all series that are sent as deltas.
#[derive(Default)]
pub struct Deltas {
    state: Mutex<State>,
    recall: Option<Box<Recall>>,
}

#[derive(Default)]
struct State {
    totals: HashMap<Labels, Running, RandomState>,
    reports: usize,
}

struct Running {
    /// The time of the point that was added last.
    at: Timestamp,
    value: Total,
}

/// What all points of a series come to.
#[derive(Debug, Clone, PartialEq)]
pub enum Total {
    /// Of a number.
    Float(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

impl std::fmt::Debug for Deltas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deltas").finish_non_exhaustive()
    }
}

impl Deltas {
    /// Totals that go on where `recall` says that they ended, for series that are heard of the first time.
    pub fn recalling(recall: Box<Recall>) -> Self {
        Self { recall: Some(recall), ..Self::default() }
    }

    /// Puts totals in place of the deltas of one series, whose points are in order of time.
    ///
    /// # Errors
    /// Says which point cannot be added; those before it have been.
    pub(super) fn add_up(&self, series: &mut TimeSeries) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recall) = &self.recall
            && !state.totals.contains_key(&series.labels)
            && let Some(first) = series
                .samples
                .first()
                .map(|sample| sample.timestamp)
                .or_else(|| series.histograms.first().map(|(at, _)| *at))
            && let Some((at, value)) = recall(&series.labels, first)
            && state.totals.len() < SERIES_MAX
        {
            state.totals.insert(series.labels.clone(), Running { at, value });
        }
        for sample in &mut series.samples {
            if !is_stale(sample.value) {
                sample.value =
                    match state.add(&series.labels, sample.timestamp, Total::Float(sample.value))? {
                        Total::Float(total) => *total,
                        Total::Histogram(_) => return Err(OTHER_KIND.to_owned()),
                    };
            }
        }
        for (timestamp, histogram) in &mut series.histograms {
            if !histogram.is_stale() {
                let delta = Total::Histogram(histogram.clone());
                *histogram = match state.add(&series.labels, *timestamp, delta)? {
                    Total::Histogram(total) => total.clone(),
                    Total::Float(_) => return Err(OTHER_KIND.to_owned()),
                };
            }
        }
        Ok(())
    }

    /// Notes that a report has been read.
    pub(super) fn reported(&self, newest: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reports += 1;
        if state.reports.is_multiple_of(REPORTS_PER_SWEEP) {
            let oldest = newest.offset(-FORGOTTEN_AFTER_MS);
            state.totals.retain(|_, total| total.at >= oldest);
        }
    }
}

const OTHER_KIND: &str = "a series is a float in one report and a histogram in another";

impl State {
    fn add(&mut self, labels: &Labels, at: Timestamp, delta: Total) -> Result<&Total, String> {
        if !self.totals.contains_key(labels) && self.totals.len() >= SERIES_MAX {
            return Err(format!("there are {SERIES_MAX} series of deltas already"));
        }
        let total = match self.totals.get_mut(labels) {
            Some(total) if at <= total.at => return Err("a delta that is out of order".to_owned()),
            Some(total) if at.since(total.at) <= FORGOTTEN_AFTER_MS => {
                total.at = at;
                match (&mut total.value, delta) {
                    (Total::Float(total), Total::Float(delta)) => *total += delta,
                    (Total::Histogram(total), Total::Histogram(delta)) => merge(total, &delta)?,
                    _ => return Err(OTHER_KIND.to_owned()),
                }
                return Ok(&self.totals.get(labels).ok_or("a total is gone")?.value);
            }
            _ => Running { at, value: delta },
        };
        Ok(&self.totals.entry(labels.clone()).insert_entry(total).into_mut().value)
    }
}

/// Adds a histogram to another, at the coarser of both resolutions.
fn merge(total: &mut Histogram, delta: &Histogram) -> Result<(), String> {
    let custom = total.has_custom_bounds() || delta.has_custom_bounds();
    if custom && (total.schema != delta.schema || total.custom_values != delta.custom_values) {
        return Err("the bounds of a histogram have changed between deltas".to_owned());
    }
    let schema = total.schema.min(delta.schema);
    for (side, more) in [(&mut total.positive, &delta.positive), (&mut total.negative, &delta.negative)] {
        let coarser = |buckets: &Buckets, from: i8| {
            let shift = u32::try_from(i32::from(from) - i32::from(schema)).unwrap_or_default();
            let pairs: Vec<(i32, f64)> =
                buckets.iter().map(|(index, count)| (((index - 1) >> shift) + 1, count)).collect();
            pairs
        };
        let mut sums: std::collections::BTreeMap<i32, f64> = std::collections::BTreeMap::new();
        for (index, count) in coarser(side, total.schema).into_iter().chain(coarser(more, delta.schema)) {
            *sums.entry(index).or_default() += count;
        }
        *side = Buckets::from_pairs(sums);
    }
    total.schema = schema;
    total.zero_threshold = total.zero_threshold.max(delta.zero_threshold);
    total.zero_count += delta.zero_count;
    total.count += delta.count;
    total.sum += delta.sum;
    total.reset_hint = ResetHint::Unknown;
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Sample;

    use super::*;

    fn series(samples: &[(i64, f64)]) -> TimeSeries {
        TimeSeries {
            labels: Labels::from_pairs([("__name__", "requests_total")]),
            samples: samples.iter().map(|(at, value)| Sample::new(*at, *value)).collect(),
            ..TimeSeries::default()
        }
    }

    #[test]
    fn deltas_are_added_up_in_order_and_forgotten_in_the_end() {
        let deltas = Deltas::default();
        let check = |samples: &[(i64, f64)], expected: Result<&[f64], &str>| {
            let mut series = series(samples);
            let added = deltas.add_up(&mut series);
            let totals: Vec<f64> = series.samples.iter().map(|sample| sample.value).collect();
            match expected {
                Ok(expected) => assert_eq!((added, totals.as_slice()), (Ok(()), expected)),
                Err(what) => assert_eq!(added, Err(what.to_owned())),
            }
        };
        check(&[(10, 1.0), (20, 2.0)], Ok(&[1.0, 3.0]));
        check(&[(30, 0.5)], Ok(&[3.5]));
        check(&[(30, 9.0)], Err("a delta that is out of order"));
        check(&[(40, 1.0)], Ok(&[4.5]));
        check(&[(40 + FORGOTTEN_AFTER_MS + 1, 1.0)], Ok(&[1.0]));
    }

    #[test]
    fn totals_go_on_where_they_are_recalled() {
        let deltas = Deltas::recalling(Box::new(|labels, at| {
            assert_eq!((labels.metric_name(), at.millis()), (Some("requests_total"), 50));
            Some((Timestamp::from_millis(40), Total::Float(7.0)))
        }));
        let mut first = series(&[(50, 1.0), (60, 1.0)]);
        assert_eq!(deltas.add_up(&mut first), Ok(()));
        assert_eq!(first.samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [8.0, 9.0]);
        let mut second = series(&[(70, 1.0)]);
        assert_eq!(deltas.add_up(&mut second), Ok(()));
        assert_eq!(second.samples[0].value, 10.0);
        let late = Deltas::recalling(Box::new(|_, _| Some((Timestamp::from_millis(50), Total::Float(7.0)))));
        assert!(late.add_up(&mut series(&[(50, 1.0)])).is_err(), "storage has that time already");
    }

    #[test]
    fn histograms_are_added_at_the_coarser_resolution() {
        let histogram = |schema, pairs: &[(i32, f64)]| Histogram {
            schema,
            count: pairs.iter().map(|(_, count)| count).sum(),
            sum: 1.0,
            positive: Buckets::from_pairs(pairs.iter().copied()),
            ..Histogram::stale()
        };
        let mut total = histogram(1, &[(1, 1.0), (2, 2.0), (3, 4.0)]);
        merge(&mut total, &histogram(0, &[(1, 10.0), (5, 1.0)])).unwrap();
        // Two buckets of the finer one make one of the coarser.
        assert_eq!(total.positive.iter().collect::<Vec<_>>(), [(1, 13.0), (2, 4.0), (5, 1.0)]);
        assert_eq!((total.schema, total.count, total.sum), (0, 18.0, 2.0));
        total.validate().unwrap();
    }
}
