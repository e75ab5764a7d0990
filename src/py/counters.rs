//! What became of the calls of one function, in this process.

use crate::call::Status;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// Changes whenever all counters of the process are to begin again.
static ROUND: AtomicU64 = AtomicU64::new(0);

/// Every counter of this process begins at zero, once it is looked at or counts. For tests, and for forked
/// children.
#[pyfunction]
pub fn reset_counters() {
    ROUND.fetch_add(1, Ordering::Relaxed);
}

/// A number that only threads with the interpreter's lock change, so that none needs an instruction that
/// is atomic as a whole. Without the lock some counts would get lost, and nothing else would happen.
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    #[inline]
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, number: u64) {
        self.0.store(number, Ordering::Relaxed);
    }

    #[inline]
    fn add(&self, number: u64) {
        self.set(self.get().wrapping_add(number));
    }

    /// Not below zero: what is taken back may have been counted before all began again.
    fn take(&self, number: u64) {
        self.set(self.get().saturating_sub(number));
    }
}

/// See the module. Each method asks for proof that the interpreter's lock is held.
#[derive(Default)]
pub struct Counters {
    round: Count,
    hits: Count,
    misses: Count,
    stale: Count,
    refreshes: Count,
    bypassed: Count,
    fills: Count,
    waited: Count,
    errors: Count,
    saved_us: Count,
}

/// The fields of `CacheInfo`, in order.
pub type Counted = (u64, u64, u64, u64, u64, u64, u64, u64, f64);

impl Counters {
    /// A call got a valid entry, whose fill had taken so many microseconds.
    #[inline]
    pub fn hit(&self, _: Python<'_>, fill_us: u32) {
        self.begin();
        self.hits.add(1);
        self.saved_us.add(u64::from(fill_us));
    }

    /// A call got an entry past its time, whose fill had taken so many microseconds; `instead` of what its own
    /// run has raised, if it has.
    pub fn served_stale(&self, py: Python<'_>, fill_us: u32, instead: bool) {
        self.resolved(py, Status::Stale);
        self.errors.add(u64::from(instead));
        self.saved_us.add(u64::from(fill_us));
    }

    /// A run in the background, which is no call, has ended.
    pub fn renewed(&self, _: Python<'_>, stored: bool, raised: bool) {
        self.begin();
        self.fills.add(u64::from(stored));
        self.errors.add(u64::from(raised));
    }

    /// A call looked for an entry only, and there was none.
    pub fn missed(&self, py: Python<'_>) {
        self.resolved(py, Status::Miss);
    }

    /// A call ended with a value that was computed, by this call or, if `shared`, by another.
    pub fn computed(&self, py: Python<'_>, status: Status, stored: bool, shared: bool) {
        self.resolved(py, status);
        self.fills.add(u64::from(stored && !shared));
        self.waited.add(u64::from(shared));
    }

    /// A call ended with an exception of the function. What only interrupts a call (cancelled, Ctrl-C) counts
    /// nowhere.
    pub fn raised(&self, error: &Bound<'_, PyAny>, status: Status, shared: bool) {
        if error.is_instance_of::<PyException>() {
            self.resolved(error.py(), status);
            self.errors.add(u64::from(!shared));
            self.waited.add(u64::from(shared));
        }
    }

    /// A call ran the function and nothing else.
    pub fn ran(&self, py: Python<'_>, status: Status, error: Option<&PyErr>) {
        match error {
            None => self.computed(py, status, false, false),
            Some(error) => self.raised(error.value(py), status, false),
        }
    }

    /// The call that was counted last turned out to be one in which the cache takes no part: what it `found`
    /// stands for that, or what it has stored. Where it found it, a call follows that counts.
    pub fn passed(&self, _: Python<'_>, found: bool, run_us: u64) {
        self.begin();
        if found {
            self.hits.take(1);
            self.saved_us.take(run_us);
        } else {
            self.misses.take(1);
            self.fills.take(1);
            self.bypassed.add(1);
        }
    }

    /// What has been counted.
    pub fn read(&self, _: Python<'_>) -> Counted {
        self.begin();
        #[allow(clippy::cast_precision_loss)] // exact for 285 years
        let saved = self.saved_us.get() as f64 / 1e6;
        (
            self.hits.get(),
            self.misses.get(),
            self.stale.get(),
            self.refreshes.get(),
            self.bypassed.get(),
            self.fills.get(),
            self.waited.get(),
            self.errors.get(),
            saved,
        )
    }

    fn resolved(&self, _: Python<'_>, status: Status) {
        self.begin();
        match status {
            Status::Hit => &self.hits,
            Status::Stale => &self.stale,
            Status::Miss => &self.misses,
            Status::Refresh => &self.refreshes,
            Status::Bypass => &self.bypassed,
        }
        .add(1);
    }

    /// Begins again, if that was asked for since.
    #[inline]
    fn begin(&self) {
        let round = ROUND.load(Ordering::Relaxed);
        if self.round.get() != round {
            self.begin_at(round);
        }
    }

    #[cold]
    fn begin_at(&self, round: u64) {
        let Self { hits, misses, stale, refreshes, bypassed, fills, waited, errors, .. } = self;
        for count in [hits, misses, stale, refreshes, bypassed, fills, waited, errors] {
            count.set(0);
        }
        self.saved_us.set(0);
        self.round.set(round);
    }
}
