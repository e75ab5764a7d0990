//! A call on its way to its key: canonical bytes first, digest, text and scopes only where they are needed.

use super::bind::Values;
use super::binding::Binding;
use super::encode::Encoder;
use super::partition::Run;
use super::plan::Parts;
use super::wrapper::Wrapper;
use crate::index::ScopeId;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// A call whose canonical bytes are written.
pub struct Written<'py> {
    /// The canonical bytes.
    pub encoder: Encoder,
    run: Run,
    values: Option<Values<'py>>,
}

impl From<Encoder> for Written<'_> {
    /// A call whose arguments needed no binding.
    fn from(encoder: Encoder) -> Self {
        Self { encoder, run: Run::default(), values: None }
    }
}

impl Wrapper {
    /// Writes the canonical bytes of a call. With `scoped` also what its scopes are made of.
    pub fn write<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        scoped: bool,
    ) -> PyResult<Written<'py>> {
        let mut encoder = Encoder::new();
        if self.straight_call(args, kwargs, &mut encoder)? {
            return Ok(encoder.into());
        }
        let py = args.py();
        let values = self.bind(args, kwargs, false)?;
        let heir = self.heir(py, &values)?;
        let mut run = Run { members: scoped.then(Vec::new), ..Run::default() };
        let caller = self.caller(py, &values, false);
        self.plan.write(&caller, heir.as_deref(), &mut encoder, &mut run)?;
        Ok(Written { encoder, run, values: Some(values) })
    }

    /// The scopes of a call that was written with them, without its own; and how many of them, at the end, are
    /// soft.
    pub fn scopes<'py>(
        &self,
        binding: &Binding,
        written: &Written<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Vec<ScopeId>, usize)> {
        let mut scopes = self.plan.scopes(&written.run);
        let mut soft = Vec::new();
        if binding.softens {
            soft.push(self.plan.function_scope().soft());
        }
        if binding.rules.is_empty() && !self.tags.need_values() {
            self.tags.extend(&mut scopes, &Values::new(), args, kwargs)?;
            scopes.extend(&soft);
            return Ok((scopes, soft.len()));
        }
        let bound;
        let values = if let Some(values) = &written.values {
            values
        } else {
            bound = self.bind(args, kwargs, false)?;
            &bound
        };
        for set in &binding.rules {
            let Some(scope) = self.plan.rule_scope(set, values)? else { continue };
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
            if set.soft && !soft.contains(&scope.soft()) {
                soft.push(scope.soft());
            }
        }
        self.tags.extend(&mut scopes, values, args, kwargs)?;
        scopes.extend(&soft);
        Ok((scopes, soft.len()))
    }

    /// Key and scopes of a call that was written with its scopes.
    pub fn parts_of<'py>(
        &self,
        binding: &Binding,
        written: &Written<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Parts> {
        let (scopes, soft) = self.scopes(binding, written, args, kwargs)?;
        let (key, text) = self.plan.key(&written.encoder, written.run.shown());
        Ok(Parts { key, text, scopes, soft })
    }

    /// Key and scopes of a call.
    pub fn parts<'py>(
        &self,
        binding: &Binding,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Parts> {
        self.parts_of(binding, &self.write(args, kwargs, true)?, args, kwargs)
    }

    /// The text of a call's key.
    pub fn key_text<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyString>> {
        let py = args.py();
        let mut encoder = Encoder::new();
        if self.straight_call(args, kwargs, &mut encoder)? {
            return Ok(self.plan.python_text(py, &encoder, None));
        }
        let written = self.write(args, kwargs, false)?;
        Ok(self.plan.python_text(py, &written.encoder, written.run.shown()))
    }
}
