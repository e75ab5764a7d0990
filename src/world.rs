//! The world that this process lives in: entries, generations and leases of one are unknown in every other.
//!
//! Zero is the real one. A test lives in a world of its own, which it can enter and leave at no cost: the
//! number is mixed into whatever the identity of an entry or of a scope is made from.

use std::sync::atomic::{AtomicU64, Ordering};

static WORLD: AtomicU64 = AtomicU64::new(0);

/// The current world.
#[must_use]
pub fn current() -> u64 {
    WORLD.load(Ordering::Acquire)
}

/// Has this process live in `world` from here on.
pub fn enter(world: u64) {
    WORLD.store(world, Ordering::Release);
}

/// What `identity` is in the current world: different ones stay different.
#[must_use]
pub fn mixed<const N: usize>(mut identity: [u8; N]) -> [u8; N] {
    let world = current().to_le_bytes();
    identity.iter_mut().zip(world).for_each(|(byte, world)| *byte ^= world);
    identity
}
