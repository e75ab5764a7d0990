//! When a fill that has failed is tried again: per key, later after each failure.

use crate::key::Digest;
use ahash::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;

/// After the first failure (ms). It doubles with each that follows.
const FIRST_MS: i64 = 1000;
/// The longest wait (ms).
const LONGEST_MS: i64 = 60_000;
/// After another process was seen to fill (ms).
const BUSY_MS: i64 = 250;
/// Of more keys nothing is remembered: they are tried again at once.
const MOST_KEYS: usize = 10_000;

/// What is known of a key whose last fill did not succeed.
#[derive(Debug, Clone, Copy)]
struct Backoff {
    failures: u32,
    until: i64,
    /// What it raised is one of the errors that a stale value spares.
    spares: bool,
}

/// The keys of one wrapper, in this process. Times are milliseconds since the epoch.
#[derive(Default)]
pub struct Backoffs {
    keys: Mutex<HashMap<Digest, Backoff, RandomState>>,
}

impl Backoffs {
    /// Whether it is too early for another fill in the background.
    pub fn is_waiting(&self, key: &Digest, now: i64) -> bool {
        self.waiting(key, now).is_some()
    }

    /// Whether it is too early for another fill, and a stale value may stand in for it.
    pub fn spares(&self, key: &Digest, now: i64) -> bool {
        self.waiting(key, now).is_some_and(|backoff| backoff.spares)
    }

    /// A fill has raised.
    pub fn failed(&self, key: Digest, now: i64, spares: bool) {
        self.note(key, now, |backoff| {
            let failures = backoff.failures;
            let wait = FIRST_MS.checked_shl(failures).filter(|_| failures < 16);
            let until = now.saturating_add(wait.unwrap_or(LONGEST_MS).min(LONGEST_MS));
            Backoff { failures: failures.saturating_add(1), until, spares }
        });
    }

    /// Another process fills.
    pub fn is_busy(&self, key: Digest, now: i64) {
        self.note(key, now, |backoff| Backoff { until: now + BUSY_MS, spares: false, ..backoff });
    }

    /// A fill has succeeded.
    pub fn succeeded(&self, key: &Digest) {
        self.keys.lock().remove(key);
    }

    fn waiting(&self, key: &Digest, now: i64) -> Option<Backoff> {
        let found = self.keys.lock().get(key).copied();
        // A clock that was put back must not make anybody wait for it.
        found.filter(|backoff| backoff.until > now && backoff.until <= now + LONGEST_MS)
    }

    fn note(&self, key: Digest, now: i64, change: impl FnOnce(Backoff) -> Backoff) {
        let mut keys = self.keys.lock();
        if keys.len() >= MOST_KEYS && !keys.contains_key(&key) {
            keys.retain(|_, backoff| backoff.until > now);
            if keys.len() >= MOST_KEYS {
                return;
            }
        }
        let known = keys.get(&key).copied();
        let before = known.unwrap_or(Backoff { failures: 0, until: now, spares: false });
        keys.insert(key, change(before));
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoffs, LONGEST_MS};
    use crate::key::Digest;

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_minute() {
        let backoffs = Backoffs::default();
        let key = Digest::of(&[0; 32], b"key");
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..40 {
            backoffs.failed(key, now, true);
            let wait = (0..).step_by(500).find(|wait| !backoffs.spares(&key, now + wait));
            waits.push(wait.unwrap());
            now += LONGEST_MS;
        }
        assert_eq!(waits[..7], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000]);
        assert!(waits[7..].iter().all(|&wait| wait == LONGEST_MS));
        backoffs.succeeded(&key);
        assert!(!backoffs.is_waiting(&key, now));
    }

    #[test]
    fn what_is_not_to_be_spared_only_holds_back_the_background() {
        let backoffs = Backoffs::default();
        let key = Digest::of(&[0; 32], b"key");
        backoffs.failed(key, 0, false);
        assert!(backoffs.is_waiting(&key, 500) && !backoffs.spares(&key, 500));
        assert!(!backoffs.is_waiting(&key, -LONGEST_MS - 1), "the clock was put back");
    }
}
