//! Seeded random numbers: the same key always gives the same numbers, with any version of any dependency.

/// The increment and the two multipliers of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIERS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// A stream of random numbers that follows from a key.
#[derive(Debug, Clone)]
pub(crate) struct RandomStream(u64);

fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(MULTIPLIERS[0]);
    let z = (z ^ (z >> 27)).wrapping_mul(MULTIPLIERS[1]);
    z ^ (z >> 31)
}

impl RandomStream {
    /// Creates the stream of a key. Streams of different keys are independent.
    pub(crate) fn from_key(key: &[u64]) -> Self {
        RandomStream(key.iter().fold(0, |state, word| mix((state ^ word).wrapping_add(INCREMENT))))
    }

    /// Returns 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        mix(self.0)
    }

    /// Returns a number in `[0, 1)`. It has 53 random bits, so it is exact on every machine.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Returns an integer in `[0, limit)`; 0 if the limit is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// Returns true with the given probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Returns one of the choices, all with the same probability.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Returns an integer in `[0, limit)`. Small ones are much more frequent than large ones: the share of the
    /// first `n` is the cube root of `n / limit`.
    pub(crate) fn skewed(&mut self, limit: u64) -> u64 {
        let unit = self.unit();
        (unit * unit * unit * limit as f64) as u64
    }

    /// As [`RandomStream::skewed`], but less so: the share of the first `n` is `(n / limit)` to the power of 0.4.
    pub(crate) fn mildly_skewed(&mut self, limit: u64) -> u64 {
        let unit = self.unit();
        // Only operations that IEEE 754 defines to the last bit, so no `powf`.
        (unit * unit * unit.sqrt() * limit as f64) as u64
    }

    /// Returns a random commit id.
    pub(crate) fn sha(&mut self) -> Sha {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut sha = [0; 40];
        for part in sha.chunks_mut(16) {
            let bits = self.bits();
            for (index, digit) in part.iter_mut().enumerate() {
                *digit = DIGITS[(bits >> (4 * index)) as usize & 15];
            }
        }
        Sha(sha)
    }
}

/// A commit id: 40 hex digits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sha([u8; 40]);

impl Sha {
    /// Returns the id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other numbers would make other lakes, and measurements could no longer be compared.
    #[test]
    fn the_numbers_of_a_key_never_change() {
        let mut stream = RandomStream::from_key(&[42, 1]);
        assert_eq!(
            (stream.bits(), stream.below(1000), stream.skewed(1000)),
            (10_646_091_845_267_208_524, 104, 51)
        );
    }

    /// The numbers of the reference implementation, <https://prng.di.unimi.it/splitmix64.c>.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut stream = RandomStream(1_234_567);
        assert_eq!([stream.bits(), stream.bits()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn streams_of_neighbouring_keys_differ() {
        let first = |key: &[u64]| RandomStream::from_key(key).bits();
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }

    #[test]
    fn skewed_numbers_prefer_the_first() {
        let mut stream = RandomStream::from_key(&[7]);
        let first_of_thousand = (0..10_000).filter(|_| stream.skewed(1000) == 0).count();
        assert!((800..1_200).contains(&first_of_thousand), "{first_of_thousand}");
    }
}
