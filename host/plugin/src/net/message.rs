//! Messages of the DNS (RFC 1035): one question, and the records of its answer.
//!
//! ```text
//! header    id u16, flags u16, counts of questions, answers, authorities and additionals u16 each
//! question  name, type u16, class u16
//! record    name, type u16, class u16, ttl u32, length u16, data
//! name      labels (length u8 below 64, bytes) up to one of length 0, or a pointer (0xc000 | offset u16) to the rest
//! ```
//!
//! All numbers are big-endian. Authorities and additionals are not read.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bindings::stormglass::host::dns::{Data, Entry, Exchange, RecordType, Service};

/// Bytes of one label.
const LABEL_BYTES_MAX: usize = 63;
/// Bytes of a name on the wire.
const NAME_BYTES_MAX: usize = 255;
/// The class of the Internet.
const CLASS_IN: u16 = 1;
/// The type of the record that says which extensions are spoken (EDNS, RFC 6891).
const TYPE_OPT: u16 = 41;
/// The bit of a message that is an answer.
const FLAG_ANSWER: u16 = 0x8000;
/// The bit of an answer that did not fit.
const FLAG_TRUNCATED: u16 = 0x0200;
/// The bit that asks the server to ask others.
const FLAG_RECURSE: u16 = 0x0100;

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) id: u16,
    /// As it stands in messages.
    name: Vec<u8>,
    code: u16,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) truncated: bool,
    /// 0 where all is well, 3 where there is no such name.
    pub(crate) code: u16,
    /// Those of the type that was asked for.
    pub(crate) entries: Vec<Entry>,
}

impl RecordType {
    fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Ptr => 12,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

impl Question {
    /// A question about a name, with or without a dot at its end; none where it cannot be one.
    pub(crate) fn new(id: u16, name: &str, record_type: RecordType) -> Option<Self> {
        let mut bytes = Vec::with_capacity(name.len() + 2);
        let labels = name.strip_suffix('.').unwrap_or(name);
        if !labels.is_empty() {
            for label in labels.split('.') {
                if label.is_empty() || label.len() > LABEL_BYTES_MAX {
                    return None;
                }
                bytes.push(u8::try_from(label.len()).ok()?);
                bytes.extend_from_slice(label.as_bytes());
            }
        }
        bytes.push(0);
        (bytes.len() <= NAME_BYTES_MAX).then_some(Self { id, name: bytes, code: record_type.code() })
    }

    /// The message that asks it, with room for an answer of so many bytes.
    pub(crate) fn encode(&self, answer_bytes: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(self.name.len() + 32);
        for number in [self.id, FLAG_RECURSE, 1, 0, 0, 1] {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message.extend_from_slice(&self.name);
        message.extend_from_slice(&self.code.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        // The additional record that says how long an answer may be: the root's name, and the size as its class.
        message.push(0);
        for number in [TYPE_OPT, answer_bytes, 0, 0, 0] {
            message.extend_from_slice(&number.to_be_bytes());
        }
        message
    }

    /// Reads a message; none where it is no answer to this question, or broken.
    pub(crate) fn answer(&self, message: &[u8]) -> Option<Answer> {
        let mut reader = Reader { message, at: 0 };
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let (questions, answers) = (reader.u16()?, reader.u16()?);
        reader.take(4)?;
        if id != self.id || flags & FLAG_ANSWER == 0 || questions != 1 {
            return None;
        }
        let asked = reader.name()?;
        let same = asked.eq_ignore_ascii_case(&Reader { message: &self.name, at: 0 }.name()?);
        if !same || reader.u16()? != self.code || reader.u16()? != CLASS_IN {
            return None;
        }
        let truncated = flags & FLAG_TRUNCATED != 0;
        let mut entries = Vec::new();
        if !truncated {
            for _ in 0..answers {
                entries.extend(self.entry(&mut reader)?);
            }
        }
        Some(Answer { truncated, code: flags & 0xf, entries })
    }

    /// The next record, if it is of the type.
    fn entry(&self, reader: &mut Reader<'_>) -> Option<Option<Entry>> {
        let name = reader.name()?;
        let (code, class) = (reader.u16()?, reader.u16()?);
        let ttl_seconds = u32::from_be_bytes(reader.array()?);
        let length = usize::from(reader.u16()?);
        let end = reader.at.checked_add(length)?;
        reader.message.get(reader.at..end)?;
        // Data may point to names anywhere in the message.
        let mut data = Reader { message: reader.message, at: reader.at };
        reader.at = end;
        if code != self.code || class != CLASS_IN {
            return Some(None);
        }
        let data = match code {
            1 => Data::Address(Ipv4Addr::from(data.array::<4>()?).to_string()),
            28 => Data::Address(Ipv6Addr::from(data.array::<16>()?).to_string()),
            15 => Data::Mx(Exchange { preference: data.u16()?, host: data.name()? }),
            33 => Data::Srv(Service {
                priority: data.u16()?,
                weight: data.u16()?,
                port: data.u16()?,
                target: data.name()?,
            }),
            16 => {
                let mut text = Vec::new();
                while data.at < end {
                    let length = usize::from(u8::from_be_bytes(data.array()?));
                    text.extend_from_slice(data.take(length)?);
                }
                Data::Txt(String::from_utf8_lossy(&text).into_owned())
            }
            _ => Data::Name(data.name()?),
        };
        Some(Some(Entry { name, ttl_seconds, data }))
    }
}

/// A place in a message.
struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let bytes = self.message.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.array()?))
    }

    /// A name with a dot at its end. Bytes that are no plain ones are escaped as in zone files. A pointer must lead
    /// backwards, so that none can lead round in a circle.
    fn name(&mut self) -> Option<String> {
        let mut text = String::new();
        let (mut at, mut bound) = (self.at, self.at);
        let mut end = None;
        loop {
            let length = *self.message.get(at)?;
            at += 1;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.message.get(at..at + usize::from(length))?;
                    at += label.len();
                    for byte in label {
                        match byte {
                            b'.' | b'\\' => {
                                text.push('\\');
                                text.push(char::from(*byte));
                            }
                            0x21..=0x7e => text.push(char::from(*byte)),
                            _ => write!(text, "\\{byte:03}").ok()?,
                        }
                    }
                    text.push('.');
                    if text.len() > 4 * NAME_BYTES_MAX {
                        return None;
                    }
                }
                0xc0.. => {
                    let low = *self.message.get(at)?;
                    end = end.or(Some(at + 1));
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    if target >= bound {
                        return None;
                    }
                    (at, bound) = (target, target);
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at);
        if text.is_empty() {
            text.push('.');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests;
