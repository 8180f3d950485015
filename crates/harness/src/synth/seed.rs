//! Seeded randomness: one generator per thing, so that adding one does not move the others.
//!
//! Only integer steps and the exactly rounded operations of IEEE 754 are used, so that a seed gives the same event on
//! every machine.

use md5::{Digest, Md5};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of one thing.
pub(super) struct Dice(ChaCha8Rng);

impl Dice {
    /// The generator of the thing that `label` and `parts` name, in the world of `seed`.
    pub(super) fn of(seed: u64, label: &str, parts: &[u64]) -> Self {
        let mut hash = Md5::new();
        hash.update(seed.to_le_bytes());
        hash.update(label.as_bytes());
        for part in parts {
            hash.update(part.to_le_bytes());
        }
        let digest: [u8; 16] = hash.finalize().into();
        let mut key = [0_u8; 32];
        key[..16].copy_from_slice(&digest);
        Self(ChaCha8Rng::from_seed(key))
    }

    /// The generator itself, for crate `fake`.
    pub(super) fn raw(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..n`; 0 when `n` is 0. (The bias of the remainder is far below anything seen here.)
    pub(super) fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next() % n }
    }

    /// An index into a list of `len`.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number in `0.0..1.0`.
    pub(super) fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / 4_294_967_296.0
    }

    /// True in `percent` of a hundred.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// About normal with mean 0 and deviation 1: the sum of four uniforms, cut at 3.5.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum: f64 = (0..4).map(|i| f64::from(u16::try_from((bits >> (16 * i)) & 0xffff).unwrap_or(0))).sum();
        (sum / 65_535.0 - 2.0) * 3.0_f64.sqrt()
    }

    /// About log-normal around 1 with deviation `sigma`: e^x by its first terms, since `sigma` is small.
    pub(super) fn spread(&mut self, sigma: f64) -> f64 {
        let x = self.normal() * sigma;
        1.0 + x + x * x / 2.0
    }

    /// Puts `items` into a random order.
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.index(i + 1));
        }
    }
}
