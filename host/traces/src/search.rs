//! Finding traces: the newest that match, as Tempo's `/api/search` answers.
//!
//! Records are read from the newest start to the oldest. A trace is looked at as a whole as soon as one of its
//! spans could match; since a trace starts no later than any of its spans, reading stops when enough traces are
//! found that start after everything in the records that are left. The answer is therefore exact, and a query that
//! many traces match reads little.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::{AHashMap, AHashSet};
use model::Timestamp;
use model::span::{Span, TraceId};

use crate::error::TraceError;
use crate::index::RecordEntry;
use crate::query::{Condition, Field, TraceFacts};
use crate::segment::Segment;
use crate::store::{TimeRange, TraceStore, dedupe};
use crate::summary::TraceSummary;
use crate::tags::{TagFilter, parse_tags};
use crate::traceql::{Query, parse_duration_nanos};

/// How many traces are given where nobody says; Tempo's default.
const LIMIT_DEFAULT: usize = 20;
/// How many spans of each are given where nobody says; Tempo's default.
const SPANS_PER_SPAN_SET_DEFAULT: usize = 3;
/// The most of either that can be asked for; the answer is held in memory.
const LIMIT_MAX: usize = 10_000;
/// Spans that one search keeps decoded: traces that share records are then looked at without decoding them again.
const CACHED_SPANS_MAX: usize = 64 << 10;

/// What is searched for. All that is given must hold.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Each must hold for some span of the trace.
    pub tags: Vec<TagFilter>,
    /// Must hold for some span of the trace.
    pub query: Option<Query>,
    /// The trace takes at least this long.
    pub min_duration: Option<Duration>,
    /// The trace takes at most this long.
    pub max_duration: Option<Duration>,
    /// A span that meets the query, or the first tag where there is none, overlaps this.
    pub range: Option<TimeRange>,
    /// How many traces to give, newest first.
    pub limit: usize,
    /// How many spans to give of each.
    pub spans_per_span_set: usize,
}

/// What a search found, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult {
    /// The traces, the newest start first.
    pub traces: Vec<TraceSummary>,
    /// How many traces were read whole to find them.
    pub traces_inspected: usize,
}

impl SearchRequest {
    /// A search for anything.
    pub const fn anything() -> Self {
        Self {
            tags: Vec::new(),
            query: None,
            min_duration: None,
            max_duration: None,
            range: None,
            limit: LIMIT_DEFAULT,
            spans_per_span_set: SPANS_PER_SPAN_SET_DEFAULT,
        }
    }

    /// From the parameters of `/api/search`: `q`, `tags`, `minDuration`, `maxDuration`, `start` and `end` (seconds),
    /// `limit`, `spss`. Others are ignored, as are empty ones.
    ///
    /// # Errors
    /// [`TraceError::InvalidParameter`], and those of [`Query::parse`] and [`parse_tags`].
    pub fn from_params<K: AsRef<str>, V: AsRef<str>>(
        params: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, TraceError> {
        let mut request = Self::anything();
        let (mut start, mut end) = (None, None);
        for (key, value) in params {
            let value = value.as_ref().trim();
            match key.as_ref() {
                _ if value.is_empty() => {}
                "q" => request.query = Some(Query::parse(value)?),
                "tags" => request.tags = parse_tags(value)?,
                "minDuration" => request.min_duration = Some(duration("minDuration", value)?),
                "maxDuration" => request.max_duration = Some(duration("maxDuration", value)?),
                "start" => start = Some(seconds("start", value)?),
                "end" => end = Some(seconds("end", value)?),
                "limit" => request.limit = count("limit", value)?,
                "spss" => request.spans_per_span_set = count("spss", value)?,
                _ => {}
            }
        }
        if start.is_some() || end.is_some() {
            let range =
                TimeRange { start: start.unwrap_or(Timestamp::EPOCH), end: end.unwrap_or(Timestamp::MAX) };
            if range.end < range.start {
                let reason = "is before start".to_owned();
                return Err(TraceError::InvalidParameter { name: "end", reason });
            }
            // The end is given in whole seconds and means all of its second.
            request.range = Some(TimeRange { end: range.end.offset(999), ..range });
        }
        Ok(request)
    }

    /// The spans of a trace that the answer shows, or `None` where the trace does not match.
    fn matched<'s>(&self, spans: &'s [Span], facts: &TraceFacts<'_>) -> Option<Vec<&'s Span>> {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        if self.min_duration.is_some_and(|min| facts.duration() < nanos(min))
            || self.max_duration.is_some_and(|max| facts.duration() > nanos(max))
        {
            return None;
        }
        let holds = |condition: &Condition, span: &Span| condition.holds(span, Some(facts));
        if !self.tags.iter().all(|tag| spans.iter().any(|span| holds(&tag.condition, span))) {
            return None;
        }
        let anchors = |span: &Span| {
            let in_range = self.in_range(span);
            in_range && self.anchor().is_none_or(|condition| holds(condition, span))
        };
        if !spans.iter().any(anchors) {
            return None;
        }
        let shown = |span: &&Span| match &self.query {
            Some(query) => holds(&query.condition, span),
            None => self.tags.is_empty() || self.tags.iter().any(|tag| holds(&tag.condition, span)),
        };
        let matched: Vec<&Span> = spans.iter().filter(shown).collect();
        (!matched.is_empty()).then_some(matched)
    }

    /// Whether a trace with this span could match; wrong only towards yes.
    fn may_match(&self, span: &Span) -> bool {
        self.in_range(span) && self.anchor().is_none_or(|condition| condition.holds(span, None))
    }

    /// The condition by which traces are found: one of their spans meets it within the range.
    fn anchor(&self) -> Option<&Condition> {
        match (&self.query, self.tags.first()) {
            (Some(query), _) => Some(&query.condition),
            (None, tag) => tag.map(|tag| &tag.condition),
        }
    }

    fn in_range(&self, span: &Span) -> bool {
        let end = span.end_unix_nanos.max(span.start_unix_nanos);
        self.range.is_none_or(|range| range.overlaps(span.start_unix_nanos, end))
    }

    fn fields(&self) -> Vec<&Field> {
        let mut fields = Vec::new();
        let conditions =
            self.query.iter().map(|q| &q.condition).chain(self.tags.iter().map(|t| &t.condition));
        conditions.for_each(|condition| condition.fields(&mut fields));
        fields
    }
}

impl TraceStore {
    /// The traces that match, the newest start first.
    ///
    /// # Errors
    /// [`TraceError::Io`]. Damaged records are logged and left out.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResult, TraceError> {
        let fields = request.fields();
        let mut found: BTreeMap<(Reverse<u64>, TraceId), TraceSummary> = BTreeMap::new();
        let mut looked_at: AHashSet<TraceId> = AHashSet::new();
        let mut cache =
            RecordCache { store: self, records: AHashMap::new(), order: VecDeque::new(), spans: 0 };
        for (segment, record) in self.candidate_records(request) {
            let full = found.len() >= request.limit;
            let oldest = found.last_key_value().map_or(0, |((Reverse(start), _), _)| *start);
            if request.limit == 0 || (full && oldest > record.start_max) {
                break;
            }
            let spans = cache.get(&segment, &record)?;
            for span in spans.iter().filter(|span| request.may_match(span)) {
                if !looked_at.insert(span.trace_id) {
                    continue;
                }
                let trace = cache.trace(span.trace_id)?;
                let facts = TraceFacts::of(&trace);
                let Some(matched) = request.matched(&trace, &facts) else { continue };
                if let Some(summary) =
                    TraceSummary::new(&facts, &matched, &fields, request.spans_per_span_set)
                {
                    found.insert((Reverse(facts.start), span.trace_id), summary);
                }
                if found.len() > request.limit {
                    found.pop_last();
                }
            }
        }
        Ok(SearchResult { traces: found.into_values().collect(), traces_inspected: looked_at.len() })
    }

