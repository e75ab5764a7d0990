//! Values that an in-process cache keeps, and what a hit hands out of them. No later change of the
//! stored value, or of what a hit returned, shows in another hit.

use super::names;
use super::template::{Walk, pickled};
use super::weighing::allocated;
use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

/// A value kept for later callers, none of whom can spoil it.
///
/// It keeps exact instances of built-in and standard types alone, made or checked here, so no cycle
/// of references runs through it: whoever owns one has nothing to tell the garbage collector.
pub struct Kept {
    form: Form,
    weight: usize,
}

enum Form {
    /// Can never change: every hit gets this very object.
    Shared(Py<PyAny>),
    /// A dict to copy, which nobody else refers to, and what in it must be copied, too.
    Dict { template: Py<PyAny>, parts: Box<[Part]> },
    /// Other containers to copy, and how. What is in them can never change.
    Tree { template: Py<PyAny>, plan: Plan },
    /// All else, as its pickle.
    Pickled(Py<PyBytes>),
}

/// An item of the outermost dict that a hit must copy. To have it here spares each hit to look for it.
struct Part {
    key: Py<PyAny>,
    item: Py<PyAny>,
    plan: Plan,
}

/// What of a template a hit must copy.
#[derive(PartialEq)]
pub enum Plan {
    /// This container: all that is in it can be shared.
    Whole(Kind),
    /// This container and each of its items, all in the same way.
    Each(Kind, Box<Self>),
    /// This container and some of its items. Those of a dict are named by the positions from which
    /// `PyDict_Next` finds them.
    Some(Kind, Box<[(isize, Self)]>),
}

/// Which container. A tuple is rebuilt only where something in it must be copied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dict,
    List,
    Set,
    Tuple,
}

/// Takes a private copy of a value. Errors are those that pickling it raised.
pub fn keep(value: &Bound<'_, PyAny>) -> PyResult<Kept> {
    let mut walk = Walk::new(value.py());
    // Where the walk failed, pickling is to say what is wrong, if anything is.
    let (form, weight) = match walk.visit(value, 0) {
        Ok(None) => (Form::Shared(value.clone().unbind()), walk.weight()),
        Ok(Some((template, plan))) => {
            let form = Form::of(&template, plan)?;
            let weight = walk.weight() + form.weight();
            (form, weight)
        }
        Err(unfit) => {
            if let Some(error) = unfit.interruption(value.py()) {
                return Err(error);
            }
            let (blob, weight) = pickled(value)?;
            (Form::Pickled(blob.unbind()), weight)
        }
    };
    Ok(Kept { form, weight })
}

impl Kept {
    /// The value, for a caller who may do with it what he likes.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn give<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.form {
            Form::Shared(value) => Ok(value.bind(py).clone()),
            Form::Dict { template, parts } => dict_with(template.bind(py), parts),
            Form::Tree { template, plan } => plan.copy(template.bind(py)),
            Form::Pickled(blob) => names::pickle_loads(py)?.call1((blob,)),
        }
    }

    /// Bytes of memory that keeping it takes, besides those of the `Kept` itself.
    pub fn weight(&self) -> usize {
        self.weight
    }
}

impl Form {
    fn of(template: &Bound<'_, PyAny>, plan: Plan) -> PyResult<Self> {
        let parts = match plan {
            Plan::Whole(Kind::Dict) => Vec::new(),
            Plan::Some(Kind::Dict, parts) => parts.into_vec(),
            plan => return Ok(Self::Tree { template: template.clone().unbind(), plan }),
        };
        let dict = template.cast_exact::<PyDict>()?;
        let parts = parts.into_iter().map(|(mut at, plan)| {
            let (key, item) = next(dict, &mut at).ok_or_else(other_template)?;
            Ok(Part { key: key.unbind(), item: item.unbind(), plan })
        });
        let parts = parts.collect::<PyResult<_>>()?;
        Ok(Self::Dict { template: template.clone().unbind(), parts })
    }

    /// Bytes that it takes on the heap beside the template.
    fn weight(&self) -> usize {
        match self {
            Self::Dict { parts, .. } => {
                let own = allocated(size_of_val(&**parts));
                own + parts.iter().map(|part| part.plan.weight()).sum::<usize>()
            }
            Self::Tree { plan, .. } => plan.weight(),
            Self::Shared(_) | Self::Pickled(_) => 0,
        }
    }
}

impl Plan {
    /// A plan for a container of `len` items, of which `parts` must be copied.
    pub fn of(kind: Kind, len: usize, parts: Vec<(isize, Self)>) -> Self {
        let Some(((_, first), rest)) = parts.split_first() else { return Self::Whole(kind) };
        if parts.len() == len && rest.iter().all(|(_, plan)| plan == first) {
            let (_, first) = parts.into_iter().next().expect("there is a first one");
            return Self::Each(kind, Box::new(first));
        }
        Self::Some(kind, parts.into_boxed_slice())
    }

