//! Which cells of a table this process has to clear.

use super::ScopeId;
use crate::flight;
use ahash::HashMap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Below this many, nobody looks for closings that were never opened.
const WORTH_PRUNING: usize = 4096;

/// What one closing has left.
pub struct Cell {
    /// The address of the memory in which it is.
    pub memory: usize,
    /// What is in it.
    pub word: u64,
    /// Until when it may be there (ms).
    pub until: i64,
}

#[derive(Default)]
struct Open {
    cells: HashMap<(u64, ScopeId), Vec<Cell>>,
    prune_at: usize,
}

struct OfProcess {
    forks: u64,
    open: Mutex<Open>,
}

/// The closings of this process. What a forked child inherits is its parent's: it starts with none,
/// and with a lock of its own, since a thread of the parent may have held this one.
pub struct Closings(AtomicPtr<OfProcess>);

impl Closings {
    pub fn new() -> Self {
        Self(AtomicPtr::new(OfProcess::new()))
    }

    /// Writes down what `writer` has to clear.
    pub fn add(&self, scope: &ScopeId, writer: u64, cell: Cell, now: i64) {
        let mut open = self.of_process().open.lock();
        if open.cells.len() >= open.prune_at.max(WORTH_PRUNING) {
            open.cells.retain(|_, cells| cells.iter().any(|cell| cell.until > now));
            open.prune_at = open.cells.len() * 2;
        }
        open.cells.entry((writer, *scope)).or_default().push(cell);
    }

    /// What `writer` has to clear, once.
    pub fn take(&self, scope: &ScopeId, writer: u64) -> Vec<Cell> {
        let cells = self.of_process().open.lock().cells.remove(&(writer, *scope));
        cells.unwrap_or_default()
    }

    fn of_process(&self) -> &OfProcess {
        loop {
            let seen = self.0.load(Ordering::Acquire);
            // SAFETY: it came from a `Box` that is freed only when `self` is dropped, or never.
            let current = unsafe { &*seen };
            if current.forks == flight::forks() {
                return current;
            }
            let mine = OfProcess::new();
            if self.0.compare_exchange(seen, mine, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(mine) });
            }
        }
    }
}

impl OfProcess {
    fn new() -> *mut Self {
        Box::into_raw(Box::new(Self { forks: flight::forks(), open: Mutex::default() }))
    }
}

impl Drop for Closings {
    fn drop(&mut self) {
        // SAFETY: it came from a `Box`, and no reference outlives `self`.
        drop(unsafe { Box::from_raw(*self.0.get_mut()) });
    }
}
