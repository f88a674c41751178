//! What only some series of the head have: sealed chunks, late samples, exemplars.

use std::sync::Arc;

use model::Exemplar;

use super::series::{SampleValue, TimedSample, Verdict, judge_exemplar};
use crate::chunk::{ChunkKind, SharedChunk};

/// Late samples, by time.
pub(crate) type LateSamples = Vec<TimedSample>;

/// Kept apart from the page, so that series without any of it cost a pointer. Every series has some chunks in time, few have
/// anything else: what is not there takes a pointer here as well.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// In time order.
    pub(super) chunks: Vec<SharedChunk>,
    /// There are some, or `None`.
    late: Option<Arc<LateSamples>>,
    exemplars: Option<Box<Exemplars>>,
}

#[derive(Debug)]
struct Exemplars {
    /// In time order.
    kept: Arc<Vec<Exemplar>>,
    /// The newest one, which stays known when a block has taken all of them.
    last: Exemplar,
}

impl Rare {
    pub(super) fn find(&self, time: i64) -> Option<SampleValue> {
        let late = self.late.as_ref().map_or(&[][..], |late| late);
        if let Ok(at) = late.binary_search_by_key(&time, |late| late.time) {
            return late.get(at).map(|late| late.value.clone());
        }
        let at = self.chunks.partition_point(|chunk| chunk.meta().max_time < time);
        let chunk = self.chunks.get(at).filter(|chunk| chunk.meta().overlaps(time, time))?;
        find_in(chunk, time)
    }

    /// Adds a late sample. Says whether its time was free.
    pub(super) fn add_late(&mut self, sample: TimedSample) -> bool {
        let late = self.late.get_or_insert_default();
        let Err(at) = late.binary_search_by_key(&sample.time, |late| late.time) else { return false };
        Arc::make_mut(late).insert(at, sample);
        true
    }

    pub(super) const fn late(&self) -> Option<&Arc<LateSamples>> {
        self.late.as_ref()
    }

    pub(super) fn kept_exemplars(&self) -> Option<&Arc<Vec<Exemplar>>> {
        self.exemplars.as_ref().map(|exemplars| &exemplars.kept).filter(|kept| !kept.is_empty())
    }

    pub(super) fn last_exemplar(&self) -> Option<&Exemplar> {
        self.exemplars.as_ref().map(|exemplars| &exemplars.last)
    }

    /// Puts an exemplar where its time wants it. Says whether it was not there yet.
    pub(super) fn add_exemplar(&mut self, exemplar: &Exemplar) -> bool {
        let first = || Box::new(Exemplars { kept: Arc::default(), last: exemplar.clone() });
        let exemplars = self.exemplars.get_or_insert_with(first);
        let from = exemplars.kept.partition_point(|known| known.timestamp < exemplar.timestamp);
        let same_time = exemplars.kept.iter().skip(from).take_while(|e| e.timestamp == exemplar.timestamp);
        let mut at = from;
        for known in same_time {
            if judge_exemplar(Some(known), exemplar) == Ok(Verdict::Repeat) {
                return false;
            }
            at += 1;
        }
        Arc::make_mut(&mut exemplars.kept).insert(at, exemplar.clone());
        if exemplar.timestamp >= exemplars.last.timestamp {
            exemplars.last = exemplar.clone();
        }
        true
    }

    /// Says how many chunks went.
    pub(super) fn drop_before(&mut self, end: i64, late: Option<&[i64]>) -> u32 {
        let before = self.chunks.len();
        self.chunks.retain(|chunk| chunk.meta().max_time >= end);
        let gone = before - self.chunks.len();
        self.chunks.shrink_to_fit();
        let goes = |time: i64| match late {
            Some(late) => late.binary_search(&time).is_ok(),
            None => time < end,
        };
        if let Some(late) = &mut self.late
            && late.iter().any(|late| goes(late.time))
        {
            Arc::make_mut(late).retain(|late| !goes(late.time));
        }
        self.late.take_if(|late| late.is_empty());
        if let Some(exemplars) = &mut self.exemplars
            && exemplars.kept.iter().any(|exemplar| exemplar.timestamp.millis() < end)
        {
            Arc::make_mut(&mut exemplars.kept).retain(|exemplar| exemplar.timestamp.millis() >= end);
        }
        gone as u32
    }

    /// Whether there are neither samples nor exemplars.
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.late.is_none() && self.kept_exemplars().is_none()
    }

    /// Whether it says nothing that a series without it does not say.
    pub(super) fn is_needless(&self) -> bool {
        self.is_empty() && self.exemplars.is_none()
    }
}

fn find_in(chunk: &SharedChunk, time: i64) -> Option<SampleValue> {
    let mut found = None;
    match chunk.meta().kind {
        ChunkKind::Floats => {
            let (mut times, mut floats) = (Vec::new(), Vec::new());
            // What this process has encoded itself decodes; where memory went bad, a reader will say so.
            chunk.meta().decode_floats(chunk.data(), &mut times, &mut floats).ok()?;
            let at = times.binary_search(&time).ok()?;
            found = floats.get(at).copied().map(SampleValue::Float);
        }
        ChunkKind::Histograms => {
            let each = |at: i64, histogram| {
                if at == time {
                    found = Some(SampleValue::Histogram(histogram));
                }
            };
            chunk.meta().decode_histograms(chunk.data(), each).ok()?;
        }
        // The head has none.
        ChunkKind::Summaries => {}
    }
    found
}
