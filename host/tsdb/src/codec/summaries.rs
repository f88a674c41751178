//! A column of summaries: what downsampled data consist of. When the last sample of each was is told apart, with the
//! times of the chunk.
//!
//! ```text
//! flags      u8: 1 min is first, 2 max is last, 4 no resets; where it holds of all, those columns are left out
//! then spans, each a column of floats (super::values) with one value per summary:
//!   count    whole numbers
//!   duration last time minus first time in milliseconds, whole numbers
//!   first, last, min, max
//!   sum      rounded once: what it had lost before is added to it
//!   squares  the squared differences from the mean
//!   resets, reset sum
//!   changes  whole numbers
//! ```
//! Columns of one thing each pack well: of a counter min, max and resets are mostly not there at all, counts and
//! durations are constant.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use model::{Summary, Timestamp};

use super::bytes::{Malformed, Reader, put_span};
use super::values::{self, Density};

const MIN_IS_FIRST: u8 = 1;
const MAX_IS_LAST: u8 = 2;
const NO_RESETS: u8 = 4;

/// Writes summaries; their last times are written elsewhere.
pub(crate) fn encode(summaries: &[Summary], out: &mut Vec<u8>) {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
    let flag = |all: bool, flag: u8| if all { flag } else { 0 };
    let flags = flag(summaries.iter().all(|s| same(s.min, s.first)), MIN_IS_FIRST)
        | flag(summaries.iter().all(|s| same(s.max, s.last)), MAX_IS_LAST)
        | flag(summaries.iter().all(|s| s.resets == 0), NO_RESETS);
    out.push(flags);
    let mut column = |of: &dyn Fn(&Summary) -> f64| {
        let column: Vec<f64> = summaries.iter().map(of).collect();
        let mut encoded = Vec::new();
        values::encode_series(&column, Density::Light, &mut encoded);
        put_span(out, &encoded);
    };
    column(&|s| s.count as f64);
    column(&|s| s.last_time.since(s.first_time) as f64);
    column(&|s| s.first);
    column(&|s| s.last);
    if flags & MIN_IS_FIRST == 0 {
        column(&|s| s.min);
    }
    if flags & MAX_IS_LAST == 0 {
        column(&|s| s.max);
    }
    // Adding zero would change the bits of some NaNs.
    column(&|s| if s.sum_error == 0.0 { s.sum } else { s.sum + s.sum_error });
    column(&|s| s.squares);
    if flags & NO_RESETS == 0 {
        column(&|s| s.resets as f64);
        column(&|s| s.reset_sum);
    }
    column(&|s| s.changes as f64);
}

/// Reads what [`encode`] wrote, for summaries that end at those times, and appends it to `out`.
pub(crate) fn decode(
    reader: &mut Reader<'_>,
    last_times: &[i64],
    out: &mut Vec<Summary>,
) -> Result<(), Malformed> {
    let flags = reader.u8()?;
    if flags > MIN_IS_FIRST | MAX_IS_LAST | NO_RESETS {
        return Err(reader.malformed("unknown flags of summaries"));
    }
    let mut column = || -> Result<Vec<f64>, Malformed> {
        let wrong = reader.malformed("column of summaries goes on after its last");
        let mut inner = Reader::new(reader.span()?);
        let mut column = Vec::with_capacity(last_times.len());
        values::decode(&mut inner, last_times.len(), &mut column)
            .map_err(|inner| Malformed { at: wrong.at, ..inner })?;
        if inner.is_empty() { Ok(column) } else { Err(wrong) }
    };
    let (counts, durations, firsts, lasts) = (column()?, column()?, column()?, column()?);
    let mins = if flags & MIN_IS_FIRST == 0 { column()? } else { firsts.clone() };
    let maxs = if flags & MAX_IS_LAST == 0 { column()? } else { lasts.clone() };
    let (sums, squares) = (column()?, column()?);
    let zeros = || vec![0.0; last_times.len()];
    let (resets, reset_sums) =
        if flags & NO_RESETS == 0 { (column()?, column()?) } else { (zeros(), zeros()) };
    let changes = column()?;
    let columns = counts.iter().zip(&durations).zip(firsts.iter().zip(&lasts)).zip(mins.iter().zip(&maxs));
    let columns = columns.zip(sums.iter().zip(&squares)).zip(resets.iter().zip(&reset_sums)).zip(&changes);
    for (
        last_time,
        ((((((count, duration), (first, last)), (min, max)), (sum, squares)), (resets, reset_sum)), changes),
    ) in last_times.iter().zip(columns)
    {
        // A cast takes what is no whole number to one.
        let (count, duration) = (*count as u64, *duration as i64);
        if count == 0 || duration < 0 {
            return Err(reader.malformed("summary of no samples"));
        }
        out.push(Summary {
            first_time: Timestamp::from_millis(last_time.saturating_sub(duration)),
            last_time: Timestamp::from_millis(*last_time),
            count,
            first: *first,
            last: *last,
            min: *min,
            max: *max,
            sum: *sum,
            sum_error: 0.0,
            squares: *squares,
            resets: *resets as u64,
            reset_sum: *reset_sum,
            changes: *changes as u64,
        });
    }
    Ok(())
}
