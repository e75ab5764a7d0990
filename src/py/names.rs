//! Python objects that Rust needs, each imported once and listed here.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};

/// Declares a function that imports `module.attr` on its first call.
macro_rules! imported {
    ($(#[$doc:meta])* $name:ident: $kind:ty = $module:literal, $attr:literal) => {
        $(#[$doc])*
        pub fn $name(py: Python<'_>) -> PyResult<&Bound<'_, $kind>> {
            static CELL: PyOnceLock<Py<$kind>> = PyOnceLock::new();
            CELL.import(py, $module, $attr)
        }
    };
}

imported!(/// Wrong or unsuitable argument.
    unkeyable_argument: PyType = "cache_result.exceptions", "UnkeyableArgument");
imported!(/// How a call resolved.
    cache_status: PyType = "cache_result.status", "CacheStatus");
imported!(/// Notes that the running code is part of a fill.
    enter_fill: PyAny = "cache_result.fills", "enter");
imported!(/// Notes that the fill is over.
    leave_fill: PyAny = "cache_result.fills", "leave");
imported!(/// Whether the running code is part of a fill of this key.
    is_inside: PyAny = "cache_result.fills", "is_inside");
imported!(/// Begins a renewal in a thread of this process.
    renew_in_thread: PyAny = "cache_result.driving", "renew_in_thread");
imported!(/// A method that takes many calls, with the instance as the first argument of each.
    of_instance: PyAny = "cache_result.many", "of_instance");
imported!(/// Whether an open transaction of the caller has written.
    is_dirty: PyAny = "cache_result.transaction", "is_dirty");
imported!(/// Since when the caller's transactions see nothing new, in milliseconds since the epoch, or None.
    snapshot_time: PyAny = "cache_result.transaction", "snapshot_time");
imported!(/// Whether an open transaction of the caller has changed one of these scopes.
    is_touched: PyAny = "cache_result.transaction", "is_touched");
imported!(/// Logs that something is too large to be stored.
    too_large: PyAny = "cache_result.reports", "too_large");
imported!(/// The tags that the function which is running now has added.
    added_tags: PyAny = "cache_result.fills", "added_tags");
imported!(/// Refuses a text that is no tag.
    check_tag: PyAny = "cache_result.tags", "check_tag");
imported!(pickle_dumps: PyAny = "pickle", "dumps");
imported!(pickle_loads: PyAny = "pickle", "loads");
imported!(/// What a timeout is that was not given.
    default_timeout: PyAny = "django.core.cache.backends.base", "DEFAULT_TIMEOUT");
imported!(modules: PyAny = "sys", "modules");
imported!(signature: PyAny = "inspect", "signature");
imported!(partial: PyAny = "functools", "partial");
imported!(datetime: PyType = "datetime", "datetime");
imported!(date: PyType = "datetime", "date");
imported!(time: PyType = "datetime", "time");
imported!(timedelta: PyType = "datetime", "timedelta");
imported!(timezone: PyType = "datetime", "timezone");
imported!(zone_info: PyType = "zoneinfo", "ZoneInfo");
imported!(decimal: PyType = "decimal", "Decimal");
imported!(/// What an object takes, in bytes.
    size_of: PyAny = "sys", "getsizeof");
imported!(/// A token for a class that cannot be imported.
    class_token: PyAny = "cache_result.keys.identity", "class_token");
imported!(member_descriptor: PyType = "types", "MemberDescriptorType");
imported!(dataclass_fields: PyAny = "dataclasses", "fields");
imported!(synchronous_only: PyType = "django.core.exceptions", "SynchronousOnlyOperation");
imported!(is_coroutine_function: PyAny = "asgiref.sync", "iscoroutinefunction");
imported!(http_request: PyType = "django.http", "HttpRequest");
imported!(view: PyType = "django.views", "View");
imported!(multi_value_dict: PyType = "django.utils.datastructures", "MultiValueDict");
imported!(queryset: PyType = "django.db.models", "QuerySet");
imported!(uuid: PyType = "uuid", "UUID");
imported!(enumeration: PyType = "enum", "Enum");
imported!(pure_path: PyType = "pathlib", "PurePath");
imported!(ordered_dict: PyType = "collections", "OrderedDict");
imported!(model: PyType = "django.db.models", "Model");
imported!(lazy_object: PyType = "django.utils.functional", "LazyObject");
imported!(lazy_empty: PyAny = "django.utils.functional", "empty");
imported!(promise: PyType = "django.utils.functional", "Promise");

/// UTC.
pub fn utc(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    timezone(py)?.getattr("utc")
}

/// The classes of paths, the concrete ones first.
pub fn paths(py: Python<'_>) -> PyResult<&[Py<PyType>; 4]> {
    static CELL: PyOnceLock<[Py<PyType>; 4]> = PyOnceLock::new();
    CELL.get_or_try_init(py, || {
        let pathlib = py.import("pathlib")?;
        let class = |name| -> PyResult<Py<PyType>> {
            Ok(pathlib.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        let (posix, windows) = (class("PosixPath")?, class("WindowsPath")?);
        Ok([posix, windows, class("PurePosixPath")?, class("PureWindowsPath")?])
    })
}

/// Whether `value` is an instance of `class`, which has no say in it.
pub fn is_kind(value: &Bound<'_, PyAny>, class: &Bound<'_, PyType>) -> bool {
    // SAFETY: both are live types, and the function only reads them.
    unsafe {
        let kind = pyo3::ffi::Py_TYPE(value.as_ptr());
        kind == class.as_type_ptr() || pyo3::ffi::PyType_IsSubtype(kind, class.as_type_ptr()) != 0
    }
}

/// An attribute, or none. Where it is found as `object` finds it, a `__getattr__` beside it costs nothing.
pub fn attribute<'py>(
    of: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    // SAFETY: both are live, and what comes back is a new reference or null with an exception set.
    let found = unsafe {
        let found = pyo3::ffi::PyObject_GenericGetAttr(of.as_ptr(), name.as_ptr());
        Bound::from_owned_ptr_or_err(of.py(), found)
    };
    found.map_or_else(|_| of.getattr_opt(name), |found| Ok(Some(found)))
}

/// Whether `value` is a request of Django or of Django REST framework, which wraps one.
pub fn is_request(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let request = http_request(value.py())?;
    if value.is_instance(request)? {
        return Ok(true);
    }
    let wrapped = value.getattr_opt("_request")?;
    wrapped.map_or(Ok(false), |wrapped| wrapped.is_instance(request))
}
