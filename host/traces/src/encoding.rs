//! The few encodings that span batches and segment indexes are made of: varints, zigzag, length-prefixed text.
//! All integers are little-endian; reading never panics and never allocates more than it has bytes for.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

/// Bytes that are not what the writer would have written; says what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

pub(crate) type Decoded<T> = Result<T, Malformed>;

/// LEB128.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// LEB128 of the zigzag form: small magnitudes of either sign stay short.
pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// A varint length and the text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads from the front of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(Malformed("value runs past the end"))?;
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Malformed("value runs past the end"))?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn byte(&mut self) -> Decoded<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("varint over 64 bits"))
    }

    pub(crate) fn varint32(&mut self) -> Decoded<u32> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("varint over 32 bits"))
    }

    pub(crate) fn signed(&mut self) -> Decoded<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// A count of items that each take at least `item_bytes_min` bytes of what is left, so that a wrong count
    /// cannot make its reader allocate beyond the size of its input.
    pub(crate) fn count(&mut self, item_bytes_min: usize) -> Decoded<usize> {
        let count = usize::try_from(self.varint()?).map_err(|_| Malformed("count over the address space"))?;
        if count > self.remaining() / item_bytes_min.max(1) {
            return Err(Malformed("more items than bytes for them"));
        }
        Ok(count)
    }

    pub(crate) fn text(&mut self) -> Decoded<&'a str> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Malformed("text is not UTF-8"))
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(self) -> Decoded<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("bytes after the end")) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_round_trip(value: u64) {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            put_signed(&mut out, value as i64);
            let mut cursor = Cursor::new(&out);
            prop_assert_eq!(cursor.varint(), Ok(value));
            prop_assert_eq!(cursor.signed(), Ok(value as i64));
            prop_assert_eq!(cursor.finish(), Ok(()));
        }
    }

    #[test]
    fn overlong_varints_are_refused() {
        assert!(Cursor::new(&[0xff; 11]).varint().is_err());
        assert!(Cursor::new(&[0x80]).varint().is_err());
    }
}
