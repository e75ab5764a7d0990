//! The Python side: translates, and decides nothing.

use pyo3::prelude::*;

mod absent;
mod asking;
mod at_hand;
mod batch;
mod bind;
mod binding;
mod bound;
mod compile;
mod copying;
mod counters;
mod encode;
mod encoders;
mod endings;
mod explain;
mod fields;
mod index;
mod judge;
mod key_method;
mod loose;
mod memory;
mod memory_view;
mod names;
mod objects;
mod outcome;
mod partition;
mod plan;
mod process;
mod recorded;
mod refusal;
mod renewal;
mod replies;
mod session;
mod sources;
mod standard;
mod steps;
mod straight;
mod tags;
mod template;
mod thread;
mod ttl;
mod weighing;
mod wrapper;
mod written;

/// The module `cache_result._core`. What it keeps of values, and how it walks through them, relies on the
/// interpreter's lock.
#[pymodule(gil_used = true)]
pub mod _core {
    #[pymodule_export]
    use super::absent::Absent;
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::bound::BoundWrapper;
    #[pymodule_export]
    use super::compile::field_payload;
    #[pymodule_export]
    use super::copying::PyKept;
    #[pymodule_export]
    use super::counters::reset_counters;
    #[pymodule_export]
    use super::encoders::register_key_encoder;
    #[pymodule_export]
    use super::explain::canonical_bytes;
    #[pymodule_export]
    use super::index::Index;
    #[pymodule_export]
    use super::memory::{Memory, MemoryStore};
    #[pymodule_export]
    use super::outcome::{CacheMissing, entry_origin};
    #[pymodule_export]
    use super::plan::origin_of;
    #[pymodule_export]
    use super::process::{
        after_fork, clock_advance, clock_now, clock_reset, closed_token, current_world,
        enter_world, fresh_token, generation_key, grace_key, next_grace, reconfigured, seed_random,
        set_open_transactions,
    };
    #[pymodule_export]
    use super::renewal::Renewal;
    #[pymodule_export]
    use super::steps::Steps;
    #[pymodule_export]
    use super::tags::{tag_scope, tags_scope};
    #[pymodule_export]
    use super::ttl::check_ttl;
    #[pymodule_export]
    use super::wrapper::Wrapper;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::key_method::add(&module.py().get_type::<super::wrapper::Wrapper>())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("ABSENT", super::absent::absent(module.py())?)?;
        module.add("CACHE_MISSING", super::outcome::cache_missing(module.py())?)
    }
}
