//! Classifies values that are to be kept, and copies those that can be copied structurally.

use super::copying::{Kind, Plan, copy_set, next};
use super::names;
use super::weighing;
use ahash::AHashSet;
use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBytes, PyComplex, PyDict, PyEllipsis, PyFrozenSet, PyInt, PyList, PyNotImplemented, PyRange,
    PySet, PyString, PyTuple,
};

/// How many containers may be nested in each other.
const MAX_DEPTH: usize = 64;
/// How many values there may be, counted as often as they are met: tuples that hold the same tuples
/// over and over are few objects and many values.
const MAX_NODES: usize = 1_000_000;

/// The value cannot be copied structurally.
pub enum Unfit {
    /// As what it is.
    Shape,
    /// As looking at it raised.
    Raised(PyErr),
}

impl From<PyErr> for Unfit {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Unfit {
    /// What is no matter of the value, as Ctrl-C is, and must not get lost.
    pub fn interruption(self, py: Python<'_>) -> Option<PyErr> {
        match self {
            Self::Raised(error)
                if !error.is_instance_of::<PyException>(py)
                    || error.is_instance_of::<PyMemoryError>(py) =>
            {
                Some(error)
            }
            _ => None,
        }
    }
}

/// None: it can never change. Else a private copy, and how to copy that.
type Visited<'py> = Option<(Bound<'py, PyAny>, Plan)>;

/// One walk over one value.
///
/// Types are exact, so none of the value's own code runs. Yet an allocation may run the garbage
/// collector and it finalizers, and the hash of a UUID is Python code, under which other threads
/// run: any container may change at any such point. So each is copied first, as one step, and the
/// copy is walked. `PyDict_Copy` and a slice of a list are no such steps: they allocate what the
/// collector may run for after they have looked at the original, and crash if that is shorter then.
/// Filling one that is there already allocates plain memory alone.
pub struct Walk<'py> {
    py: Python<'py>,
    nodes: usize,
    weight: usize,
    /// Addresses of the containers met: one that is met again is shared, or in itself.
    seen: AHashSet<usize>,
    /// The last time zone found immutable, which most others are, too.
    zone: Option<Bound<'py, PyAny>>,
}

impl<'py> Walk<'py> {
    /// A walk that has not begun.
    pub fn new(py: Python<'py>) -> Self {
        Self { py, nodes: 0, weight: 0, seen: AHashSet::default(), zone: None }
    }

