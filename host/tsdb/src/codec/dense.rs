//! A column of floats for blocks that are seldom read: what is left of decimals or of floats after `pco`, which learns
//! the distribution of the numbers and packs each in about as many bits as it carries.
//!
//! ```text
//! decimals    u8: the numbers are mantissas, see super::mantissas; 255: the numbers are the floats
//! patches     with decimals
//! numbers     pco's wrapped format: header, metadata of one chunk, one page; i64 mantissas or f64
//! ```
//! A fifth to a third smaller than [`super::decimal`] from a thousand values on, and several times slower to read.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use pco::ChunkConfig;
use pco::data_types::Number;
use pco::errors::PcoResult;
use pco::wrapped::{FileCompressor, FileDecompressor};

use super::bytes::{Malformed, Reader};
use super::mantissas::{Head, Mantissas};

const FLOATS: u8 = 255;

/// A column, whose mantissas are given where it has any; `None` where its numbers cannot be packed.
pub(super) fn encode(values: &[f64], mantissas: Option<&Mantissas>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let Some(mantissas) = mantissas else {
        out.push(FLOATS);
        return compress(values, out).ok();
    };
    mantissas.put_head(&mut out);
    compress(&mantissas.numbers, out).ok()
}

fn compress<T: Number>(numbers: &[T], out: Vec<u8>) -> PcoResult<Vec<u8>> {
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(numbers, &ChunkConfig::default())?;
    let out = chunk.write_meta(file.write_header(out)?)?;
    chunk.write_page(0, out)
}

/// Reads a column of `count` values, at least one, and appends it to `out`; takes all that the reader has. The caller
/// has bounded `count`.
pub(super) fn decode(reader: &mut Reader<'_>, count: usize, out: &mut Vec<f64>) -> Result<(), Malformed> {
    let decimals = reader.u8()?;
    if decimals == FLOATS {
        let from = out.len();
        let wrong = reader.malformed("floats are not what pco writes");
        out.resize(from + count, 0.0);
        let column = out.get_mut(from..).unwrap_or_default();
        return decompress(reader.take(reader.remaining())?, column).ok_or(wrong);
    }
    let head = Head::read(decimals, reader)?;
    let wrong = reader.malformed("mantissas are not what pco writes");
    let mut mantissas = vec![0i64; count];
    decompress(reader.take(reader.remaining())?, &mut mantissas).ok_or(wrong)?;
    head.restore(mantissas.into_iter(), out).ok_or(wrong)
}

/// Fills `numbers`; `None` where the bytes hold no such column or more than it.
fn decompress<T: Number>(bytes: &[u8], numbers: &mut [T]) -> Option<()> {
    let (file, rest) = FileDecompressor::new(bytes).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor(rest, numbers.len()).ok()?;
    let progress = page.read(numbers).ok()?;
    (progress.finished && page.into_src().is_empty()).then_some(())
}
