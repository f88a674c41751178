//! From the label pairs of a wire format to [`Labels`]: sorted, checked, refused where a name comes twice.

use model::{Labels, LabelsError};

use crate::wire::{Field, Message, WireError, read_text};

/// Builds a set from pairs in any order. Empty values are left out, as everywhere.
pub(crate) fn to_labels<N: AsRef<str>, V: AsRef<str>>(pairs: &mut [(N, V)]) -> Result<Labels, String> {
    // Most senders sort; checking is cheaper than sorting.
    if !pairs.is_sorted_by(|a, b| a.0.as_ref() <= b.0.as_ref()) {
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
    }
    Labels::from_sorted(pairs).map_err(|e| match e {
        LabelsError::Unsorted => {
            let twice = pairs.windows(2).find_map(|w| match w {
                [a, b] if a.0.as_ref() == b.0.as_ref() => Some(a.0.as_ref()),
                _ => None,
            });
            format!("label name \"{}\" is not unique", twice.unwrap_or_default())
        }
        LabelsError::Empty => "label name is empty".to_owned(),
        other => other.to_string(),
    })
}

/// Reads the message that Prometheus' formats have for a label: name (1) and value (2).
pub(crate) fn read_label_pair(bytes: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut value) = ("", "");
    let mut message = Message(bytes);
    while let Some(field) = message.next()? {
        match field {
            (1, Field::Bytes(bytes)) => name = read_text(bytes)?,
            (2, Field::Bytes(bytes)) => value = read_text(bytes)?,
            _ => {}
        }
    }
    Ok((name, value))
}
