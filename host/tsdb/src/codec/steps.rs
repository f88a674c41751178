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

use super::bytes::{Malformed, Reader, put_zigzag, unzigzag};
use super::decimal::bits;
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
    let frame = reader.take(reader.remaining())?;
    DECOMPRESSED.with_borrow_mut(|kept| {
        let steps = kept.of(frame, count.saturating_mul(VARINT_BYTES_MAX)).map_err(|_| wrong)?;
        let from = out.len();
        out.resize(from + count, 0.0);
        let column = out.get_mut(from..).unwrap_or_default();
        add_up(steps, column).ok_or(wrong)?;
        head.restore_bits(column).ok_or(wrong)
    })
}

/// The high bit of each of eight bytes: set where a varint goes on.
const GOES_ON: u64 = 0x8080_8080_8080_8080;

/// Fills a column with the sums of steps, as bits; `None` where there is another number of them.
fn add_up(mut steps: &[u8], column: &mut [f64]) -> Option<()> {
    let mut number = 0i64;
    let mut next = |step: u64| {
        number = number.wrapping_add(unzigzag(step));
        bits(number)
    };
    let mut slots = column.iter_mut();
    loop {
        // Most steps take a byte: eight of those are seen to be so at once.
        while slots.len() >= 8
            && let Some((short, rest)) = steps.split_first_chunk::<8>()
            && u64::from_le_bytes(*short) & GOES_ON == 0
        {
            short.iter().zip(&mut slots).for_each(|(step, slot)| *slot = next(u64::from(*step)));
            steps = rest;
        }
        let Some(slot) = slots.next() else { break };
        let mut reader = Reader::new(steps);
        *slot = next(reader.varint().ok()?);
        steps = steps.get(reader.at()..)?;
    }
    steps.is_empty().then_some(())
}

/// What is made anew for no column.
struct Decompressed {
    decompressor: Decompressor<'static>,
    frame: Vec<u8>,
    steps: Vec<u8>,
}

thread_local! {
    static DECOMPRESSED: RefCell<Buffers> = const { RefCell::new(Buffers(None)) };
}

struct Buffers(Option<Decompressed>);

impl Buffers {
    /// What a frame without its magic number holds.
    fn of(&mut self, frame: &[u8], bytes_max: usize) -> io::Result<&[u8]> {
        let kept = match &mut self.0 {
            Some(kept) => kept,
            none => none.insert(Decompressed {
                decompressor: Decompressor::new()?,
                frame: Vec::new(),
                steps: Vec::new(),
            }),
        };
        kept.frame.clear();
        kept.frame.extend_from_slice(&MAGIC);
        kept.frame.extend_from_slice(frame);
        kept.steps.clear();
        kept.steps.reserve(bytes_max);
        kept.decompressor.decompress_to_buffer(&kept.frame, &mut kept.steps)?;
        Ok(&kept.steps)
    }
}
