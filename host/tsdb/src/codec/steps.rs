//! A column of floats for blocks that are seldom read, whose steps come again: the differences of decimals after `zstd`.
//!
//! ```text
//! decimals    u8       ┐ see super::mantissas
//! patches              ┘
//! frame       a zstd frame (RFC 8878) without the magic number before it, of the differences of the mantissas, the
//!             first from zero, as zigzag varints
//! ```
//! Where [`super::dense`] learns how often each step comes, this learns which steps follow each other: work that is done
//! by a timer, a queue that fills and empties. Which of them is smaller is found by trying; they are read about equally
//! fast.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::bytes::{Malformed, Reader, put_zigzag};
use super::mantissas::{Head, Mantissas};

/// What every frame begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Higher levels gain another hundredth and take several times as long.
const LEVEL: i32 = 12;

/// No varint is longer.
const VARINT_BYTES_MAX: usize = 10;

thread_local! {
    /// Making one takes longer than a column does.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A column; `None` where zstd is out of memory.
pub(super) fn encode(mantissas: &Mantissas) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    mantissas.put_head(&mut out);
    let mut steps = Vec::with_capacity(mantissas.numbers.len() * 2);
    let mut before = 0;
    for number in &mantissas.numbers {
        put_zigzag(&mut steps, number - before);
        before = *number;
    }
    out.extend_from_slice(compress(&steps).ok()?.strip_prefix(&MAGIC)?);
    Some(out)
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(compressor) => compressor.compress(bytes),
        None => {
            let mut compressor = Compressor::new(LEVEL)?;
            // How long the text is follows from how many values there are.
            compressor.set_parameter(CParameter::ContentSizeFlag(false))?;
            kept.insert(compressor).compress(bytes)
        }
    })
}

/// Reads a column of `count` values, at least one, and appends it to `out`; takes all that the reader has. The caller
/// has bounded `count`.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    let decimals = reader.u8()?;
    let head = Head::read(decimals, reader)?;
    let wrong = reader.malformed("steps are not what zstd writes");
    let frame = [&MAGIC, reader.take(reader.remaining())?].concat();
    let steps = decompress(&frame, count.saturating_mul(VARINT_BYTES_MAX)).map_err(|_| wrong)?;
    let mut steps = Reader::new(&steps);
    let mut number = 0i64;
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        number = number.wrapping_add(steps.zigzag().map_err(|_| wrong)?);
        numbers.push(number);
    }
    if !steps.is_empty() {
        return Err(wrong);
    }
    head.restore(numbers.into_iter(), out).ok_or(wrong)
}

fn decompress(frame: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(frame, bytes_max),
        None => kept.insert(Decompressor::new()?).decompress(frame, bytes_max),
    })
}
