//! Binds a call's arguments to the function's parameters, by a table compiled once.

use super::names;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{Borrowed, PyTraverseError};
use smallvec::SmallVec;

/// `inspect.Parameter.kind`, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Kind {
    PositionalOnly,
    PositionalOrKeyword,
    VarPositional,
    KeywordOnly,
    VarKeyword,
}

struct Parameter {
    name: Py<PyString>,
    text: String,
    kind: Kind,
    default: Option<Py<PyAny>>,
}

/// A function's parameters.
pub struct Signature {
    parameters: Vec<Parameter>,
    /// How many take positional arguments one by one.
    positional: usize,
    var_positional: Option<usize>,
    var_keyword: Option<usize>,
}

/// A value for each parameter; `None` where a partial binding has none.
pub type Values<'py> = SmallVec<[Option<Bound<'py, PyAny>>; 8]>;

/// A value for each parameter of a call.
pub type Laid<'a, 'py> = SmallVec<[Borrowed<'a, 'py, PyAny>; 8]>;

/// The arguments do not fit; the message comes from `inspect`.
pub struct Mismatch;

impl Signature {
    /// Compiles `(name, kind, default, has_default)` of each parameter.
    pub fn new(parameters: Vec<(Py<PyString>, u8, Py<PyAny>, bool)>, py: Python<'_>) -> Self {
        let parameters: Vec<Parameter> = parameters
            .into_iter()
            .map(|(name, kind, default, has_default)| Parameter {
                text: name.bind(py).to_string(),
                name,
                kind: match kind {
                    0 => Kind::PositionalOnly,
                    1 => Kind::PositionalOrKeyword,
                    2 => Kind::VarPositional,
                    3 => Kind::KeywordOnly,
                    _ => Kind::VarKeyword,
                },
                default: has_default.then_some(default),
            })
            .collect();
        let find = |kind| parameters.iter().position(|p| p.kind == kind);
        Self {
            positional: parameters.iter().filter(|p| p.kind <= Kind::PositionalOrKeyword).count(),
            var_positional: find(Kind::VarPositional),
            var_keyword: find(Kind::VarKeyword),
            parameters,
        }
    }

