//! What a segment holds, without reading its spans: its records, its traces and where they are, its names.
//!
//! Kept in memory for every segment; a sealed segment carries it as its footer:
//!
//! ```text
//! index   = records traces catalog
//! records = count { offset length spans start_min start_max end_max }
//! traces  = count { trace_id(16) start_min end_max bytes count { record } }     sorted by id
//! ```
//! All numbers are varints; `record` is a position in `records`, increasing within a trace.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::sync::Arc;

use ahash::AHashMap;
use model::span::{Span, TraceId};
use smallvec::SmallVec;

use crate::catalog::Catalog;
use crate::encoding::{Cursor, Decoded, Malformed, put_varint};

/// One record: where it is, and the times of its spans in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordEntry {
    pub(crate) offset: u64,
    /// Length of the whole record, its head included.
    pub(crate) length: u32,
    pub(crate) spans: u32,
    pub(crate) start_min: u64,
    pub(crate) start_max: u64,
    pub(crate) end_max: u64,
}

/// One trace, as far as it is in this segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TraceEntry {
    pub(crate) start_min: u64,
    pub(crate) end_max: u64,
    /// What its spans weigh, those of the segments just before included; see [`crate::limits`].
    pub(crate) bytes: u64,
    pub(crate) records: SmallVec<[u32; 2]>,
}

#[derive(Default, Debug, PartialEq)]
pub(crate) struct SegmentIndex {
    pub(crate) records: Vec<RecordEntry>,
    pub(crate) traces: AHashMap<TraceId, TraceEntry>,
    pub(crate) catalog: Catalog,
    /// Spans in all records.
    pub(crate) spans: u64,
}

impl SegmentIndex {
    /// Takes note of a record that holds `spans`, each with its weight, and of what the traces that are new
    /// here weighed before.
    pub(crate) fn add<'a>(
        &mut self,
        offset: u64,
        length: u32,
        spans: impl IntoIterator<Item = (&'a Span, u64)>,
        carried: &AHashMap<TraceId, u64>,
    ) {
        let position = self.records.len() as u32;
        let mut record =
            RecordEntry { offset, length, spans: 0, start_min: u64::MAX, start_max: 0, end_max: 0 };
        let mut resource = None;
        for (span, bytes) in spans {
            let (start, end) = (span.start_unix_nanos, span.end_unix_nanos.max(span.start_unix_nanos));
            record.spans += 1;
            record.start_min = record.start_min.min(start);
            record.start_max = record.start_max.max(start);
            record.end_max = record.end_max.max(end);
            let trace = self.traces.entry(span.trace_id).or_insert_with(|| TraceEntry {
                start_min: start,
                end_max: end,
                bytes: carried.get(&span.trace_id).copied().unwrap_or(0),
                records: SmallVec::new(),
            });
            trace.start_min = trace.start_min.min(start);
            trace.end_max = trace.end_max.max(end);
            trace.bytes += bytes;
            if trace.records.last() != Some(&position) {
                trace.records.push(position);
            }
            if resource != Some(Arc::as_ptr(&span.resource)) {
                self.catalog.add_resource(&span.resource);
                resource = Some(Arc::as_ptr(&span.resource));
            }
            self.catalog.add_span(span, span.resource.service_name());
        }
        self.spans += u64::from(record.spans);
        self.records.push(record);
    }

    /// The latest end of any span, in nanoseconds.
    pub(crate) fn end_max(&self) -> u64 {
        self.records.iter().map(|r| r.end_max).max().unwrap_or(0)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.records.len() * 32 + self.traces.len() * 40 + 1024);
        put_varint(&mut out, self.records.len() as u64);
        for r in &self.records {
            for number in [r.offset, r.length.into(), r.spans.into(), r.start_min, r.start_max, r.end_max] {
                put_varint(&mut out, number);
            }
        }
        let mut traces: Vec<_> = self.traces.iter().collect();
        traces.sort_unstable_by_key(|(id, _)| **id);
        put_varint(&mut out, traces.len() as u64);
        for (id, trace) in traces {
            out.extend_from_slice(&id.0);
            for number in [trace.start_min, trace.end_max, trace.bytes, trace.records.len() as u64] {
                put_varint(&mut out, number);
            }
            trace.records.iter().for_each(|record| put_varint(&mut out, (*record).into()));
        }
        self.catalog.encode(&mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut c = Cursor::new(bytes);
        let count = c.count(6)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(RecordEntry {
                offset: c.varint()?,
                length: c.varint32()?,
                spans: c.varint32()?,
                start_min: c.varint()?,
                start_max: c.varint()?,
                end_max: c.varint()?,
            });
        }
        let spans = records.iter().map(|record| u64::from(record.spans)).sum();
        let count = c.count(20)?;
        let mut traces = AHashMap::with_capacity(count);
        for _ in 0..count {
            let id = TraceId(c.array()?);
            let (start_min, end_max, bytes) = (c.varint()?, c.varint()?, c.varint()?);
            let count = c.count(1)?;
            let mut positions = SmallVec::with_capacity(count);
            for _ in 0..count {
                let position = c.varint32()?;
                if position as usize >= records.len() {
                    return Err(Malformed("trace in a record past the table"));
                }
                positions.push(position);
            }
            traces.insert(id, TraceEntry { start_min, end_max, bytes, records: positions });
        }
        let catalog = Catalog::decode(&mut c)?;
        c.finish()?;
        Ok(Self { records, traces, catalog, spans })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::tests::span;

    proptest! {
        #[test]
        fn indexes_round_trip(spans in vec(span(), 0..12), at: prop::sample::Index, to: u8) {
            let mut index = SegmentIndex::default();
            for (i, spans) in spans.chunks(3).enumerate() {
                index.add(i as u64 * 100, 100, spans.iter().map(|s| (s, 7)), &AHashMap::new());
            }
            let mut bytes = index.encode();
            prop_assert_eq!(SegmentIndex::decode(&bytes), Ok(index));
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = SegmentIndex::decode(&bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = SegmentIndex::decode(&bytes);
        }
    }
}
