//! Generations that a hit checks in a few nanoseconds, for entries that live in this process.

use super::closings::{Cell, Closings};
use super::grace::is_over;
use super::host::{HostError, Place};
use super::memory::{Memory, Region, SLOTS, Source};
use super::{Generations, ScopeId, Token, slots};
use crate::clock;
use std::sync::atomic::{AtomicPtr, Ordering};

#[allow(clippy::cast_possible_truncation)] // twenty bits
const SLOT_MASK: u32 = SLOTS as u32 - 1;
/// For how long after the birth of a file nobody stores under it who knew the one before (ms). What was
/// closed in that one is taken over besides, however long it lasts; this is for writers who could not reach
/// any file when they closed.
const GRACE_MS: i64 = 10_000;
/// A generation that no slot ever has.
const NEVER: u64 = u64::MAX;

/// A table of generations: one word per slot, in which the bits of a scope's id find it.
///
/// An entry is stored with the [`epoch`](Self::epoch), which is read first, and with the slot and the
/// generation of each of its scopes, read before the function ran. It is valid while
/// [`holds`](Self::holds) says so.
pub struct Table {
    /// Replaced ones hang on to it.
    region: AtomicPtr<Region>,
    closings: Closings,
    place: Option<Place>,
}

impl Table {
    /// A table in memory of this process alone.
    #[must_use]
    pub fn private() -> Self {
        Self::over(Region::private(Source::Private), None)
    }

    /// The table in this file, which all processes that name it share. It is made if it is not there.
    ///
    /// A file that is deleted or replaced is noticed: by a hit within a second, by everything else at
    /// once, and what was closed in the old one stays closed. That is lost only where nobody is left who
    /// knew it: a writer who was killed after his COMMIT, before anybody but new processes looked.
    /// Whoever truncates the file kills those that map it.
    pub fn host(place: Place) -> Result<Self, HostError> {
        let region = place.file()?.map()?;
        Ok(Self::over(region, Some(place)))
    }

    /// Why [`host`](Self::host) would fail, as far as that shows without making a file.
    #[must_use]
    pub fn refusal(place: &Place) -> Option<HostError> {
        place.file().and_then(|file| file.inspect()).err()
    }

    fn over(region: Region, place: Option<Place>) -> Self {
        let region = AtomicPtr::new(Box::into_raw(Box::new(region)));
        Self { region, closings: Closings::new(), place }
    }

    /// Why the file that was there is out of reach. All scopes are closed meanwhile, since nobody would
    /// hear of what the other processes invalidate.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match self.region().source() {
            Source::InsteadOfFile(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Changes when every entry is void: a `clear()` of any process, another file in place of this one.
    /// A fill reads it before the generations.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.region().memory().epoch.0.load(Ordering::Acquire)
    }

    /// Where a scope's generation is.
    #[must_use]
    pub fn slot(&self, scope: &ScopeId) -> u32 {
        let [first, second, third, fourth, ..] = scope.0;
        u32::from_le_bytes([first, second, third, fourth]) & SLOT_MASK
    }

    /// The generation of a slot, whether it is closed or not: to compare with, not to fill under.
    #[must_use]
    pub fn generation(&self, slot: u32) -> u64 {
        self.region().memory().generation(slot)
    }

    /// The generation of a slot as a token, with its time in it. Slots have generations in common, all
    /// those that were never changed for instance, but no tokens.
    #[must_use]
    pub fn token(slot: u32, generation: u64) -> Token {
        let place = u64::from(slot) << slots::SEQUENCE_BITS | slots::sequence(generation);
        let mut token = [0; 16];
        token[..6].copy_from_slice(&slots::drawn_at(generation).to_be_bytes()[2..]);
        token[6..14].copy_from_slice(&place.to_be_bytes());
        Token(token)
    }

    /// The generation that a token was made from; one that no slot ever has where it was made otherwise.
    #[must_use]
    pub fn generation_of(token: &Token) -> u64 {
        let mut place = [0; 8];
        place.copy_from_slice(&token.0[6..14]);
        let place = u64::from_be_bytes(place);
        let generation = slots::generation(token.drawn_at(), slots::sequence(place));
        let slot = u32::try_from(place >> slots::SEQUENCE_BITS).unwrap_or(u32::MAX);
        if slot <= SLOT_MASK && Self::token(slot, generation) == *token {
            generation
        } else {
            NEVER
        }
    }

    /// Whether each of these slots still has that generation, and the table that epoch.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    #[must_use]
    pub fn holds(&self, epoch: u64, fence: &[(u32, u64)], now_ms: i64) -> bool {
        let mut region = self.region();
        if region.is_due(now_ms) {
            region = self.look(now_ms);
        }
        let memory = region.memory();
        memory.epoch.0.load(Ordering::Acquire) == epoch
            && fence.iter().all(|&(slot, generation)| memory.generation(slot) == generation)
    }

    /// Does something to the memory that is the right one once it is done.
    fn with<T>(&self, act: impl Fn(&Memory, i64) -> T) -> T {
        let mut region = self.region();
        loop {
            let now = clock::now_ms();
            let done = act(region.memory(), now);
            // Afterwards, because what was done to a file that is gone by now was done to nothing.
            let current = self.look(now);
            if std::ptr::eq(current, region) {
                return done;
            }
            region = current;
        }
    }

