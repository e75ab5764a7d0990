//! State of the whole process that Python sets: configuration epoch, transactions, clock, forks.

use super::counters::reset_counters;
use super::replies::{grace_of, token_of};
use crate::index::{Grace, ScopeId, Token};
use crate::{clock, flight, random, world};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

static EPOCH: AtomicU64 = AtomicU64::new(1);
static OPEN_TRANSACTIONS: AtomicUsize = AtomicUsize::new(0);
static SNAPSHOTS: AtomicUsize = AtomicUsize::new(0);

/// Which configuration is in force: wrappers look theirs up again when it has changed.
pub fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire)
}

/// Whether any transaction of this process has written or has changed a scope.
pub fn any_open_transaction() -> bool {
    OPEN_TRANSACTIONS.load(Ordering::Acquire) != 0
}

/// Settings, caches or rules have changed: every wrapper looks them up at its next call.
#[pyfunction]
pub fn reconfigured() {
    EPOCH.fetch_add(1, Ordering::AcqRel);
}

/// Whether any transaction of this process reads from a snapshot.
pub fn any_snapshot() -> bool {
    SNAPSHOTS.load(Ordering::Acquire) != 0
}

/// How many transactions are open that have written or changed a scope, and how many that read from a
/// snapshot.
#[pyfunction]
pub fn set_open_transactions(changing: usize, snapshots: usize) {
    OPEN_TRANSACTIONS.store(changing, Ordering::Release);
    SNAPSHOTS.store(snapshots, Ordering::Release);
}

/// To be called in the child after a fork.
#[pyfunction]
pub fn after_fork() {
    flight::forked();
    random::seed(None);
    reset_counters();
    // The child may be a worker of a test runner, which lives in another world.
    reconfigured();
}

/// Has this process live in another world, whose entries and generations are no other's. For tests.
#[pyfunction]
pub fn enter_world(world: u64) {
    world::enter(world);
    reconfigured();
}

/// The world that this process lives in; 0 is the real one.
#[pyfunction]
pub fn current_world() -> u64 {
    world::current()
}

/// Moves the clock of entries by `seconds`. For tests.
#[pyfunction]
pub fn clock_advance(seconds: f64) {
    #[allow(clippy::cast_possible_truncation)] // tests move it by seconds, not ages
    clock::advance((seconds * 1000.0) as i64);
}

/// Puts the clock of entries back to real time. For tests.
#[pyfunction]
pub fn clock_reset() {
    clock::reset();
}

/// Milliseconds since the epoch, by the clock of entries and tokens.
#[pyfunction]
pub fn clock_now() -> i64 {
    clock::now_ms()
}

/// Has the random numbers of jitter and early refresh begin at `seed`; None ends that. For tests.
#[pyfunction]
#[pyo3(signature = (seed))]
pub fn seed_random(seed: Option<u64>) {
    random::seed(seed);
}

/// A token that was never used before.
#[pyfunction]
pub fn fresh_token() -> u128 {
    Token::fresh().number()
}

/// A token that closes its scope.
#[pyfunction]
pub fn closed_token() -> u128 {
    Token::closed().number()
}

/// The key under which a shared backend keeps the token of the scope with this 16-byte id.
///
/// # Errors
/// `ValueError` when the id has another length.
#[pyfunction]
pub fn generation_key(scope: &[u8]) -> PyResult<String> {
    scope_id(scope).map(|scope| scope.key())
}

/// The key under which a shared backend keeps the grace of the soft scope with this 16-byte id.
///
/// # Errors
/// `ValueError` when the id has another length.
#[pyfunction]
pub fn grace_key(scope: &[u8]) -> PyResult<String> {
    scope_id(scope).map(|scope| scope.grace_key())
}

/// What a shared backend is to keep of a soft change that is about to be made: `token` and `known` are what it
/// has under the scope's generation key and grace key, if they are that; times in milliseconds. `None`: what
/// it has, or nothing.
#[pyfunction]
pub fn next_grace(
    token: &Bound<'_, PyAny>,
    known: &Bound<'_, PyAny>,
    window: i64,
    now: i64,
) -> Option<u128> {
    Grace::next(token_of(token), grace_of(known), window, now).map(|grace| grace.number())
}

/// Reads the ids of scopes.
pub fn scope_ids(scopes: &[Vec<u8>]) -> PyResult<Vec<ScopeId>> {
    scopes.iter().map(|scope| scope_id(scope)).collect()
}

/// The time that is `seconds` from now, in milliseconds since the epoch.
pub fn in_future(seconds: f64) -> i64 {
    #[allow(clippy::cast_possible_truncation)] // settings are checked
    let millis = (seconds * 1000.0) as i64;
    clock::now_ms() + millis
}

/// Reads a scope's id.
fn scope_id(scope: &[u8]) -> PyResult<ScopeId> {
    let id = scope.try_into().map_err(|_| PyValueError::new_err("a scope id has 16 bytes"))?;
    Ok(ScopeId(id))
}
