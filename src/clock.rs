//! Wall-clock time in milliseconds, with an offset that tests move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// By how much the clocks of two hosts may differ (ms).
pub const SKEW_MS: i64 = 2000;

static OFFSET_MS: AtomicI64 = AtomicI64::new(0);

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
    millis.saturating_add(OFFSET_MS.load(Ordering::Relaxed))
}

/// Milliseconds since the Unix epoch, a few of them late, for a quarter of what [`now_ms`] costs where
/// the system keeps such a clock.
#[must_use]
#[inline]
pub fn coarse_ms() -> i64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let millis = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
        millis.saturating_add(OFFSET_MS.load(Ordering::Relaxed))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    now_ms()
}

/// Moves the clock by `millis` (tests only; entry expiry and timestamps follow it).
pub fn advance(millis: i64) {
    OFFSET_MS.fetch_add(millis, Ordering::Relaxed);
}

/// Puts the clock back to real time.
pub fn reset() {
    OFFSET_MS.store(0, Ordering::Relaxed);
}
