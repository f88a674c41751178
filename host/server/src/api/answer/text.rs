//! Numbers, times and labels of answers as text, written as Prometheus writes them.
//!
//! A large answer is made of millions of points, so that what is written of each is written once where that can be: the
//! times of the steps are [put in text](StepTexts) before the first series and copied from there.

use model::{Labels, Timestamp};
use promql::SeriesPoints;
use serde::Serialize;

/// What precedes the values of all steps: `,[time,"`.
pub(super) struct StepTexts(Vec<StepText>);

/// What precedes the value of one step. Copied whole, which is a few instructions, and cut to its length.
#[derive(Clone, Copy)]
struct StepText {
    bytes: [u8; StepText::BYTES_MAX],
    length: u8,
}

impl StepText {
    /// A sign, 16 digits of seconds, which is more than times have, a point and three digits more, five around them.
    const BYTES_MAX: usize = 31;
}

impl StepTexts {
    pub(super) fn new(times: impl Iterator<Item = Timestamp>) -> Self {
        let mut text = Vec::new();
        let step = |time| {
            text.clear();
            text.extend_from_slice(b",[");
            timestamp(&mut text, time);
            text.extend_from_slice(b",\"");
            let mut bytes = [0; StepText::BYTES_MAX];
            let length = text.len().min(bytes.len());
            bytes[..length].copy_from_slice(&text[..length]);
            StepText { bytes, length: length as u8 }
        };
        Self(times.map(step).collect())
    }

    /// Writes the floats of a series, `,"values":[[time,"value"],…]`, or nothing where it has none.
    pub(super) fn floats(&self, out: &mut Vec<u8>, series: &SeriesPoints) {
        let mut first = true;
        for (step, value) in series.floats_by_step() {
            let Some(text) = self.0.get(step) else { break };
            let (mut bytes, mut length) = (text.bytes, usize::from(text.length));
            if std::mem::take(&mut first) {
                out.extend_from_slice(b",\"values\":[");
                // The comma is for those that follow.
                bytes.rotate_left(1);
                length -= 1;
            }
            let end = out.len() + length;
            out.extend_from_slice(&bytes);
            out.truncate(end);
            float(out, value);
            out.extend_from_slice(b"\"]");
        }
        if !first {
            out.push(b']');
        }
    }
}

pub(super) fn value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    // Nothing that is written here can fail: keys are texts, and memory takes what is written to it.
    let _ = serde_json::to_writer(out, value);
}

/// Labels as an object.
pub(super) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, name);
        out.push(b':');
        string(out, value);
    }
    out.push(b'}');
}

fn string(out: &mut Vec<u8>, text: &str) {
    let odd = |odd: bool, byte: &u8| odd | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\');
    if text.as_bytes().iter().fold(false, odd) {
        return value(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// `[time,"value"]`
pub(super) fn point(out: &mut Vec<u8>, time: Timestamp, value: f64) {
    out.push(b'[');
    timestamp(out, time);
    out.extend_from_slice(b",\"");
    float(out, value);
    out.extend_from_slice(b"\"]");
}

/// Seconds, with three digits for the milliseconds where there are any.
pub(super) fn timestamp(out: &mut Vec<u8>, time: Timestamp) {
    let millis = time.millis();
    if millis < 0 {
        out.push(b'-');
    }
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    whole(out, seconds);
    if rest != 0 {
        let digit = |unit: u64| b'0' + (rest / unit % 10) as u8;
        out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

fn whole(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// As [`promql::format_float`], without a text in between for nearly all values.
fn float(out: &mut Vec<u8>, value: f64) {
    /// Below it every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // Converting to and fro is faster than asking for the fraction; what does not fit comes back as something else.
    let truncated = value as i64;
    if truncated as f64 == value && value.abs() < EXACT && (truncated != 0 || value.is_sign_positive()) {
        if truncated < 0 {
            out.push(b'-');
        }
        return whole(out, truncated.unsigned_abs());
    }
    // Within these bounds the crate writes the shortest digits without an exponent, as is done here; for whole numbers,
    // which are gone by now, it would add a `.0`.
    if (1e-4..1e15).contains(&value.abs()) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
        return;
    }
    out.extend_from_slice(promql::format_float(value).as_bytes());
}

#[cfg(test)]
mod tests;
