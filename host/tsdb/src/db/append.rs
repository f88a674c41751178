//! A batch: what one appender collects, and how it becomes durable and then visible.
//!
//! Commits are grouped: whoever finds the log free becomes the leader, takes every batch that waits by then,
//! writes and syncs them as one, applies them in that order, and leaves each its result. Replaying the log
//! applies the same batches in the same order by the same rules, so that a restart gives the same head.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use model::{
    Append, AppendError, Appender, CommitError, Exemplar, Histogram, Labels, Metadata, Sample, SeriesRef,
    Timestamp,
};

use super::Shared;
use crate::Tsdb;
use crate::error::{Error, Result};
use crate::head::{Counters, Head, SampleValue, Series, Verdict, judge_exemplar, judge_sample};
use crate::wal::{put_frame, record};

impl Append for Tsdb {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(BatchAppender { db: &self.shared, batch: Batch::default(), newest: Newest::default() })
    }
}

/// The items of a batch, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Batch {
    samples: Vec<(Arc<Series>, i64, SampleValue)>,
    exemplars: Vec<(Arc<Series>, Exemplar)>,
    metadata: Vec<(String, Metadata)>,
    /// Series that the log may not know yet.
    fresh: Vec<Arc<Series>>,
    /// The oldest time of any item.
    min_time: Option<i64>,
}

/// A batch that waits for its commit.
pub(super) struct Pending {
    batch: Batch,
    /// The batch as sections, without the definitions of its series.
    body: Vec<u8>,
    result: OnceLock<std::result::Result<(), Arc<Error>>>,
}

struct BatchAppender<'a> {
    db: &'a Shared,
    batch: Batch,
    newest: Newest,
}

/// Where in the batch the newest item of each series is, which the head does not know yet.
#[derive(Default)]
struct Newest {
    samples: HashMap<u32, usize, RandomState>,
    exemplars: HashMap<u32, usize, RandomState>,
}

impl BatchAppender<'_> {
    fn series(
        &self,
        series: Option<SeriesRef>,
        labels: &Labels,
    ) -> std::result::Result<Arc<Series>, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels("a series needs at least one label".to_owned()));
        }
        let head = &self.db.head;
        let known = series.and_then(|series| u32::try_from(series.0).ok()).and_then(|id| head.by_id(id));
        match known {
            Some(series) if series.labels == *labels => Ok(series),
            _ => head.get_or_create(labels),
        }
    }

    fn add(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        time: Timestamp,
        value: SampleValue,
    ) -> std::result::Result<SeriesRef, AppendError> {
        let time = time.millis();
        if time < self.db.head.min_valid() {
            return Err(AppendError::OutOfBounds);
        }
        let series = self.series(series, labels)?;
        let id = SeriesRef(u64::from(series.id));
        let newest = self.newest.samples.entry(series.id);
        let verdict = match &newest {
            Entry::Occupied(at) => {
                let (_, last_time, last) = &self.batch.samples[*at.get()];
                judge_sample((*last_time, last), time, &value)?
            }
            Entry::Vacant(_) => series.judge(time, &value)?,
        };
        if verdict == Verdict::Add {
            newest.insert_entry(self.batch.samples.len());
            self.batch.saw(&series, time);
            self.batch.samples.push((series, time, value));
        }
        Ok(id)
    }
}

impl Appender for BatchAppender<'_> {
    fn append(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        sample: Sample,
    ) -> std::result::Result<SeriesRef, AppendError> {
        self.add(series, labels, sample.timestamp, SampleValue::Float(sample.value))
    }

    fn append_histogram(
        &mut self,
        series: Option<SeriesRef>,
        labels: &Labels,
        timestamp: Timestamp,
        histogram: &Histogram,
    ) -> std::result::Result<SeriesRef, AppendError> {
        histogram.validate().map_err(|error| AppendError::InvalidHistogram(error.to_string()))?;
        self.add(series, labels, timestamp, SampleValue::Histogram(Arc::new(histogram.clone())))
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> std::result::Result<(), AppendError> {
        if !exemplar.fits() {
            return Err(AppendError::ExemplarTooLong);
        }
        let time = exemplar.timestamp.millis();
        if time < self.db.head.min_valid() {
            return Err(AppendError::OutOfBounds);
        }
        let known = u32::try_from(series.0).ok().and_then(|id| self.db.head.by_id(id));
        let series = known.ok_or(AppendError::UnknownSeries(series.0))?;
        let newest = self.newest.exemplars.entry(series.id);
        let verdict = match &newest {
            Entry::Occupied(at) => judge_exemplar(Some(&self.batch.exemplars[*at.get()].1), exemplar)?,
            Entry::Vacant(_) => series.judge_exemplar(exemplar)?,
        };
        if verdict == Verdict::Add {
            newest.insert_entry(self.batch.exemplars.len());
            self.batch.saw(&series, time);
            self.batch.exemplars.push((series, exemplar.clone()));
        }
        Ok(())
    }

    fn append_metadata(&mut self, family: &str, metadata: &Metadata) {
        if !self.db.head.knows_metadata(family, metadata) {
            self.batch.metadata.push((family.to_owned(), metadata.clone()));
        }
    }

    fn commit(self: Box<Self>) -> std::result::Result<(), CommitError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let body = self.batch.encode();
        let pending = Arc::new(Pending { batch: self.batch, body, result: OnceLock::new() });
        self.db.commit(&pending).map_err(|error| CommitError(Box::new(error)))
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.exemplars.is_empty() && self.metadata.is_empty()
    }

    fn saw(&mut self, series: &Arc<Series>, time: i64) {
        self.min_time = Some(self.min_time.map_or(time, |min| min.min(time)));
        if !series.is_logged() {
            self.fresh.push(series.clone());
        }
    }

    /// The batch as sections of a log frame. Floats and histograms are told in runs, so that a replay sees the
    /// samples of a series in their order.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.samples.len() * 6 + 64);
        let is_float = |value: &SampleValue| matches!(value, SampleValue::Float(_));
        for run in self.samples.chunk_by(|a, b| is_float(&a.2) == is_float(&b.2)) {
            let ids: Vec<u32> = run.iter().map(|(series, _, _)| series.id).collect();
            let times: Vec<i64> = run.iter().map(|(_, time, _)| *time).collect();
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for (_, _, value) in run {
                match value {
                    SampleValue::Float(float) => floats.push(*float),
                    SampleValue::Histogram(histogram) => histograms.push(histogram.clone()),
                }
            }
            if histograms.is_empty() {
                record::put_floats(&mut out, &ids, &times, &floats);
            } else {
                record::put_histograms(&mut out, &ids, &times, &histograms);
            }
        }
        if !self.exemplars.is_empty() {
            let ids: Vec<u32> = self.exemplars.iter().map(|(series, _)| series.id).collect();
            let exemplars: Vec<&Exemplar> = self.exemplars.iter().map(|(_, exemplar)| exemplar).collect();
            record::put_exemplars(&mut out, &ids, &exemplars);
        }
        if !self.metadata.is_empty() {
            record::put_metadata(&mut out, self.metadata.iter().map(|(family, m)| (family.as_str(), m)));
        }
        out
    }

    fn apply(&self, head: &Head) {
        let (mut taken, mut oldest, mut newest) = (0, i64::MAX, i64::MIN);
        for (series, time, value) in &self.samples {
            if head.append(series, *time, value.clone()).is_ok() {
                (taken, oldest, newest) = (taken + 1, oldest.min(*time), newest.max(*time));
            }
        }
        // Counted once per batch: these are written by every committing thread.
        head.saw_times(oldest, newest);
        Counters::add(&head.counters.samples_appended, taken);
        Counters::add(&head.counters.samples_dropped, self.samples.len() as u64 - taken);
        for (series, exemplar) in &self.exemplars {
            apply_exemplar(head, series, exemplar);
        }
        for (family, metadata) in &self.metadata {
            head.set_metadata(family, metadata);
        }
    }
}

