//! The rules by which fills, writers and those who clean up after the dead share one table of words.
//!
//! There is no lock, and every step is one atomic write, so a process that is killed between any two
//! leaves something that the next one knows how to read. What makes it safe is the order of the steps:
//!
//! - **close**: put a cell, *then* renew the slot. Who sees the new generation sees the cell.
//! - **open**: renew the slot, *then* clear the own cell. Who misses the cell has an old generation.
//! - **read**: load the generation, *then* look at the cells. So a generation that is handed out while
//!   a writer is between these two is one that he has renewed away, or will.
//! - **expiry** of a cell whose writer died is an open by whoever meets it: renew, *then* clear. The
//!   renewal also moves the generation's time past the dead writer's COMMIT, which is what readers
//!   of older snapshots go by.
//! - **the table-wide closing**: raised *before* the slot is renewed; at its end the floor rises
//!   *before* the word is cleared, and is read after it.
//!
//! A writer who is slow, not dead, may commit after his time. Who fills between that and his opening may keep
//! what he has changed, until he opens: that much a deadline costs. A clock that is set forward makes
//! every time end early; one that is set back keeps scopes closed for longer.
//!
//! Every one of these pairs is "write A, release B; acquire B, read A", so acquire and release suffice.

use std::sync::atomic::{AtomicU64, Ordering};

/// Cells in one bucket: a cache line.
pub const BUCKET: usize = 8;
/// Bits of a slot that its bucket leaves open, and that a cell therefore carries.
const REST_BITS: u32 = 6;
/// Bits of a generation below its time.
pub const SEQUENCE_BITS: u32 = 22;
const TAG_BITS: u32 = 16;
/// The tag of a cell that is nobody's to clear: it ends with its time.
const SHARED: u64 = 0;
/// 2020-01-01 in milliseconds since the Unix epoch: where the 42 bits of time begin.
const BASE_MS: i64 = 1_577_836_800_000;
const MAX_MS: i64 = (1 << 42) - 1;

/// The grace of a slot: `[42 bits ms since 2020 | 22 bits that stand for the slot and its generation]`. That these
/// are another's by accident is as likely as one in four million.
pub fn grace(slot: u32, generation: u64, at: i64) -> u64 {
    let mixed = (generation ^ u64::from(slot).rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    stamp(at) | mixed >> (64 - SEQUENCE_BITS)
}

/// When that generation of a slot was replaced (ms since the epoch), if this is its grace.
pub fn replaced_at(word: u64, slot: u32, generation: u64) -> Option<i64> {
    let at = drawn_at(word);
    (word != 0 && grace(slot, generation, at) == word).then_some(at)
}

/// An atomic number. The model of these rules brings its own.
pub trait Word {
    /// Reads with acquire.
    fn load(&self) -> u64;
    /// Writes `new` if `seen` is still there; acquires and releases.
    fn replace(&self, seen: u64, new: u64) -> bool;
    /// Replaces the number by what `next` makes of it.
    fn update(&self, next: impl Fn(u64) -> u64) {
        loop {
            let seen = self.load();
            if self.replace(seen, next(seen)) {
                return;
            }
        }
    }
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Acquire)
    }

    fn replace(&self, seen: u64, new: u64) -> bool {
        self.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// The words of one table.
pub struct Slots<'a, W> {
    /// One generation per slot: `[42 bits ms since 2020 | 22 bits]`, growing. Zero: never changed.
    pub generations: &'a [W],
    /// Closings, in buckets: `[42 bits deadline | 6 bits of the slot | 16 bits tag]`. Zero: free.
    pub cells: &'a [W],
    /// How many cells one bucket has.
    pub bucket: usize,
    /// Until when the whole table is closed, as a generation. Zero: it is not.
    pub wide: &'a W,
    /// A generation below this has been changed without its slot being written.
    pub floor: &'a W,
}

