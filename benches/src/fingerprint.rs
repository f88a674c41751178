//! A hash of results: FNV-1a, which is the same on every machine and in every version.

/// Collects results.
#[derive(Debug, Clone, Copy)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Takes bytes in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Takes a float in, bit for bit.
    pub fn float(&mut self, float: f64) {
        self.number(float.to_bits());
    }

    /// Prints it under the bench's name.
    pub fn print(self, bench: &str) {
        println!("fingerprint of {bench}: {:016x}", self.0);
    }

    /// The hash so far.
    pub const fn value(self) -> u64 {
        self.0
    }
}
