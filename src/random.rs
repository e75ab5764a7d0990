//! Random numbers for jitter and early refresh: a splitmix64 sequence, which tests can seed.
//!
//! Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014). Nothing secret is drawn from it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

static STATE: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(entropy()));

/// 2^-53.
const STEP: f64 = f64::EPSILON / 2.0;

/// Has the sequence begin at `seed`; without one, where nobody can tell. A forked child needs a beginning of
/// its own, so that workers do not all draw the same.
pub fn seed(seed: Option<u64>) {
    STATE.store(seed.unwrap_or_else(entropy), Ordering::Relaxed);
}

/// A number from 2^-53 to 1, evenly distributed.
#[must_use]
pub fn uniform() -> f64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = STATE.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    #[allow(clippy::cast_precision_loss)] // of 53 bits there is none
    let number = ((bits >> 11) + 1) as f64;
    number * STEP
}

fn entropy() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::{seed, uniform};

    #[test]
    fn numbers_are_even_and_never_zero() {
        seed(Some(1));
        let numbers: Vec<f64> = (0..100_000).map(|_| uniform()).collect();
        assert!(numbers.iter().all(|&number| number > 0.0 && number <= 1.0));
        let mean = numbers.iter().sum::<f64>() / 100_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }
}