    /// A copy of what this plan was made for.
    fn copy<'py>(&self, template: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Whole(kind) => whole(*kind, template),
            Self::Each(Kind::Dict, plan) => {
                let template = template.cast_exact::<PyDict>()?;
                let copy = copy_dict(template)?;
                let mut at = 0;
                while let Some((key, item)) = next(template, &mut at) {
                    put(&copy, &key, &plan.copy(&item)?)?;
                }
                Ok(copy)
            }
            Self::Some(Kind::Dict, parts) => {
                let template = template.cast_exact::<PyDict>()?;
                let copy = copy_dict(template)?;
                for (at, plan) in parts {
                    let (key, item) = next(template, &mut at.clone()).ok_or_else(other_template)?;
                    put(&copy, &key, &plan.copy(&item)?)?;
                }
                Ok(copy)
            }
            Self::Each(Kind::List, plan) => {
                let template = template.cast_exact::<PyList>()?;
                let copy = template.get_slice(0, template.len());
                for at in 0..template.len() {
                    copy.set_item(at, plan.copy(&template.get_item(at)?)?)?;
                }
                Ok(copy.into_any())
            }
            Self::Some(Kind::List, parts) => {
                let template = template.cast_exact::<PyList>()?;
                let copy = template.get_slice(0, template.len());
                for (at, plan) in parts {
                    let at = at.cast_unsigned();
                    copy.set_item(at, plan.copy(&template.get_item(at)?)?)?;
                }
                Ok(copy.into_any())
            }
            Self::Each(_, plan) => {
                let template = template.cast_exact::<PyTuple>()?;
                let items = template.iter_borrowed().map(|item| plan.copy(&item));
                let items = items.collect::<PyResult<Vec<_>>>()?;
                Ok(PyTuple::new(template.py(), items)?.into_any())
            }
            Self::Some(_, parts) => {
                let template = template.cast_exact::<PyTuple>()?;
                let mut items: Vec<_> = template.iter().collect();
                for (at, plan) in parts {
                    let item = items.get_mut(at.cast_unsigned()).ok_or_else(other_template)?;
                    *item = plan.copy(item)?;
                }
                Ok(PyTuple::new(template.py(), items)?.into_any())
            }
        }
    }

    /// Bytes that it takes on the heap.
    fn weight(&self) -> usize {
        match self {
            Self::Whole(_) => 0,
            Self::Each(_, plan) => allocated(size_of::<Self>()) + plan.weight(),
            Self::Some(_, parts) => {
                let own = allocated(size_of_val(&**parts));
                own + parts.iter().map(|(_, plan)| plan.weight()).sum::<usize>()
            }
        }
    }
}

/// A copy of the outermost dict.
#[inline]
fn dict_with<'py>(template: &Bound<'py, PyAny>, parts: &[Part]) -> PyResult<Bound<'py, PyAny>> {
    let (py, copy) = (template.py(), copy_dict(template)?);
    for Part { key, item, plan } in parts {
        let item = match plan {
            Plan::Whole(Kind::List) => copy_list(item.bind(py))?,
            plan => plan.copy(item.bind(py))?,
        };
        put(&copy, key.bind(py), &item)?;
    }
    Ok(copy)
}

/// A copy of a container alone; its items are shared.
#[inline]
fn whole<'py>(kind: Kind, template: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match kind {
        Kind::Dict => copy_dict(template),
        Kind::List => copy_list(template),
        Kind::Set => copy_set(template),
        Kind::Tuple => Ok(template.clone()),
    }
}

// These ask the object itself for its type, and raise if it is another.

/// A copy of a dict.
#[inline]
fn copy_dict<'py>(dict: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: it takes any live object, and what comes back is a new reference or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(dict.py(), ffi::PyDict_Copy(dict.as_ptr())) }
}

/// A copy of a list.
#[inline]
fn copy_list<'py>(list: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as above; the end of a slice may be beyond that of the list.
    unsafe {
        let copy = ffi::PyList_GetSlice(list.as_ptr(), 0, isize::MAX);
        Bound::from_owned_ptr_or_err(list.py(), copy)
    }
}

/// Puts an item into a dict.
#[inline]
fn put(dict: &Bound<'_, PyAny>, key: &Bound<'_, PyAny>, item: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: all are live, and the dict takes references of its own.
    match unsafe { ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), item.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(dict.py())),
    }
}

/// A copy of a set.
pub fn copy_set<'py>(set: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: it takes any live object, and what comes back is a new reference or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(set.py(), ffi::PySet_New(set.as_ptr())) }
}

/// The item of a dict at a position, which moves on. None at the end.
pub fn next<'py>(
    dict: &Bound<'py, PyDict>,
    at: &mut isize,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (mut key, mut item) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the dict is live, and a position out of bounds finds nothing. Key and item are
    // borrowed from the dict, and nothing runs before they are held.
    unsafe {
        if ffi::PyDict_Next(dict.as_ptr(), at, &raw mut key, &raw mut item) == 0 {
            return None;
        }
        let py = dict.py();
        Some((Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, item)))
    }
}

/// Nobody can have changed a template, short of looking for it among the collector's objects.
fn other_template() -> PyErr {
    PyRuntimeError::new_err("cache_result: a cached value was changed in the cache")
}

/// A kept value, for tests.
#[pyclass(module = "cache_result._core", name = "Kept", frozen)]
pub struct PyKept(Kept);

#[pymethods]
impl PyKept {
    #[new]
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        keep(value).map(Self)
    }

    #[getter]
    fn kind(&self) -> &'static str {
        match self.0.form {
            Form::Shared(_) => "shared",
            Form::Dict { .. } | Form::Tree { .. } => "tree",
            Form::Pickled(_) => "pickled",
        }
    }

    #[getter]
    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn give<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.give(py)
    }
}
