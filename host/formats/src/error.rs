//! What a decoder says of bytes that it cannot take: [`DecodeError`] for the whole, [`Rejected`] for items.

/// Why a body could not be decoded. Sending the same bytes again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Over a limit, compressed or not; the sender should send less at once.
    #[error("request is too large: more than {max} {unit}; send smaller batches")]
    TooLarge {
        /// The limit.
        max: usize,
        /// What was counted.
        unit: &'static str,
    },
    /// Not the format that it claims to be.
    #[error("decode {format}: {what}")]
    Malformed {
        /// The format's name.
        format: &'static str,
        /// What was wrong.
        what: String,
    },
}

/// Items that a decoder left out of what it hands on, with the reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rejected {
    /// How many: series for remote write, data points or spans for OTLP.
    pub count: u64,
    /// Why, each reason once, at most [`Rejected::MESSAGES_MAX`].
    pub messages: Vec<String>,
}

impl Rejected {
    /// Enough to find the sender's mistakes; a body may hold a million broken items.
    pub const MESSAGES_MAX: usize = 10;

    /// Counts `count` items that were left out because of `message`. A count of zero is a warning: all was
    /// taken, but something should change.
    pub fn note(&mut self, count: u64, message: impl FnOnce() -> String) {
        self.count += count;
        if self.messages.len() < Self::MESSAGES_MAX {
            let message = message();
            if !self.messages.contains(&message) {
                self.messages.push(message);
            }
        }
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.messages.is_empty()
    }

    /// All reasons in one line, as response bodies carry them.
    pub fn summary(&self) -> String {
        self.messages.join("; ")
    }
}
