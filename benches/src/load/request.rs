//! Requests of remote write 1.0, written as Prometheus writes them: sorted labels, zeros left out.

use model::staleness::STALE_NAN_BITS;

use super::Recording;

/// Writes requests for one recording's series. What series have in common between targets is encoded once.
#[derive(Debug)]
pub struct RequestWriter {
    series: Vec<Parts>,
    message: Vec<u8>,
    samples: usize,
    compressor: snap::raw::Encoder,
}

/// The encoded labels of a series, around what tells targets apart.
#[derive(Debug)]
struct Parts {
    before_instance: Vec<u8>,
    before_revision: Vec<u8>,
    after_revision: Vec<u8>,
}

/// What tells the series of a target from another's, encoded.
#[derive(Debug)]
pub(super) struct TargetLabels {
    instance: Vec<u8>,
    revision: Vec<u8>,
}

impl TargetLabels {
    pub(super) fn new(target: usize, revision: usize) -> Self {
        let (mut labels, mut other) = (Vec::new(), Vec::new());
        put_label(&mut labels, "instance", &instance(target));
        put_label(&mut other, "revision", &format!("r{revision}"));
        Self { instance: labels, revision: other }
    }
}

/// The label `instance` of a target.
pub(super) fn instance(target: usize) -> String {
    format!("host-{target}")
}

/// The label `job` of all of them.
pub(super) const JOB: &str = "node_exporter";

/// The value of a series that has ended.
pub(super) fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

impl RequestWriter {
    /// A writer with nothing in it.
    pub fn new(recording: &Recording) -> Self {
        let series = recording.series.iter().map(|series| {
            let labels = series.labels.with("job", JOB);
            let between = |after: &str, before: &str| {
                let mut bytes = Vec::new();
                for (name, value) in labels.iter().filter(|(name, _)| *name > after && *name < before) {
                    put_label(&mut bytes, name, value);
                }
                bytes
            };
            Parts {
                before_instance: between("", "instance"),
                before_revision: between("instance", "revision"),
                // No label's name sorts after this character.
                after_revision: between("revision", "\u{10ffff}"),
            }
        });
        Self {
            series: series.collect(),
            message: Vec::new(),
            samples: 0,
            compressor: snap::raw::Encoder::new(),
        }
    }

    /// How many samples have been added since the last [`RequestWriter::finish`].
    pub const fn samples(&self) -> usize {
        self.samples
    }

    /// Adds a sample of the series of that number.
    pub(super) fn push(&mut self, series: usize, target: &TargetLabels, time_ms: i64, value: f64) {
        let parts = &self.series[series];
        let pieces = [
            &parts.before_instance,
            &target.instance,
            &parts.before_revision,
            &target.revision,
            &parts.after_revision,
        ];
        let time_bytes = (64 - time_ms.leading_zeros()).div_ceil(7).max(1) as usize;
        let sample_bytes = if value == 0.0 { 0 } else { 9 } + 1 + time_bytes;
        let labels_bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.message.push(1 << 3 | 2);
        put_varint(&mut self.message, (labels_bytes + 2 + sample_bytes) as u64);
        for piece in pieces {
            self.message.extend_from_slice(piece);
        }
        self.message.extend([2 << 3 | 2, sample_bytes as u8]);
        if value != 0.0 {
            self.message.push(1 << 3 | 1);
            self.message.extend_from_slice(&value.to_le_bytes());
        }
        self.message.push(2 << 3);
        put_varint(&mut self.message, time_ms as u64);
        self.samples += 1;
    }

    /// The body of a request with all that was added; the writer is empty then.
    ///
    /// # Errors
    /// Where it is larger than snappy allows: 4 GiB.
    pub fn finish(&mut self) -> Result<Vec<u8>, snap::Error> {
        let body = self.compressor.compress_vec(&self.message);
        self.message.clear();
        self.samples = 0;
        body
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A label as a field of a series.
fn put_label(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let mut label = Vec::new();
    for (number, text) in [(1u8, name), (2, value)] {
        label.push(number << 3 | 2);
        put_varint(&mut label, text.len() as u64);
        label.extend_from_slice(text.as_bytes());
    }
    bytes.push(1 << 3 | 2);
    put_varint(bytes, label.len() as u64);
    bytes.extend_from_slice(&label);
}