    /// The records that a match may be in, the newest start first.
    fn candidate_records(&self, request: &SearchRequest) -> Vec<(Arc<Segment>, RecordEntry)> {
        let service = request.query.as_ref().and_then(|q| q.condition.required_service());
        let mut candidates = Vec::new();
        for segment in self.snapshot() {
            let index = segment.index.read();
            if service.is_some_and(|service| !index.catalog.may_have_service(service)) {
                continue;
            }
            let overlapping = index.records.iter().filter(|record| {
                request.range.is_none_or(|range| range.overlaps(record.start_min, record.end_max))
            });
            candidates.extend(overlapping.map(|record| (Arc::clone(&segment), *record)));
        }
        candidates.sort_by_key(|(_, record)| Reverse(record.start_max));
        candidates
    }
}

/// Records that this search has decoded, the latest few.
struct RecordCache<'a> {
    store: &'a TraceStore,
    records: AHashMap<(u64, u64), Arc<[Span]>>,
    order: VecDeque<(u64, u64)>,
    spans: usize,
}

impl RecordCache<'_> {
    fn get(&mut self, segment: &Segment, record: &RecordEntry) -> Result<Arc<[Span]>, TraceError> {
        let key = (segment.seq, record.offset);
        if let Some(spans) = self.records.get(&key) {
            return Ok(Arc::clone(spans));
        }
        let spans: Arc<[Span]> = self.store.read(segment, record)?.into();
        while self.spans + spans.len() > CACHED_SPANS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.spans -= self.records.remove(&oldest).map_or(0, |spans| spans.len());
        }
        self.spans += spans.len();
        self.order.push_back(key);
        self.records.insert(key, Arc::clone(&spans));
        Ok(spans)
    }

    fn trace(&mut self, id: TraceId) -> Result<Vec<Span>, TraceError> {
        let mut trace = Vec::new();
        for (segment, record) in self.store.records_of(id, None) {
            trace.extend(self.get(&segment, &record)?.iter().filter(|span| span.trace_id == id).cloned());
        }
        Ok(dedupe(trace))
    }
}

fn duration(name: &'static str, value: &str) -> Result<Duration, TraceError> {
    parse_duration_nanos(value).map(Duration::from_nanos).ok_or_else(|| TraceError::InvalidParameter {
        name,
        reason: format!("{value:?} is no duration such as 100ms"),
    })
}

fn seconds(name: &'static str, value: &str) -> Result<Timestamp, TraceError> {
    value.parse::<u32>().map(|secs| Timestamp::from_millis(i64::from(secs) * 1000)).map_err(|_| {
        TraceError::InvalidParameter { name, reason: format!("{value:?} is no time in seconds") }
    })
}

fn count(name: &'static str, value: &str) -> Result<usize, TraceError> {
    value.parse().ok().filter(|count| (1..=LIMIT_MAX).contains(count)).ok_or_else(|| {
        TraceError::InvalidParameter { name, reason: format!("{value:?} is not between 1 and {LIMIT_MAX}") }
    })
}

#[cfg(test)]
mod tests;
