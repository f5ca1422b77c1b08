//! A blocked Bloom filter: one cache line per question.
//!
//! Ten bits and six probes per key: about 1% of absent keys are taken for present.

const BITS_PER_KEY: usize = 10;
const PROBES: u32 = 6;
const WORDS_PER_BLOCK: usize = 8;
const BITS_PER_BLOCK: usize = WORDS_PER_BLOCK * 64;

const _: () = assert!(BITS_PER_BLOCK == 1 << 9, "a probe takes nine bits of the hash");
const _: () = assert!(PROBES * 9 <= 64, "all probes come from one word of the hash");

pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    pub fn with_room_for(keys: usize) -> Self {
        let blocks = (keys * BITS_PER_KEY).div_ceil(BITS_PER_BLOCK).max(1);
        Self { words: vec![0; blocks * WORDS_PER_BLOCK] }
    }

    /// `None` if the bytes are not whole blocks.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(WORDS_PER_BLOCK * 8) {
            return None;
        }
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Some(Self { words })
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    pub fn insert(&mut self, key: u128) {
        let (block, mut bits) = self.place(key);
        for _ in 0..PROBES {
            let bit = (bits & 511) as usize;
            self.words[block + bit / 64] |= 1 << (bit % 64);
            bits >>= 9;
        }
    }

    /// `false` is certain.
    pub fn may_hold(&self, key: u128) -> bool {
        let (block, mut bits) = self.place(key);
        let mut held = true;
        for _ in 0..PROBES {
            let bit = (bits & 511) as usize;
            held &= self.words[block + bit / 64] >> (bit % 64) & 1 == 1;
            bits >>= 9;
        }
        held
    }

    /// Loads the blocks of the keys, all at once.
    pub fn touch(&self, keys: &[u128]) {
        let seen = keys.iter().fold(0, |seen, key| seen ^ self.words[self.place(*key).0]);
        std::hint::black_box(seen);
    }

    /// The block comes from the hash's low half, the probes from its high half.
    fn place(&self, key: u128) -> (usize, u64) {
        let blocks = (self.words.len() / WORDS_PER_BLOCK) as u128;
        let block = (u128::from(key as u64) * blocks) >> 64;
        (block as usize * WORDS_PER_BLOCK, ((key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
    }

    #[test]
    fn a_filter_never_denies_what_it_holds_and_seldom_claims_what_it_does_not() {
        for count in [0, 1, 100, 10_000] {
            let mut filter = Filter::with_room_for(count as usize);
            (0..count).for_each(|n| filter.insert(key(n)));
            let filter = Filter::from_bytes(&filter.to_bytes()).expect("whole blocks");
            assert!((0..count).all(|n| filter.may_hold(key(n))));
            let wrong = (count..count + 10_000).filter(|n| filter.may_hold(key(*n))).count();
            assert!(wrong < 400, "{wrong} of 10000 absent keys claimed at {count}");
        }
    }
}
