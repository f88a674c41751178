//! Staleness: how a series says that it has ended.
//!
//! A stale marker is one particular NaN, told from every other NaN by its bits. Storage and every wire format
//! must therefore keep NaN payloads: a marker that turned into an ordinary NaN would keep its series alive in
//! queries for the whole lookback. The bit pattern is Prometheus' own (`model/value`), which remote write
//! sends over the wire.

/// The bits of the stale marker.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The bits of the NaN that stands for "not a number" in samples that were really observed.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The stale marker.
pub const STALE_NAN: f64 = f64::from_bits(STALE_NAN_BITS);

/// Whether `value` is the stale marker. An ordinary NaN is not.
pub const fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}
