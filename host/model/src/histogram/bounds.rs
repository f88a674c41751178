//! Where the buckets of exponential schemas end.
//!
//! Bounds are those of Prometheus to the last bit, since people meet them as text: `count_values` makes labels of them.
//! There the bounds of each schema are those of the schema before, with one more between each two: the lower one times
//! another root of two, rounded. A sum of exponents, rounded once, would often be the next float.

use std::sync::LazyLock;

/// The finest schema, of which all coarser ones are parts.
const FINEST: u32 = super::SCHEMA_MAX as u32;

/// The root of two as Prometheus has it: the float below it.
const ROOT: f64 = std::f64::consts::SQRT_2.next_down();

/// Where the buckets between 1 and 2 of the finest schema start.
static FRACTIONS: LazyLock<[f64; 1 << FINEST]> = LazyLock::new(|| {
    std::array::from_fn(|index| {
        let mut root = 2_f64;
        let halvings = (0..FINEST).rev().enumerate();
        halvings.fold(1.0, |bound, (nth, bit)| {
            root = root.sqrt();
            let factor = if nth == 0 { ROOT } else { root };
            if index >> bit & 1 == 1 { bound * factor } else { bound }
        })
    })
});

/// The upper bound of a bucket, which belongs to it. That of the last bucket with finite bounds is the largest float.
pub(super) fn upper(schema: i8, index: i32) -> f64 {
    let (fraction, exponent) = if schema <= 0 {
        let doublings = u32::from(schema.unsigned_abs());
        (1.0, i64::from(index) << doublings.min(31))
    } else {
        let doublings = u32::from(schema.unsigned_abs()).min(FINEST);
        let within = index.rem_euclid(1 << doublings) as usize;
        (FRACTIONS[within << (FINEST - doublings)], i64::from(index >> doublings))
    };
    if exponent == 1024 && fraction == 1.0 { f64::MAX } else { fraction * power_of_two(exponent) }
}

fn power_of_two(exponent: i64) -> f64 {
    match u64::try_from(exponent + 1023) {
        Ok(biased @ 1..=2046) => f64::from_bits(biased << 52),
        // Below them are floats that keep fewer digits, and then nothing.
        _ => f64::exp2(exponent as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::upper;

    #[test]
    fn bounds_are_those_that_prometheus_prints() {
        for (schema, index, text) in [
            (0, 0, "1"),
            (0, -3, "0.125"),
            (1, 1, "1.414213562373095"),
            (1, 3, "2.82842712474619"),
            (2, 1, "1.189207115002721"),
            (2, -3, "0.5946035575013605"),
            (3, 7, "1.8340080864093422"),
            (-2, 1, "16"),
            (-4, -1, "0.0000152587890625"),
        ] {
            assert_eq!(upper(schema, index).to_string(), text, "{schema}: {index}");
        }
        assert_eq!(upper(0, 1024), f64::MAX);
        assert_eq!(upper(3, 8192), f64::MAX);
        assert_eq!(upper(0, 1025), f64::INFINITY);
        assert_eq!(upper(0, -1074), 5e-324);
        assert_eq!(upper(0, i32::MIN), 0.0);
    }

    #[test]
    fn coarser_schemas_are_parts_of_finer_ones() {
        for index in -1000..1000 {
            for schema in -4..8 {
                assert_eq!(upper(schema, index), upper(schema + 1, 2 * index), "{schema}: {index}");
            }
            assert!(upper(8, index) < upper(8, index + 1));
        }
    }
}
