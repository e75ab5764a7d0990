//! What a table is made of: nothing but atomic words, so that it can lie in a file.

use super::host::Mapping;
use super::slots::{self, Slots};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Generations of one table. Scopes that meet in a slot are only invalidated together.
pub const SLOTS: usize = 1 << 20;
const CELLS: usize = slots::cells(SLOTS);
/// Notes of soft scopes. Those that meet in one have only the first one's.
const GRACES: usize = 1 << 16;

/// How often a hit looks whether the memory is still the right one (ms).
const LOOK_EVERY_MS: i64 = 1000;
/// Which word of the label has the time of birth.
pub const LABEL_BORN: usize = 4;

/// A word with a cache line to itself.
#[repr(C)]
pub struct Line(pub AtomicU64, [AtomicU64; 7]);

/// A table: 8 MiB of generations, half a MiB of graces, 1 MiB of closings, one page of the rest. All zeroes are a table in
/// which nothing has changed yet.
#[repr(C)]
pub struct Memory {
    /// What a file says of itself, the time of its birth (ms since the epoch) included.
    label: [AtomicU64; 8],
    /// Read by every hit: changes when every entry is void.
    pub epoch: Line,
    floor: Line,
    wide: Line,
    tags: Line,
    rest: [AtomicU64; 512 - 5 * 8],
    cells: [AtomicU64; CELLS],
    graces: [AtomicU64; GRACES],
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

    /// Where the grace of a slot is.
    pub fn grace(&self, slot: u32) -> &AtomicU64 {
        &self.graces[slot as usize % GRACES]
    }

    /// When the file was made in which this is (ms since the epoch).
    pub fn born(&self) -> i64 {
        self.label[LABEL_BORN].load(Ordering::Relaxed).cast_signed()
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
    source: Source,
    /// When a hit looks next whether this is still the right memory (ms).
    next_look: AtomicI64,
    /// The one that this one replaced. It stays until the table goes: a reader may be inside.
    pub previous: *mut Region,
}

/// Where a region came from.
pub enum Source {
    /// Memory of this process.
    Private,
    /// The same, because the file is out of reach: why.
    InsteadOfFile(String),
    /// A mapped file.
    #[cfg_attr(not(unix), allow(dead_code))]
    File(Mapping),
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
        // SAFETY: it is ours until the region frees it.
        unsafe { Self::over(NonNull::from(Box::leak(memory)), source) }
    }

    /// Memory that came from `source`.
    ///
    /// # Safety
    /// The memory stays valid until the region is dropped, which ends it as its source asks for.
    pub unsafe fn over(memory: NonNull<Memory>, source: Source) -> Self {
        Self { memory, source, next_look: AtomicI64::new(0), previous: std::ptr::null_mut() }
    }

    #[inline]
    pub fn memory(&self) -> &Memory {
        // SAFETY: it is valid as long as `self` is.
        unsafe { self.memory.as_ref() }
    }

    /// Whether it is time to look if this is still the right memory.
    #[inline]
    pub fn is_due(&self, now: i64) -> bool {
        // Further ahead than it is ever put, if the clock was set back. Clocks differ by a little.
        let left = self.next_look.load(Ordering::Relaxed).wrapping_sub(now);
        !(0..=2 * LOOK_EVERY_MS).contains(&left)
    }

    /// Puts the next look off.
    pub fn look_after(&self, now: i64) {
        self.next_look.store(now.saturating_add(LOOK_EVERY_MS), Ordering::Relaxed);
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// This region, or the latest before it, that is over a file.
    pub fn last_file(&self) -> Option<&Self> {
        let mut region = self;
        while !matches!(region.source, Source::File(_)) {
            // SAFETY: it is null or came from a `Box` that lives as long as this region.
            region = unsafe { region.previous.as_ref() }?;
        }
        Some(region)
    }

    /// Whether it is over that file.
    pub fn is_over_file(&self, file: &Mapping) -> bool {
        matches!(&self.source, Source::File(mapping) if mapping.is_of_same_file(file))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match &self.source {
            // SAFETY: it is this region's, and nobody borrows it.
            Source::File(_) => unsafe { Mapping::unmap(self.memory) },
            // SAFETY: it was made from a `Box` by `Region::private`.
            _ => drop(unsafe { Box::from_raw(self.memory.as_ptr()) }),
        }
    }
}
