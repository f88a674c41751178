//! From the model to the bytes of a `prometheus.WriteRequest`.

use model::{Exemplar, Labels, Metadata, Sample};

use super::fields::kind_number;
use super::histogram;
use crate::WriteRequest;
use crate::wire::MessageWriter;

/// Writes a request that is not yet compressed.
pub(super) fn encode_message(request: &WriteRequest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut root = MessageWriter(&mut bytes);
    for series in &request.series {
        root.message(1, |m| {
            write_labels(m, &series.labels);
            for sample in &series.samples {
                m.message(2, |m| write_sample(m, *sample));
            }
            for exemplar in &series.exemplars {
                m.message(3, |m| {
                    write_labels(m, &exemplar.labels);
                    write_exemplar(m, exemplar);
                });
            }
            for (at, histogram) in &series.histograms {
                m.message(4, |m| histogram::write(m, *at, histogram));
            }
        });
    }
    for (family, metadata) in &request.metadata {
        write_metadata(&mut root, family, metadata);
    }
    bytes
}

pub(super) fn write_metadata(root: &mut MessageWriter<'_>, family: &str, metadata: &Metadata) {
    root.message(3, |m| {
        m.varint(1, kind_number(metadata.kind));
        m.bytes(2, family.as_bytes());
        m.bytes(4, metadata.help.as_bytes());
        m.bytes(5, metadata.unit.as_bytes());
    });
}

pub(crate) fn write_sample(message: &mut MessageWriter<'_>, sample: Sample) {
    message.double(1, sample.value);
    message.varint(2, sample.timestamp.millis() as u64);
}

/// Value and time; how its labels are written depends on the version.
pub(super) fn write_exemplar(message: &mut MessageWriter<'_>, exemplar: &Exemplar) {
    message.double(2, exemplar.value);
    message.varint(3, exemplar.timestamp.millis() as u64);
}

pub(crate) fn write_labels(message: &mut MessageWriter<'_>, labels: &Labels) {
    for (name, value) in labels {
        message.message(1, |m| {
            m.bytes(1, name.as_bytes());
            m.bytes(2, value.as_bytes());
        });
    }
}