    #[inline]
    pub(super) fn region(&self) -> &Region {
        // SAFETY: it came from a `Box`, which lives until `self` is dropped, replaced or not.
        unsafe { &*self.region.load(Ordering::Acquire) }
    }

    /// Looks whether this is still the right memory; the answer is the one that is.
    #[cold]
    fn look(&self, now: i64) -> &Region {
        let region = self.region();
        // To try what has failed costs more than to see that nothing has changed.
        if matches!(region.source(), Source::InsteadOfFile(_)) && !region.is_due(now) {
            return region;
        }
        region.look_after(now);
        match (&self.place, region.source()) {
            (Some(_), Source::File(mapping)) if mapping.is_still_right() => region,
            (Some(place), _) => self.replace(place, region, now),
            (None, _) => region,
        }
    }

    fn replace<'a>(&'a self, place: &Place, old: &'a Region, now: i64) -> &'a Region {
        let mut new = match (place.file().and_then(|file| file.map()), old.source()) {
            (Ok(new), source) => match (new.source(), source) {
                (Source::File(now), Source::File(then)) if now.is_of_same_file(then) => return old,
                _ => new,
            },
            (Err(_), Source::InsteadOfFile(_)) => return old,
            (Err(error), _) => {
                let new = Region::private(Source::InsteadOfFile(error.to_string()));
                new.memory().slots().close_all(i64::MAX);
                new
            }
        };
        hand_over(old, &new, now);
        new.look_after(now);
        let old = std::ptr::from_ref(old).cast_mut();
        new.previous = old;
        let new = Box::into_raw(Box::new(new));
        if self.region.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
        }
        self.region()
    }
}

/// What has to be known in the `new` memory before anything is stored there.
fn hand_over(old: &Region, new: &Region, now: i64) {
    if let (Source::File(before), Source::File(file)) = (old.source(), new.source())
        && file.is_of_other_user(before)
    {
        return; // both stay in use
    }
    if matches!(old.source(), Source::File(_)) {
        // Those who still map the old one learn of it at their next hit, and before this process
        // writes anything that they would miss.
        old.memory().clear(now);
    }
    if let Source::File(file) = new.source() {
        let slots = new.memory().slots();
        let grace = new.memory().born().saturating_add(GRACE_MS);
        if now < grace {
            slots.close_all(grace);
        }
        // A writer who has closed scopes in the old file may be committing just now, or be dead; and
        // others may keep theirs closed for long. Each process that knew it says so in the new one,
        // before it stores anything there.
        if let Some(before) = old.last_file().filter(|before| !before.is_over_file(file)) {
            slots.adopt(&before.memory().slots(), now);
        }
        // Who did not know the old one may have stored what was closed there; and what was
        // invalidated while no file was in reach did not get to the others.
        new.memory().clear(now);
    }
}

impl Generations for Table {
    fn get(&self, scope: &ScopeId) -> Option<Token> {
        Some(self.ensure(scope))
    }

    fn ensure(&self, scope: &ScopeId) -> Token {
        let slot = self.slot(scope);
        let generation = self.with(|memory, now| memory.slots().read(slot, now));
        generation.map_or_else(Token::closed, |generation| Self::token(slot, generation))
    }

    fn renew(&self, scope: &ScopeId) {
        let slot = self.slot(scope);
        self.with(|memory, now| memory.slots().renew(slot, now));
    }

    fn close(&self, scope: &ScopeId, writer: u64, until: i64) {
        let slot = self.slot(scope);
        self.with(|memory, now| {
            if let Some(word) = memory.slots().close(slot, until, memory.tag(), now) {
                let cell = Cell { memory: std::ptr::from_ref(memory).addr(), word, until };
                self.closings.add(scope, writer, cell, now);
            }
        });
    }

    fn open(&self, scope: &ScopeId, writer: u64) {
        let slot = self.slot(scope);
        let own = self.closings.take(scope, writer);
        self.with(|memory, now| {
            let here = own.iter().filter(|cell| cell.memory == std::ptr::from_ref(memory).addr());
            memory.slots().open(slot, here.map(|cell| cell.word), now);
        });
    }

    fn clear(&self) {
        self.with(Memory::clear);
    }

    fn note(&self, scope: &ScopeId, window: i64) {
        let slot = self.slot(scope);
        self.with(|memory, now| {
            let word = memory.grace(slot);
            let seen = word.load(Ordering::Acquire);
            if seen == 0 || is_over(slots::drawn_at(seen), window, now) {
                let grace = slots::grace(slot, memory.generation(slot), now);
                // Whoever was first has noted an earlier time.
                let _ = word.compare_exchange(seen, grace, Ordering::AcqRel, Ordering::Relaxed);
            }
        });
    }

    fn replaced_at(&self, scope: &ScopeId, token: &Token) -> Option<i64> {
        let slot = self.slot(scope);
        let word = self.region().memory().grace(slot).load(Ordering::Acquire);
        slots::replaced_at(word, slot, Self::generation_of(token))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        let mut next = *self.region.get_mut();
        while !next.is_null() {
            // SAFETY: each came from a `Box` and is in this chain alone; `self` is not borrowed.
            let region = unsafe { Box::from_raw(next) };
            next = region.previous;
        }
    }
}
