//! Python objects that Rust needs, each imported once and listed here.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

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
imported!(/// Whether an open transaction of the caller has written.
    is_dirty: PyAny = "cache_result.transaction", "is_dirty");
imported!(/// Whether an open transaction of the caller has changed one of these scopes.
    is_touched: PyAny = "cache_result.transaction", "is_touched");
imported!(pickle_dumps: PyAny = "pickle", "dumps");
imported!(pickle_loads: PyAny = "pickle", "loads");
imported!(modules: PyAny = "sys", "modules");
imported!(signature: PyAny = "inspect", "signature");
imported!(partial: PyAny = "functools", "partial");
imported!(datetime: PyType = "datetime", "datetime");
imported!(date: PyType = "datetime", "date");
imported!(time: PyType = "datetime", "time");
imported!(timedelta: PyType = "datetime", "timedelta");
imported!(timezone: PyType = "datetime", "timezone");
imported!(decimal: PyType = "decimal", "Decimal");
imported!(uuid: PyType = "uuid", "UUID");
imported!(enumeration: PyType = "enum", "Enum");
imported!(pure_path: PyType = "pathlib", "PurePath");
imported!(ordered_dict: PyType = "collections", "OrderedDict");
imported!(default_dict: PyType = "collections", "defaultdict");
imported!(model: PyType = "django.db.models", "Model");
imported!(lazy_object: PyType = "django.utils.functional", "LazyObject");
imported!(lazy_empty: PyAny = "django.utils.functional", "empty");
imported!(promise: PyType = "django.utils.functional", "Promise");

/// UTC.
pub fn utc(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    timezone(py)?.getattr("utc")
}
