//! `Content-Encoding`, undone within a limit.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;

/// Why a body could not be decompressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// More bytes than allowed, after decompression; not worth trying again.
    #[error("body is larger than {limit_bytes} bytes when decompressed; send smaller batches")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The bytes are not what the header says.
    #[error("decompress gzip body: {what}")]
    Malformed {
        /// What was wrong.
        what: String,
    },
    /// An encoding that is not spoken here.
    #[error("unsupported content encoding {encoding:?}; send gzip or identity")]
    Unsupported {
        /// The header's value.
        encoding: String,
    },
}

/// Undoes `encoding`, the value of a `Content-Encoding` header. A body that is not compressed is lent, not
/// copied; the limit holds for it too.
///
/// # Errors
/// [`DecompressError`], without having allocated more than `limit_bytes` and a little.
pub fn decompress<'a>(
    encoding: Option<&str>,
    body: &'a [u8],
    limit_bytes: usize,
) -> Result<Cow<'a, [u8]>, DecompressError> {
    let encoding = encoding.map_or("", str::trim);
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        if body.len() > limit_bytes {
            return Err(DecompressError::TooLarge { limit_bytes });
        }
        return Ok(Cow::Borrowed(body));
    }
    if !encoding.eq_ignore_ascii_case("gzip") && !encoding.eq_ignore_ascii_case("x-gzip") {
        return Err(DecompressError::Unsupported { encoding: encoding.to_owned() });
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly the limit" from "cut off at the limit".
    let take = u64::try_from(limit_bytes).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(take)
        .read_to_end(&mut bytes)
        .map_err(|e| DecompressError::Malformed { what: e.to_string() })?;
    if bytes.len() > limit_bytes {
        return Err(DecompressError::TooLarge { limit_bytes });
    }
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_and_identity_are_undone_up_to_the_limit() {
        let body = vec![b'x'; 1000];
        let zipped = gzip(&body);
        for (encoding, bytes) in [(None, &body), (Some("identity"), &body), (Some("GZIP"), &zipped)] {
            assert_eq!(decompress(encoding, bytes, 1000).unwrap().as_ref(), &body[..]);
            assert_eq!(
                decompress(encoding, bytes, 999),
                Err(DecompressError::TooLarge { limit_bytes: 999 }),
                "{encoding:?}"
            );
        }
    }

    #[test]
    fn a_small_body_cannot_become_a_large_one() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(
            decompress(Some("gzip"), &bomb, 1 << 20),
            Err(DecompressError::TooLarge { limit_bytes: 1 << 20 })
        );
    }

    #[test]
    fn other_encodings_and_broken_bodies_are_named() {
        let unsupported = decompress(Some("br"), b"", 10).unwrap_err();
        assert_eq!(unsupported.to_string(), "unsupported content encoding \"br\"; send gzip or identity");
        let whole = gzip(b"some text that is long enough");
        let cut = decompress(Some("gzip"), &whole[..whole.len() - 4], 100).unwrap_err();
        assert!(matches!(cut, DecompressError::Malformed { .. }), "{cut}");
        assert!(matches!(decompress(Some("gzip"), b"plain", 100), Err(DecompressError::Malformed { .. })));
    }
}