/// Makes a sample of the log visible. One that another batch had overtaken is dropped and counted.
pub(super) fn apply_sample(head: &Head, series: &Arc<Series>, time: i64, value: SampleValue) {
    let taken = time >= head.min_valid() && head.append(series, time, value).is_ok();
    if taken {
        head.saw_times(time, time);
        Counters::add(&head.counters.samples_appended, 1);
    } else {
        Counters::add(&head.counters.samples_dropped, 1);
    }
}

/// As [`apply_sample`], for an exemplar.
pub(super) fn apply_exemplar(head: &Head, series: &Arc<Series>, exemplar: &Exemplar) {
    let in_time = exemplar.timestamp.millis() >= head.min_valid();
    if in_time && series.append_exemplar(exemplar) == Ok(Verdict::Add) {
        Counters::add(&head.counters.exemplars_appended, 1);
    }
}

impl Shared {
    fn commit(&self, pending: &Arc<Pending>) -> std::result::Result<(), Arc<Error>> {
        self.queue.lock().push(pending.clone());
        let mut wal = self.wal.lock();
        // Whoever had the log before may have taken this batch along.
        if let Some(result) = pending.result.get() {
            return result.clone();
        }
        let group = std::mem::take(&mut *self.queue.lock());
        let result = match wal.as_mut() {
            Some(wal) => self.commit_group(wal, &group),
            None => Err(Error::Closed),
        };
        let result = result.map_err(Arc::new);
        for member in &group {
            // A member that was refused by itself has its result already.
            let _ = member.result.set(result.clone());
        }
        pending.result.get().cloned().unwrap_or(result)
    }

    /// Writes, syncs and applies batches in their order.
    fn commit_group(&self, wal: &mut crate::wal::Wal, group: &[Arc<Pending>]) -> Result<()> {
        let mut frames = Vec::with_capacity(group.iter().map(|member| member.body.len() + 256).sum());
        let mut defined: HashSet<u32, RandomState> = HashSet::default();
        let mut accepted: Vec<&Pending> = Vec::with_capacity(group.len());
        let min_valid = self.head.min_valid();
        for member in group {
            if member.batch.min_time.is_some_and(|time| time < min_valid) {
                let _ = member.result.set(Err(Arc::new(Error::BatchOutdated)));
                continue;
            }
            let mut fresh: Vec<&Arc<Series>> = Vec::new();
            let mut here: HashSet<u32, RandomState> = HashSet::default();
            for series in &member.batch.fresh {
                if !series.is_logged() && !defined.contains(&series.id) && here.insert(series.id) {
                    fresh.push(series);
                }
            }
            let mut definitions = Vec::new();
            if !fresh.is_empty() {
                record::put_series(&mut definitions, fresh.iter().map(|series| (series.id, &series.labels)));
            }
            match put_frame(&mut frames, [&definitions, &member.body]) {
                Ok(()) => {
                    defined.extend(here);
                    accepted.push(member);
                }
                Err(error) => {
                    let _ = member.result.set(Err(Arc::new(error)));
                }
            }
        }
        if accepted.is_empty() {
            return Ok(());
        }
        wal.append(&frames, self.clock.now())?;
        let view = self.view.write();
        for member in accepted {
            member.batch.fresh.iter().for_each(|series| series.set_logged());
            member.batch.apply(&self.head);
        }
        drop(view);
        Ok(())
    }
}
