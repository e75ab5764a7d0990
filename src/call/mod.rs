//! The flow of one call: read, compare, fill once, store fenced.
//!
//! Everything is decided here, and nothing is done: see [`crate::port`].

mod claim;
mod fill;
mod recorded;
mod renew;
mod run;
mod target;
#[cfg(test)]
mod tests;
mod windows;

pub use renew::Renewal;
pub use run::{Call, First, Surroundings};
pub use target::{Target, valid_in, valid_with};
pub use windows::{Standing, Windows};

/// Among whom a fill is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: every caller of a cold key runs the function.
    Nobody,
    /// Threads and tasks of this process.
    Process,
    /// All processes that share the backend.
    Cluster,
}

/// What the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The value, from the cache if possible.
    Get,
    /// The cached value or nothing.
    Peek,
    /// A new value, stored over the old one.
    Refresh,
    /// The function, and no cache at all.
    Bypass,
    /// A new value in the background, stored over the old one, which is served meanwhile.
    Renew,
}

/// How a call resolved (`CacheStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// From the cache.
    Hit,
    /// Computed by this call or one that it waited for.
    Miss,
    /// From the cache, past its time.
    Stale,
    /// Computed without the cache.
    Bypass,
    /// Computed because a refresh was asked for.
    Refresh,
}

/// When an entry was stored and when it ends, in milliseconds since the epoch, and what it had cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the fill finished.
    pub cached_at: i64,
    /// When it stops being valid; `None` is never.
    pub expires_at: Option<i64>,
    /// How long the function ran, in microseconds.
    pub fill_us: u32,
}

/// What waiters of a flight are handed.
#[derive(Debug, Clone)]
pub enum Landing<V> {
    /// A value, and its times if it was stored.
    Value { value: V, times: Option<Times> },
    /// The function's exception, and whether a stale value spares it.
    Error { error: V, spares: bool },
}

/// How a call ended.
pub enum Outcome<E, V> {
    /// A valid entry: its bytes, its header, where the payload starts, and whether its time is over. `spared`
    /// is the exception for which it stands in, if this call's run has raised one.
    Found { entry: E, times: Times, payload: usize, status: Status, spared: Option<V> },
    /// A computed value. `shared` means that another caller computed it.
    Value { value: V, times: Option<Times>, status: Status, shared: bool },
    /// The function's exception. `shared` means that another caller got it from the function.
    Error { error: V, status: Status, shared: bool },
    /// Nothing is cached.
    Missing,
}
