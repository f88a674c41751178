//! Damaged copies of good inputs, the same in every run.

/// A small generator of numbers (xorshift64*, Vigna 2016); good enough to choose where to do damage.
#[derive(Debug)]
pub struct Damage(u64);

/// Bytes and runs of them that mean something in one format or another.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\n",
    b"\"",
    b"{",
    b"}",
    b"(",
    b"\\",
    b"#",
    b"9999999",
];

impl Damage {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that the generator never leaves.
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, or zero where that is zero.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// A copy of `bytes` with one to four damages; `other` is something to splice in.
    pub fn of(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let to = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..to)),
                4 => {
                    let again = bytes[at..to].to_vec();
                    bytes.splice(at..at, again);
                }
                5 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.iter().copied());
                }
                _ => {
                    let from = self.below(other.len());
                    let until = (from + 1 + self.below(32)).min(other.len());
                    bytes.splice(at..at, other[from..until].iter().copied());
                }
            }
        }
        bytes
    }
}