    /// Bytes of all values met.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Copies a value that is in `depth` containers.
    pub fn visit(
        &mut self,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Result<Visited<'py>, Unfit> {
        self.count(1)?;
        if let Some(weight) = weighing::leaf(value) {
            self.weight += weight;
            return Ok(None);
        }
        if depth == MAX_DEPTH {
            return Err(Unfit::Shape);
        }
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            return self.dict(dict, depth).map(Some);
        }
        if let Ok(list) = value.cast_exact::<PyList>() {
            return self.list(list, depth).map(Some);
        }
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            return self.tuple(tuple, depth);
        }
        if value.is_exact_instance_of::<PySet>() {
            self.meet(value)?;
            let copy = copy_set(value)?;
            self.members(&copy, depth)?;
            return Ok(Some((hide(copy), Plan::Whole(Kind::Set))));
        }
        if value.is_exact_instance_of::<PyFrozenSet>() {
            self.members(value, depth)?;
        } else if self.is_immutable(value)? {
            self.weight += weighing::object(value)?;
        } else {
            return Err(Unfit::Shape);
        }
        Ok(None)
    }

    /// Notes that `more` values are met.
    fn count(&mut self, more: usize) -> Result<(), Unfit> {
        self.nodes += more;
        if self.nodes > MAX_NODES { Err(Unfit::Shape) } else { Ok(()) }
    }

    /// Notes that this container is met, which must be for the first time.
    fn meet(&mut self, container: &Bound<'py, PyAny>) -> Result<(), Unfit> {
        if self.seen.insert(container.as_ptr().addr()) { Ok(()) } else { Err(Unfit::Shape) }
    }

    fn dict(
        &mut self,
        dict: &Bound<'py, PyDict>,
        depth: usize,
    ) -> Result<(Bound<'py, PyAny>, Plan), Unfit> {
        self.meet(dict)?;
        let copy = PyDict::new(self.py);
        copy.update(dict.as_mapping())?;
        self.weight += weighing::object(&copy)?;
        let mut parts = Vec::new();
        let (mut from, mut at) = (0, 0);
        while let Some((key, item)) = next(&copy, &mut at) {
            if self.visit(&key, depth + 1)?.is_some() {
                return Err(Unfit::Shape);
            }
            if let Some((item, plan)) = self.visit(&item, depth + 1)? {
                copy.set_item(key, item)?; // in its place: no other item moves
                parts.push((from, plan));
            }
            from = at;
        }
        let plan = Plan::of(Kind::Dict, copy.len(), parts);
        Ok((hide(copy.into_any()), plan))
    }

    fn list(
        &mut self,
        list: &Bound<'py, PyList>,
        depth: usize,
    ) -> Result<(Bound<'py, PyAny>, Plan), Unfit> {
        self.meet(list)?;
        let copy = PyList::empty(self.py);
        copy.set_slice(0, 0, list)?;
        self.weight += weighing::list(copy.len());
        let mut parts = Vec::new();
        for at in 0..copy.len() {
            if let Some((item, plan)) = self.visit(&copy.get_item(at)?, depth + 1)? {
                copy.set_item(at, item)?;
                parts.push((at.cast_signed(), plan));
            }
        }
        let plan = Plan::of(Kind::List, copy.len(), parts);
        Ok((hide(copy.into_any()), plan))
    }

    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>, depth: usize) -> Result<Visited<'py>, Unfit> {
        self.weight += weighing::tuple(tuple.len());
        let (mut items, mut parts) = (Vec::new(), Vec::new());
        for (at, item) in tuple.iter_borrowed().enumerate() {
            if let Some((item, plan)) = self.visit(&item, depth + 1)? {
                if items.is_empty() {
                    items.extend(tuple.iter());
                }
                items[at] = item;
                parts.push((at.cast_signed(), plan));
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let plan = Plan::of(Kind::Tuple, items.len(), parts);
        Ok(Some((hide(PyTuple::new(self.py, items)?.into_any()), plan)))
    }

    /// What is in a set that nobody can change.
    fn members(&mut self, set: &Bound<'py, PyAny>, depth: usize) -> Result<(), Unfit> {
        self.weight += weighing::object(set)?;
        for item in set.try_iter()? {
            if self.visit(&item?, depth + 1)?.is_some() {
                return Err(Unfit::Shape);
            }
        }
        Ok(())
    }

    /// Whether this is of one of the standard library's immutable classes, down to its parts.
    fn is_immutable(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let py = self.py;
        let class = value.get_type();
        if class.is(names::datetime(py)?) || class.is(names::time(py)?) {
            let zone = value.getattr(intern!(py, "tzinfo"))?;
            return Ok(zone.is_none() || self.is_zone(&zone)?);
        }
        if class.is(names::uuid(py)?) {
            // It takes an int of any class for its number.
            let number = value.getattr(intern!(py, "int"))?;
            self.weight += weighing::leaf(&number).unwrap_or(0);
            return Ok(number.is_exact_instance_of::<PyInt>());
        }
        Ok(class.is(names::date(py)?)
            || class.is(names::decimal(py)?)
            || class.is(names::timedelta(py)?)
            || value.is_exact_instance_of::<PyRange>()
            || value.is_exact_instance_of::<PyComplex>()
            || value.is_exact_instance_of::<PyEllipsis>()
            || value.is_exact_instance_of::<PyNotImplemented>()
            || self.is_zone(value)?)
    }

    /// Whether this is a time zone that pickles as itself: an offset, or one out of the database.
    fn is_zone(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let py = self.py;
        if self.zone.as_ref().is_some_and(|zone| zone.is(value)) {
            return Ok(true);
        }
        let class = value.get_type();
        let is_zone = if class.is(names::timezone(py)?) {
            // Offset and name are kept as they were given, and may be of any subclass.
            let parts = value.call_method0(intern!(py, "__getinitargs__"))?;
            let mut parts = parts.cast_exact::<PyTuple>()?.iter();
            let timedelta = names::timedelta(py)?;
            parts.next().is_some_and(|offset| offset.get_type().is(timedelta))
                && parts.all(|name| name.is_exact_instance_of::<PyString>())
        } else if class.is(names::zone_info(py)?) {
            // (how to make it, (key, whether it is the one that everybody gets)); one that was made
            // from a file raises.
            let reduced = value.call_method0(intern!(py, "__reduce__"))?.get_item(1)?;
            reduced.get_item(0)?.is_exact_instance_of::<PyString>()
                && reduced.get_item(1)?.is_truthy()?
        } else {
            false
        };
        if is_zone {
            self.zone = Some(value.clone());
        }
        Ok(is_zone)
    }
}

/// Takes a template from the garbage collector's lists, so that a full cache costs it nothing. No cycle
/// can run through a template, and what refers to it is not the collector's either.
fn hide(template: Bound<'_, PyAny>) -> Bound<'_, PyAny> {
    if template.is_exact_instance_of::<PyDict>() && !dicts_can_hide(template.py()) {
        return template;
    }
    untrack(&template);
    template
}

fn untrack(container: &Bound<'_, PyAny>) {
    // SAFETY: it is a live container of a type that the collector knows; one that is not tracked
    // stays so.
    unsafe { ffi::PyObject_GC_UnTrack(container.as_ptr().cast()) };
}

/// Whether a copy of a dict that is not tracked is tracked when it must be. A new list, set or tuple
/// always is. A dict is so from the start since Python 3.14; before, as soon as something is put in
/// that may lead back to it. This asks the Python that runs.
fn dicts_can_hide(py: Python<'_>) -> bool {
    static CELL: PyOnceLock<bool> = PyOnceLock::new();
    let ask = || -> PyResult<bool> {
        let (template, list) = (PyDict::new(py), PyList::empty(py));
        template.set_item(0, ())?;
        untrack(&template);
        let copy = template.copy()?;
        copy.set_item(0, list)?;
        // SAFETY: it is live.
        Ok(unsafe { ffi::PyObject_GC_IsTracked(copy.as_ptr()) != 0 })
    };
    *CELL.get_or_init(py, || ask().unwrap_or(false))
}

/// A pickle, and what it weighs.
pub fn pickled<'py>(value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyBytes>, usize)> {
    let blob = names::pickle_dumps(value.py())?.call1((value, 5))?;
    let blob = blob.cast_into_exact::<PyBytes>()?;
    let weight = weighing::bytes(blob.as_bytes().len());
    Ok((blob, weight))
}
