//! Whether and how long a result is stored: predicate and ttl, and how long tokens live.

use super::ttl::{Ttl, read_ttl};
use crate::call::Windows;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyException;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Tokens of shared scopes live at least a week, so that few entries die with theirs.
const SHARED_TOKEN_SECONDS: i64 = 7 * 24 * 3600;
/// An entry's own token must outlive the function's run and then the entry.
const LONGEST_FILL_SECONDS: i64 = 3600;
/// Beyond this tokens have no end: Memcached counts to 2038 only.
const LONGEST_TOKEN_SECONDS: i64 = 365 * 24 * 3600;
/// Where only the result tells the ttl.
const UNKNOWN_TTL_SECONDS: i64 = 30 * 24 * 3600;

/// How long tokens made by this wrapper's fills live, in seconds; `None` is for ever.
#[derive(Clone, Copy)]
pub struct Lifetimes {
    /// Those of shared scopes.
    pub shared: Option<i64>,
    /// Those of single entries.
    pub own: Option<i64>,
}

/// A ttl as the decorator was given it.
pub enum Lifetime {
    /// The same for every result.
    Fixed(Ttl),
    /// What the callable says of the result.
    Called { callable: Py<PyAny>, with_call: bool },
}

/// `cache_if` or `cache_unless`.
pub struct Predicate {
    /// The function.
    pub callable: Py<PyAny>,
    /// Whether it says what is *not* stored.
    pub negate: bool,
    /// Whether it takes the call's arguments beside the result.
    pub with_call: bool,
}

/// Decides what becomes of a result.
pub struct Judge {
    /// The function's name, for reports.
    pub label: String,
    /// The ttl.
    pub lifetime: Lifetime,
    /// The predicate.
    pub predicate: Option<Predicate>,
    /// What happens around the end of an entry's freshness.
    pub windows: Windows,
    /// The classes of errors that a stale value spares.
    pub error_types: Py<PyTuple>,
}

impl Judge {
    /// Whether and how long the value is stored; `None`: not at all. Errors of user code are
    /// reported and mean "not"; `_verdict_failed` raises them in DEBUG.
    pub fn verdict<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Ttl>> {
        let judged = || -> PyResult<Option<Ttl>> {
            if let Some(said) = self.ask_predicate(py, value, args, kwargs)?
                && !self.accepts(&said)?
            {
                return Ok(None);
            }
            let ttl = self.ask_ttl(py, value, args, kwargs)?;
            ttl.map_or_else(|| Ok(self.fixed_ttl()), |ttl| read_ttl(&ttl).map(Some))
        };
        judged().or_else(|error| {
            if !error.is_instance_of::<PyException>(py) {
                return Err(error);
            }
            self.report_verdict(py, &error).map(|()| None)
        })
    }

    fn report_verdict(&self, py: Python<'_>, error: &PyErr) -> PyResult<()> {
        let report = py.import("cache_result.reports")?.getattr("verdict_failed")?;
        report.call1((&self.label, error.value(py)))?;
        Ok(())
    }

    /// What the predicate says of `value` (it may be awaitable); `None` without a predicate.
    pub fn ask_predicate<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(predicate) = &self.predicate else {
            return Ok(None);
        };
        ask(predicate.callable.bind(py), predicate.with_call, value, args, kwargs).map(Some)
    }

    /// Whether what the predicate said means "store".
    pub fn accepts(&self, said: &Bound<'_, PyAny>) -> PyResult<bool> {
        let negate = self.predicate.as_ref().is_some_and(|predicate| predicate.negate);
        Ok(said.is_truthy()? != negate)
    }

    /// What a callable ttl says of `value` (it may be awaitable); `None` for a fixed one.
    pub fn ask_ttl<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Lifetime::Called { callable, with_call } = &self.lifetime else {
            return Ok(None);
        };
        ask(callable.bind(py), *with_call, value, args, kwargs).map(Some)
    }

    /// The ttl that does not depend on the result.
    pub fn fixed_ttl(&self) -> Option<Ttl> {
        match self.lifetime {
            Lifetime::Fixed(ttl) => Some(ttl),
            Lifetime::Called { .. } => None,
        }
    }

    /// Whether a stale value spares an error of the function.
    pub fn spares(&self, error: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.windows.if_error > 0 && error.is_instance(self.error_types.bind(error.py()))?)
    }

    /// How long this wrapper's tokens live.
    pub fn lifetimes(&self) -> Lifetimes {
        let ttl = match self.lifetime {
            Lifetime::Fixed(Ttl::Forever) => {
                return Lifetimes { shared: None, own: None };
            }
            Lifetime::Fixed(Ttl::Millis(millis)) => millis / 1000 + 1,
            Lifetime::Fixed(Ttl::Nothing) => 0,
            Lifetime::Called { .. } => UNKNOWN_TTL_SECONDS,
        };
        let longest = ttl + self.windows.longest() / 1000;
        if longest > LONGEST_TOKEN_SECONDS {
            return Lifetimes { shared: None, own: None };
        }
        Lifetimes {
            shared: Some(SHARED_TOKEN_SECONDS.max(longest * 2)),
            own: Some(longest + LONGEST_FILL_SECONDS),
        }
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Lifetime::Called { callable, .. } = &self.lifetime {
            visit.call(callable)?;
        }
        visit.call(&self.error_types)?;
        if let Some(predicate) = &self.predicate {
            visit.call(&predicate.callable)?;
        }
        Ok(())
    }
}

fn ask<'py>(
    callable: &Bound<'py, PyAny>,
    with_call: bool,
    value: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    if !with_call {
        return callable.call1((value,));
    }
    let py = value.py();
    let mut all = vec![value.clone()];
    all.extend(args.iter());
    callable.call(PyTuple::new(py, all)?, kwargs)
}
