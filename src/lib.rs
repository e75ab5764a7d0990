//! The Rust core of `cache_result`. Only `py` knows Python; the rest is plain Rust.

pub mod backoff;
pub mod call;
pub mod clock;
pub mod entry;
pub mod flight;
pub mod index;
pub mod key;
pub mod port;
mod py;
pub mod random;
pub mod store;
pub mod world;

pub use py::_core;
