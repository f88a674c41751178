//! Protobuf's wire format, read without a copy and written field by field: for the messages where speed
//! matters. Fields come in any order; unknown ones, and known ones of an unexpected wire type, are passed over.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

/// A varint of a 64-bit number has at most this many bytes.
const VARINT_BYTES_MAX: u32 = 10;

/// Why bytes are no message.
pub(crate) type WireError = &'static str;

/// One field's content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Field<'a> {
    /// Integers, booleans and enums.
    Varint(u64),
    /// Doubles and fixed 64-bit integers.
    Fixed64(u64),
    /// Texts, bytes, messages and packed lists.
    Bytes(&'a [u8]),
    /// Floats and fixed 32-bit integers.
    Fixed32(u32),
}

/// A field that holds a text.
pub(crate) fn read_text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8")
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a>(pub(crate) &'a [u8]);

impl<'a> Message<'a> {
    /// The next field's number and content; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, WireError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| "length is out of range")?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or("field runs past the end")?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.0.split_first_chunk::<4>().ok_or("field runs past the end")?;
                self.0 = rest;
                Field::Fixed32(u32::from_le_bytes(*bytes))
            }
            _ => return Err("unknown wire type"),
        };
        if key >> 3 == 0 {
            return Err("field number 0");
        }
        Ok(Some((key >> 3, field)))
    }

    /// The next number of a packed list of varints.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        // Nearly all keys and lengths have one byte.
        match self.0.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0;
        for group in 0..VARINT_BYTES_MAX {
            let (&byte, rest) = self.0.split_first().ok_or("number runs past the end")?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * group);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("number is too long")
    }

    /// The next of a sequence of messages, each of which begins with its length.
    pub(crate) fn delimited(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(self.varint()?).map_err(|_| "length is out of range")?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or("message runs past the end")?;
        self.0 = rest;
        Ok(bytes)
    }

    /// The next number of a packed list of 64-bit ones.
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or("field runs past the end")?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*bytes))
    }
}

/// Undoes the zigzag of `sint32` and `sint64`.
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// What [`zigzag`] undoes.
pub(crate) const fn unzigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends fields to a buffer.
pub(crate) struct MessageWriter<'b>(pub(crate) &'b mut Vec<u8>);

impl MessageWriter<'_> {
    pub(crate) fn varint(&mut self, number: u64, value: u64) {
        self.raw_varint(number << 3);
        self.raw_varint(value);
    }

    pub(crate) fn sint(&mut self, number: u64, value: i64) {
        self.varint(number, unzigzag(value));
    }

    pub(crate) fn double(&mut self, number: u64, value: f64) {
        self.raw_varint(number << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.raw_varint(number << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A field that is a message, or a packed list of numbers; `fill` writes its content.
    pub(crate) fn message(&mut self, number: u64, fill: impl FnOnce(&mut MessageWriter<'_>)) {
        let mut content = Vec::new();
        fill(&mut MessageWriter(&mut content));
        self.bytes(number, &content);
    }

    /// A packed list of doubles; nothing for an empty one.
    pub(crate) fn doubles(&mut self, number: u64, values: &[f64]) {
        if !values.is_empty() {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            self.bytes(number, &bytes);
        }
    }

    #[inline]
    pub(crate) fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
