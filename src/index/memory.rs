//! What a table is made of: nothing but atomic words, so that it can lie in a file.

use super::slots::{self, Slots};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Generations of one table. Scopes that meet in a slot are only invalidated together.
pub const SLOTS: usize = 1 << 20;
const CELLS: usize = slots::cells(SLOTS);

/// A word with a cache line to itself.
#[repr(C)]
pub struct Line(pub AtomicU64, [AtomicU64; 7]);

/// A table: 8 MiB of generations, 1 MiB of closings, one page of the rest. All zeroes are a table in
/// which nothing has changed yet.
#[repr(C)]
pub struct Memory {
    /// What a file says of itself.
    pub label: [AtomicU64; 8],
    /// Read by every hit: changes when every entry is void.
    pub epoch: Line,
    floor: Line,
    wide: Line,
    tags: Line,
    rest: [AtomicU64; 512 - 5 * 8],
    cells: [AtomicU64; CELLS],
    generations: [AtomicU64; SLOTS],
}

impl Memory {
    /// The words that the rules are about.
    pub fn slots(&self) -> Slots<'_, AtomicU64> {
        Slots {
            generations: &self.generations,
            cells: &self.cells,
            bucket: slots::BUCKET,
            wide: &self.wide.0,
            floor: &self.floor.0,
        }
    }

    /// The generation of a slot, closed or not.
    #[inline]
    pub fn generation(&self, slot: u32) -> u64 {
        self.generations[slot as usize % SLOTS].load(Ordering::Acquire)
    }

    /// A tag that no other closing has for a while.
    pub fn tag(&self) -> u64 {
        slots::tag(self.tags.0.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes every entry void, and every generation another.
    pub fn clear(&self, now: i64) {
        // In this order: a fill that has read the new epoch reads new generations.
        self.slots().raise_floor(now);
        self.epoch.0.store(unique(), Ordering::Release);
    }
}

/// A number that no other epoch of any table has.
///
/// # Panics
/// When the operating system has no random bytes to give.
pub fn unique() -> u64 {
    getrandom::u64().expect("the operating system gives random bytes") | 1
}

/// The memory that a table uses, or has used, and how it came by it.
pub struct Region {
    memory: NonNull<Memory>,
    #[allow(dead_code)] // until there are files
    source: Source,
    /// When a hit looks next whether this is still the right memory (ms).
    pub next_look: AtomicI64,
    /// The one that this one replaced. It stays until the table goes: a reader may be inside.
    pub previous: *mut Region,
}

/// Where a region came from.
pub enum Source {
    /// Memory of this process.
    Private,
}

// SAFETY: what it points to is made of atomics and lives as long as the region does.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Zero pages, which take no room before they are written.
    pub fn private(source: Source) -> Self {
        // SAFETY: all zeroes are a valid `Memory`, which has no padding and nothing but atomics.
        let memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
        memory.epoch.0.store(unique(), Ordering::Release);
        Self::new(NonNull::from(Box::leak(memory)), source)
    }

    pub(super) fn new(memory: NonNull<Memory>, source: Source) -> Self {
        Self { memory, source, next_look: AtomicI64::new(0), previous: std::ptr::null_mut() }
    }

    #[inline]
    pub fn memory(&self) -> &Memory {
        // SAFETY: it is valid as long as `self` is.
        unsafe { self.memory.as_ref() }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: it was made from a `Box` by `Region::private`.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}
