//! What the storage replies, read.

use super::outcome::Blob;
use crate::index::Token;
use crate::port::{Lease, Snapshot};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

/// What the lease says when its holder stored nothing: no token is zero.
pub const BARREN: u128 = 0;

/// What the storage's `read` returned for the keys of a call with so many shared scopes.
pub fn snapshot(
    reply: &Bound<'_, PyAny>,
    scopes: usize,
    with_lease: bool,
) -> PyResult<Option<Snapshot<Blob>>> {
    if reply.is_none() {
        return Ok(None);
    }
    let list = reply.cast::<PyList>()?;
    let entry = Blob::read(&list.get_item(0)?);
    let tokens = (1..=scopes + 1).map(|at| Ok(token_of(&list.get_item(at)?)));
    let tokens = tokens.collect::<PyResult<Vec<_>>>()?;
    let lease = if with_lease { lease_of(&list.get_item(scopes + 2)?) } else { Lease::Free };
    Ok(Some(Snapshot { entry, tokens, lease }))
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