    /// The parameters' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.parameters.iter().map(|p| p.text.as_str())
    }

    /// Whether every parameter takes a positional argument.
    pub fn is_positional(&self) -> bool {
        self.positional == self.parameters.len()
    }

    /// How many parameters there are, if none of them takes all other arguments.
    pub fn plain(&self) -> Option<usize> {
        let plain = self.var_positional.is_none() && self.var_keyword.is_none();
        plain.then_some(self.parameters.len())
    }

    /// Binds a call whose keywords come in the order of the parameters, for a signature that is
    /// [`Signature::plain`]. `None` for any other call.
    pub fn lay_out<'a, 'py>(
        &'a self,
        py: Python<'py>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
        keywords: &'a [(Bound<'py, PyAny>, Bound<'py, PyAny>)],
    ) -> Option<Laid<'a, 'py>> {
        let given = args.len();
        if given > self.positional {
            return None;
        }
        let mut values = Laid::new();
        for argument in args {
            values.push(argument);
        }
        let mut keywords = keywords.iter().peekable();
        for parameter in &self.parameters[given..] {
            let named = keywords.next_if(|(name, _)| {
                parameter.kind != Kind::PositionalOnly && name.as_ptr() == parameter.name.as_ptr()
            });
            values.push(match (named, &parameter.default) {
                (Some((_, value)), _) => value.as_borrowed(),
                (None, Some(default)) => default.bind_borrowed(py),
                (None, None) => return None,
            });
        }
        keywords.next().is_none().then_some(values)
    }

    /// Binds like a call would. `partial` leaves out what is not given, defaults included.
    pub fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        partial: bool,
    ) -> Result<Values<'py>, Mismatch> {
        let py = args.py();
        let mut values = Values::new();
        values.resize_with(self.parameters.len(), || None);
        let given = args.len();
        for (value, argument) in values.iter_mut().zip(args.iter()).take(self.positional) {
            *value = Some(argument);
        }
        match self.var_positional {
            Some(at) if given > self.positional || !partial => {
                let rest = args.get_slice(self.positional.min(given), given);
                values[at] = Some(rest.into_any());
            }
            None if given > self.positional => return Err(Mismatch),
            _ => {}
        }
        let mut rest = None;
        if let Some(kwargs) = kwargs {
            for (name, value) in kwargs.iter() {
                let name = name.cast_into::<PyString>().map_err(|_| Mismatch)?;
                if let Some(at) = self.keyword(&name) {
                    if values[at].replace(value).is_some() {
                        return Err(Mismatch);
                    }
                } else if self.var_keyword.is_some() {
                    let rest = rest.get_or_insert_with(|| PyDict::new(py));
                    rest.set_item(name, value).map_err(|_| Mismatch)?;
                } else {
                    return Err(Mismatch);
                }
            }
        }
        if let Some(at) = self.var_keyword
            && (rest.is_some() || !partial)
        {
            values[at] = Some(rest.unwrap_or_else(|| PyDict::new(py)).into_any());
        }
        if !partial {
            for (value, parameter) in values.iter_mut().zip(&self.parameters) {
                if value.is_none() {
                    let default = parameter.default.as_ref().ok_or(Mismatch)?;
                    *value = Some(default.bind(py).clone());
                }
            }
        }
        Ok(values)
    }

    fn keyword(&self, name: &Bound<'_, PyString>) -> Option<usize> {
        let takes = |p: &Parameter| matches!(p.kind, Kind::PositionalOrKeyword | Kind::KeywordOnly);
        // Names in source code are interned, so identity nearly always decides.
        let same = |p: &&Parameter| p.name.as_ptr() == name.as_ptr();
        if let Some(at) = self.parameters.iter().position(|p| same(&p)) {
            return takes(&self.parameters[at]).then_some(at);
        }
        let text = name.to_str().ok()?;
        self.parameters.iter().position(|p| p.text == text && takes(p))
    }

    /// The call spelled out again from bound values: positional arguments, then keywords.
    pub fn spell<'py>(
        &self,
        py: Python<'py>,
        values: &Values<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let mut args = Vec::new();
        let kwargs = PyDict::new(py);
        let mut gap = false;
        for (value, parameter) in values.iter().zip(&self.parameters) {
            let Some(value) = value else {
                gap = true;
                continue;
            };
            match parameter.kind {
                Kind::PositionalOnly => args.push(value.clone()),
                Kind::PositionalOrKeyword if !gap => args.push(value.clone()),
                Kind::VarPositional => {
                    for item in value.cast::<PyTuple>()?.iter() {
                        args.push(item);
                    }
                }
                Kind::VarKeyword => kwargs.update(value.cast::<PyDict>()?.as_mapping())?,
                _ => kwargs.set_item(&parameter.name, value)?,
            }
        }
        Ok((PyTuple::new(py, args)?, kwargs))
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for parameter in &self.parameters {
            if let Some(default) = &parameter.default {
                visit.call(default)?;
            }
        }
        Ok(())
    }
}

/// The `TypeError` that Python gives for a call that does not fit.
pub fn explain(
    function: &Bound<'_, PyAny>,
    label: &str,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    partial: bool,
) -> PyErr {
    let py = args.py();
    let method = if partial { "bind_partial" } else { "bind" };
    let tried = names::signature(py)
        .and_then(|signature| signature.call1((function,)))
        .and_then(|signature| signature.call_method(method, args, kwargs));
    match tried {
        Err(error) if error.is_instance_of::<PyTypeError>(py) => {
            PyTypeError::new_err(format!("{label}() {}", error.value(py)))
        }
        Err(error) => error,
        Ok(_) => PyTypeError::new_err(format!("{label}(): the arguments do not fit")),
    }
}
