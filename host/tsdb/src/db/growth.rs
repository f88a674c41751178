//! Which metrics and labels grow, told from what was counted some minutes ago.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;
use model::METRIC_NAME;
use parking_lot::Mutex;

use super::Shared;
use crate::Tsdb;

/// Names of a kind that are counted: those with the most series. What grows is soon among them.
const NAMES_MAX: usize = 4_096;
/// The windows that are told.
const WINDOWS: [Duration; 2] = [Duration::from_secs(5 * 60), Duration::from_secs(60 * 60)];
/// Within the short window every count is kept, beyond it one in so many minutes.
const COARSE_MS: i64 = 10 * 60 * 1000;

/// What has grown within some time, the fastest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Growth {
    /// Over which time; less than wanted where the process is younger.
    pub window: Duration,
    /// Series of the head that came, less those that left, by metric name.
    pub series_by_metric: Vec<(String, u64)>,
    /// The same for the values of a label, by label name.
    pub values_by_label: Vec<(String, u64)>,
}

type Counts = HashMap<Box<str>, u64, RandomState>;

#[derive(Debug)]
struct Counted {
    at_ms: i64,
    metrics: Counts,
    labels: Counts,
}

/// What was counted lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct GrowthLog(Mutex<VecDeque<Counted>>);

impl Tsdb {
    /// Counts series by metric and values by label, for [`Tsdb::growth`] to compare with. Meant to be called once a
    /// minute.
    pub fn note_growth(&self) {
        let counted = self.shared.count(NAMES_MAX);
        let mut log = self.shared.growth.0.lock();
        let now = counted.at_ms;
        log.push_back(counted);
        let (short, long) = (window_ms(WINDOWS[0]), window_ms(WINDOWS[1]));
        let mut slot = None;
        log.retain(|counted| {
            let (age, own_slot) = (now - counted.at_ms, counted.at_ms.div_euclid(COARSE_MS));
            let first_of_slot = slot.replace(own_slot) != Some(own_slot);
            // The one before the window's start is what the window is compared with.
            age <= short + COARSE_MS / 10 || first_of_slot && age <= long + COARSE_MS
        });
    }

    /// The metrics and labels that have grown most over the last minutes and over the last hour, `count_max` of each.
    /// Empty before [`Tsdb::note_growth`] was first called.
    pub fn growth(&self, count_max: usize) -> Vec<Growth> {
        let now = self.shared.count(NAMES_MAX);
        let log = self.shared.growth.0.lock();
        let grown = WINDOWS.iter().filter_map(|window| {
            let since = now.at_ms - window_ms(*window);
            let before = log.iter().rev().find(|counted| counted.at_ms <= since).or(log.front())?;
            Some(Growth {
                window: Duration::from_millis(u64::try_from(now.at_ms - before.at_ms).unwrap_or(0)),
                series_by_metric: grown(&now.metrics, &before.metrics, count_max),
                values_by_label: grown(&now.labels, &before.labels, count_max),
            })
        });
        grown.collect()
    }
}

fn window_ms(window: Duration) -> i64 {
    i64::try_from(window.as_millis()).unwrap_or(i64::MAX)
}

fn grown(now: &Counts, before: &Counts, count_max: usize) -> Vec<(String, u64)> {
    let grown = now.iter().filter_map(|(name, count)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or(0));
        (more > 0).then(|| (name.to_string(), more))
    });
    let mut grown: Vec<_> = grown.collect();
    grown.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    grown.truncate(count_max);
    grown
}

impl Shared {
    fn count(&self, names_max: usize) -> Counted {
        let largest = |mut counts: Vec<(&str, u64)>| -> Counts {
            if counts.len() > names_max {
                counts.select_nth_unstable_by(names_max, |a, b| b.1.cmp(&a.1));
                counts.truncate(names_max);
            }
            counts.into_iter().map(|(name, count)| (name.into(), count)).collect()
        };
        let index = self.head.index();
        let metrics = index
            .values(METRIC_NAME)
            .into_iter()
            .flat_map(|known| known.carried().map(|(metric, carried)| (metric, carried.count())));
        Counted {
            at_ms: self.clock.now().millis(),
            metrics: largest(metrics.collect()),
            labels: largest(index.names().map(|(name, known)| (name, known.carried_count())).collect()),
        }
    }
}
