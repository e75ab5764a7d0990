//! What the storage replies, read.

use super::outcome::Blob;
use super::plan::Parts;
use crate::index::{Grace, Token};
use crate::port::{Lease, Snapshot};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

/// What the lease says when its holder stored nothing: no token is zero.
pub const BARREN: u128 = 0;

/// What the storage's `read` returned for the keys of a call, and of the lease.
pub fn snapshot(
    reply: &Bound<'_, PyAny>,
    parts: &Parts,
    with_lease: bool,
) -> PyResult<Option<Snapshot<Blob>>> {
    if reply.is_none() {
        return Ok(None);
    }
    let list = reply.cast::<PyList>()?;
    let lease = if with_lease { lease_of(&list.get_item(list.len() - 1)?) } else { Lease::Free };
    let found = read_snapshot(parts, |at| list.get_item(at))?;
    Ok(Some(Snapshot { lease, ..found }))
}

/// What is under the keys of a call, by their places.
pub fn read_snapshot<'py>(
    parts: &Parts,
    found: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Snapshot<Blob>> {
    let scopes = parts.scopes.len();
    let entry = Blob::read(&found(0)?);
    let tokens = (1..=scopes + 1).map(|at| Ok(token_of(&found(at)?)));
    let tokens = tokens.collect::<PyResult<_>>()?;
    let graces = (scopes + 2..scopes + 2 + parts.soft).map(|at| Ok(grace_of(&found(at)?)));
    let graces = graces.collect::<PyResult<_>>()?;
    Ok(Snapshot { entry, tokens, graces, lease: Lease::Free })
}

/// An entry of a cache whose generations are in this process.
pub fn kept_here(entry: Option<Blob>) -> Snapshot<Blob> {
    Snapshot { entry, tokens: Vec::new(), graces: Vec::new(), lease: Lease::Free }
}

/// The grace that the storage has returned, if it is one.
pub fn grace_of(value: &Bound<'_, PyAny>) -> Option<Grace> {
    token_of(value).map(|found| Grace::from_number(found.number()))
}

/// The token that the storage has returned, if it is one.
pub fn token_of(value: &Bound<'_, PyAny>) -> Option<Token> {
    let number: u128 = value.cast_exact::<PyInt>().ok()?.extract().ok()?;
    (number != BARREN).then(|| Token::from_number(number))
}

fn lease_of(value: &Bound<'_, PyAny>) -> Lease {
    match token_of(value) {
        Some(holder) => Lease::Held(holder),
        None if value.is_none() => Lease::Free,
        None => Lease::Barren,
    }
}
