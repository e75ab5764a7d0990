//! The canonical bytes of calls whose arguments need no binding, as most: the first half of a hit.

use super::encode::Encoder;
use super::fields::{QUERY_STRING, Source, write_query};
use super::refusal::Refusal;
use super::sources::query_of;
use super::wrapper::Wrapper;
use crate::key::Tag;
use pyo3::Borrowed;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;

impl Wrapper {
    /// [`Wrapper::straight`] of a call that came as tuple and dict.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn straight_call(
        &self,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        to: &mut Encoder,
    ) -> PyResult<bool> {
        match kwargs {
            None => self.straight(args.py(), args.iter_borrowed(), to),
            Some(kwargs) => {
                // A copy: encoding a value may run code that changes the dict.
                let keywords: SmallVec<[_; 8]> = kwargs.iter().collect();
                self.laid_out(args.py(), args.iter_borrowed(), &keywords, to)
            }
        }
    }

    /// Writes the canonical bytes of a call whose arguments need no binding; false: it is another, and
    /// nothing is written.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn straight<'a, 'py: 'a>(
        &'a self,
        py: Python<'py>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        to: &mut Encoder,
    ) -> PyResult<bool> {
        if args.len() == self.plan.positional {
            return self.write_all(args, to);
        }
        self.laid_out(py, args, &[], to)
    }

    /// The same for arguments that are put in their order first.
    #[inline(never)]
    fn laid_out<'a, 'py: 'a>(
        &'a self,
        py: Python<'py>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        keywords: &'a [(Bound<'py, PyAny>, Bound<'py, PyAny>)],
        to: &mut Encoder,
    ) -> PyResult<bool> {
        if !self.plan.straight {
            return Ok(false);
        }
        let Some(values) = self.signature.lay_out(py, args, keywords) else { return Ok(false) };
        let field = &self.plan.fields[0];
        if let Source::Query { request, params } = &field.source {
            let request = request.argument.map(|at| values[at]).filter(|given| !given.is_none());
            let Some(request) = request else { return Ok(false) };
            to.sort_lists = field.sort_lists;
            self.query(&request, params.as_deref(), to)?;
            return Ok(true);
        }
        self.write_all(values.into_iter(), to)
    }

    /// Writes values of all parameters, in their order.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    fn write_all<'a, 'py: 'a>(
        &self,
        values: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        to: &mut Encoder,
    ) -> PyResult<bool> {
        to.writer.open(Tag::Tuple, values.len());
        for (at, value) in values.enumerate() {
            if !to.common(&value) {
                self.write_argument(at, &value, to)?;
            }
        }
        Ok(true)
    }

    #[inline(never)]
    fn write_argument(
        &self,
        at: usize,
        value: &Bound<'_, PyAny>,
        to: &mut Encoder,
    ) -> PyResult<()> {
        to.sort_lists = self.plan.fields[0].sort_lists;
        to.value(value, 0).map_err(|refusal| self.blame(refusal, at, value.py()))
    }

    #[cold]
    fn blame(&self, refusal: Refusal, argument: usize, py: Python<'_>) -> PyErr {
        let name = self.signature.names().nth(argument).unwrap_or_default();
        refusal.blame(py, &format!("argument '{name}'"), &self.judge.label)
    }

    /// Writes the canonical bytes of a call of which the query string of this request is all that counts.
    fn query(
        &self,
        request: &Bound<'_, PyAny>,
        params: Option<&[Py<PyString>]>,
        to: &mut Encoder,
    ) -> PyResult<()> {
        let query = query_of(request)?;
        write_query(query.as_ref(), params, to)
            .map_err(|refusal| refusal.blame(request.py(), QUERY_STRING, &self.judge.label))
    }
}
