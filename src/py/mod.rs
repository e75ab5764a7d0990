//! The Python side: translates, and decides nothing.

use pyo3::prelude::*;

mod bind;
mod binding;
mod bound;
mod encode;
mod fields;
mod index;
mod judge;
mod loose;
mod names;
mod objects;
mod outcome;
mod plan;
mod process;
mod session;
mod steps;
mod thread;
mod ttl;
mod wrapper;

/// The module `cache_result._core`.
#[pymodule]
pub mod _core {
    #[pymodule_export]
    use super::bound::BoundWrapper;
    #[pymodule_export]
    use super::index::Index;
    #[pymodule_export]
    use super::outcome::CacheMissing;
    #[pymodule_export]
    use super::process::{
        after_fork, clock_advance, clock_reset, fresh_token, generation_key, reconfigured,
        set_open_transactions,
    };
    #[pymodule_export]
    use super::steps::Steps;
    #[pymodule_export]
    use super::ttl::check_ttl;
    #[pymodule_export]
    use super::wrapper::Wrapper;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("CACHE_MISSING", super::outcome::cache_missing(module.py())?)
    }
}
