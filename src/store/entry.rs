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
    /// When it stops being valid (ms since the epoch), or [`NEVER`]. For the entry of a wrapper: until when a
    /// hit needs no further thought.
    quick_until: AtomicI64,
    /// For the entry of a wrapper.
    pub fill: Option<Fill>,
}

impl<V> Entry<V> {
    /// A value that weighs so many bytes and is valid until `quick_until` (ms since the epoch), or needs no
    /// further thought until then.
    #[must_use]
    pub fn new(value: V, bytes: usize, quick_until: i64, fill: Option<Fill>) -> Self {
        Self { value, bytes, quick_until: AtomicI64::new(quick_until), fill }
    }

    /// When it stops being valid (ms since the epoch), or [`NEVER`].
    pub fn expires_at(&self) -> i64 {
        let end = self.fill.as_ref().map_or(&self.quick_until, |fill| &fill.expires_at);
        end.load(Ordering::Relaxed)
    }

    /// Whether its time is over at `now` (ms since the epoch).
    pub fn is_over(&self, now: i64) -> bool {
        self.expires_at() <= now
    }

    /// Whether a hit at `now` needs no further thought.
    #[inline]
    pub fn is_quick(&self, now: i64) -> bool {
        now < self.quick_until.load(Ordering::Relaxed)
    }

    /// Whether it is of no use at `now` any more, not even past its time.
    pub fn is_gone(&self, now: i64) -> bool {
        let stale = self.fill.as_ref().map_or(0, |fill| fill.stale_ms);
        self.expires_at().saturating_add(stale) <= now
    }

    /// Moves its end. That of a wrapper's entry never gets later: its ttl has been decided.
    pub fn touch(&self, expires_at: i64) {
        if let Some(fill) = &self.fill {
            self.quick_until.fetch_min(expires_at, Ordering::Relaxed);
            fill.expires_at.fetch_min(expires_at, Ordering::Relaxed);
        } else {
            self.quick_until.store(expires_at, Ordering::Relaxed);
        }
    }
}

impl Fill {
    /// The fence without what is soft: before that, and after.
    #[must_use]
    pub fn hard(&self) -> [&[(u32, u64)]; 2] {
        let end = self.fence.len() - self.recorded.len() - 1;
        [&self.fence[..end - self.soft as usize], &self.fence[end..]]
    }
}

/// How the entry of a wrapper came about.
pub struct Fill {
    /// Whose entry it is.
    pub family: Arc<Family>,
    /// Stands for the text of its key.
    pub name: Name,
    /// When it was stored (ms since the epoch).
    pub cached_at: i64,
    /// When it stops being valid (ms since the epoch), or [`NEVER`].
    pub expires_at: AtomicI64,
    /// For how long after that it is of use (ms).
    pub stale_ms: i64,
    /// How long the function ran, in microseconds.
    pub fill_us: u32,
    /// The table's epoch before the function ran.
    pub epoch: u64,
    /// Slots and generations of the scopes from before the function ran, the entry's own last.
    /// Then those of scopes that became known while it ran.
    pub fence: Box<[(u32, u64)]>,
    /// How many of the scopes before the own one are soft: changed, they make it stale and not void.
    pub soft: u32,
    /// The scopes that became known while it ran.
    pub recorded: Box<[ScopeId]>,
}