impl<W: Word> Slots<'_, W> {
    /// The generation of an open slot; `None` while it is closed.
    pub fn read(&self, slot: u32, now: i64) -> Option<u64> {
        loop {
            let generation = self.generations[slot as usize].load();
            let mut expired = false;
            for cell in self.bucket(slot) {
                let held = cell.load();
                if held == 0 || slot_in(held, slot) != slot {
                    continue;
                }
                if deadline(held) > now {
                    return None;
                }
                self.renew(slot, now);
                cell.replace(held, 0);
                expired = true;
            }
            if expired {
                continue;
            }
            let wide = self.wide.load();
            if wide > stamp(now) {
                return None;
            }
            if wide != 0 {
                self.raise_floor(now);
                self.wide.replace(wide, 0);
                continue;
            }
            if generation >= self.floor.load() {
                return Some(generation);
            }
            // Whoever comes second takes the generation of the first.
            let next = self.next(generation, now);
            self.generations[slot as usize].replace(generation, next);
        }
    }

    /// Starts a new generation of a slot.
    pub fn renew(&self, slot: u32, now: i64) {
        self.generations[slot as usize].update(|seen| self.next(seen, now));
    }

    /// Later than what was there, or it could come again; and drawn after that was seen, so that a
    /// writer who was stopped in between starts over instead of setting the time back.
    fn next(&self, seen: u64, now: i64) -> u64 {
        stamp(now).max(self.floor.load()).max(seen + 1)
    }

    /// Closes a slot until `until`. The answer is what [`Slots::open`] has to clear: nothing where
    /// there was no room for a cell of its own.
    pub fn close(&self, slot: u32, until: i64, tag: u64, now: i64) -> Option<u64> {
        let own = self.put(slot, until, tag, now);
        self.renew(slot, now);
        own
    }

    /// Ends the closings of a slot that left these cells.
    pub fn open(&self, slot: u32, own: impl Iterator<Item = u64>, now: i64) {
        self.renew(slot, now);
        own.for_each(|word| self.clear(slot, word));
    }

    /// Frees one cell with exactly this word. Another writer's equal word in a second cell stays.
    pub fn clear(&self, slot: u32, word: u64) {
        let _ = self.bucket(slot).iter().any(|cell| cell.load() == word && cell.replace(word, 0));
    }

    /// Writes down that a slot is closed.
    pub fn put(&self, slot: u32, until: i64, tag: u64, now: i64) -> Option<u64> {
        let bucket = self.bucket(slot);
        let word = cell(slot, until, tag);
        if bucket.iter().any(|cell| cell.load() == 0 && cell.replace(0, word)) {
            return Some(word);
        }
        for cell in bucket {
            let held = cell.load();
            if held != 0 && deadline(held) <= now {
                self.renew(slot_in(held, slot), now);
                if cell.replace(held, word) {
                    return Some(word);
                }
            }
        }
        // Too many at once. Those of this very slot can share a cell, which then ends with its time.
        for shared in bucket {
            let held = shared.load();
            if held != 0 && slot_in(held, slot) == slot {
                let until = until.max(deadline(held));
                if shared.replace(held, cell(slot, until, SHARED)) {
                    return None;
                }
            }
        }
        self.close_all(until);
        None
    }

    /// Keeps closed what is closed in another table. Nobody can open it here: it ends with its time.
    pub fn adopt(&self, other: &Self, now: i64) {
        for (at, cell) in other.cells.iter().enumerate() {
            let held = cell.load();
            if held == 0 || deadline(held) <= now {
                continue;
            }
            #[allow(clippy::cast_possible_truncation)] // there are fewer buckets than slots
            let slot = slot_in(held, ((at / other.bucket) << REST_BITS) as u32);
            // Everyone who comes from there does this, and a bucket has few cells.
            let is_known = self.bucket(slot).iter().any(|cell| {
                let known = cell.load();
                tag_in(known) == SHARED
                    && slot_in(known, slot) == slot
                    && deadline(known) >= deadline(held)
            });
            if !is_known {
                self.close(slot, deadline(held), SHARED, now);
            }
        }
        let wide = other.wide.load();
        if wide > stamp(now) {
            self.wide.update(|seen| seen.max(wide));
        }
    }

    /// Closes every slot until `until`. There is no way to open them earlier.
    pub fn close_all(&self, until: i64) {
        self.wide.update(|seen| seen.max(stamp(until)));
    }

    /// Changes the generation of every slot: each is renewed when it is read next.
    pub fn raise_floor(&self, now: i64) {
        // At least a millisecond up: above all that was made since it rose last.
        let step = 1 << SEQUENCE_BITS;
        self.floor.update(|seen| stamp(now).max(seen / step * step) + step);
    }

    fn bucket(&self, slot: u32) -> &[W] {
        let first = (slot >> REST_BITS) as usize * self.bucket;
        &self.cells[first..first + self.bucket]
    }
}

/// How many cells a table of `slots` slots has.
pub const fn cells(slots: usize) -> usize {
    (slots >> REST_BITS) * BUCKET
}

/// The first generation of a moment (ms since the epoch).
pub fn stamp(millis: i64) -> u64 {
    millis.saturating_sub(BASE_MS).clamp(1, MAX_MS).cast_unsigned() << SEQUENCE_BITS
}

/// When a generation was drawn (ms since the epoch).
pub fn drawn_at(generation: u64) -> i64 {
    (generation >> SEQUENCE_BITS).cast_signed() + BASE_MS
}

/// What distinguishes generations of one millisecond.
pub fn sequence(generation: u64) -> u64 {
    generation & ((1 << SEQUENCE_BITS) - 1)
}

/// The generation of these two parts.
pub fn generation(drawn_at: i64, sequence: u64) -> u64 {
    drawn_at.saturating_sub(BASE_MS).clamp(0, MAX_MS).cast_unsigned() << SEQUENCE_BITS | sequence
}

/// The tag of the `number`-th closing of a table.
pub fn tag(number: u64) -> u64 {
    number % ((1 << TAG_BITS) - 1) + 1
}

fn cell(slot: u32, until: i64, tag: u64) -> u64 {
    let millis = until.saturating_sub(BASE_MS).clamp(1, MAX_MS).cast_unsigned();
    let rest = u64::from(slot & ((1 << REST_BITS) - 1));
    (millis << REST_BITS | rest) << TAG_BITS | tag
}

fn deadline(cell: u64) -> i64 {
    (cell >> (REST_BITS + TAG_BITS)).cast_signed() + BASE_MS
}

fn tag_in(cell: u64) -> u64 {
    cell & ((1 << TAG_BITS) - 1)
}

/// The slot that a cell in the bucket of `neighbour` closes.
fn slot_in(cell: u64, neighbour: u32) -> u32 {
    #[allow(clippy::cast_possible_truncation)] // six bits
    let rest = (cell >> TAG_BITS & ((1 << REST_BITS) - 1)) as u32;
    (neighbour >> REST_BITS) << REST_BITS | rest
}
