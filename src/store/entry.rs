//! What the store keeps under a key.

use super::{Family, Name};
use crate::index::ScopeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The end of what has none.
pub const NEVER: i64 = i64::MAX;

/// A value, how long it is valid, and for a wrapper's how it came about.
pub struct Entry<V> {
    /// The value.
    pub value: V,
    /// What the value weighs, in bytes.
    pub bytes: usize,
    /// When it stops being valid (ms since the epoch), or [`NEVER`].
    expires_at: AtomicI64,
    /// For the entry of a wrapper.
    pub fill: Option<Fill>,
}

impl<V> Entry<V> {
    /// A value that weighs so many bytes and is valid until `expires_at` (ms since the epoch).
    #[must_use]
    pub fn new(value: V, bytes: usize, expires_at: i64, fill: Option<Fill>) -> Self {
        Self { value, bytes, expires_at: AtomicI64::new(expires_at), fill }
    }

    /// When it stops being valid (ms since the epoch), or [`NEVER`].
    #[inline]
    pub fn expires_at(&self) -> i64 {
        self.expires_at.load(Ordering::Relaxed)
    }

    /// Whether its time is over at `now` (ms since the epoch).
    #[inline]
    pub fn is_over(&self, now: i64) -> bool {
        self.expires_at() <= now
    }

    /// Moves its end. That of a wrapper's entry never gets later: its ttl has been decided.
    pub fn touch(&self, expires_at: i64) {
        if self.fill.is_some() {
            self.expires_at.fetch_min(expires_at, Ordering::Relaxed);
        } else {
            self.expires_at.store(expires_at, Ordering::Relaxed);
        }
    }
}

/// How the entry of a wrapper came about.
#[derive(Clone)]
pub struct Fill {
    /// Whose entry it is.
    pub family: Arc<Family>,
    /// Stands for the text of its key.
    pub name: Name,
    /// When it was stored (ms since the epoch).
    pub cached_at: i64,
    /// How long the function ran, in microseconds.
    pub fill_us: u32,
    /// The table's epoch before the function ran.
    pub epoch: u64,
    /// Slots and generations of the scopes from before the function ran, the entry's own last.
    /// Then those of scopes that became known while it ran.
    pub fence: Box<[(u32, u64)]>,
    /// The scopes that became known while it ran.
    pub recorded: Box<[ScopeId]>,
}
