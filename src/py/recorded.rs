//! Tags that functions added while they ran: which, and whether those of an entry are current.

use super::names;
use super::outcome::Blob;
use super::plan::is_touched;
use super::process;
use super::replies::token_of;
use crate::call::valid_with;
use crate::entry;
use crate::index::{Generations, Recorded, ScopeId};
use crate::port::Snapshot;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

/// The scopes of the tags that the function which is running now has added.
pub fn added(py: Python<'_>) -> PyResult<Vec<ScopeId>> {
    let mut scopes = Vec::new();
    for text in names::added_tags(py)?.call0()?.try_iter()? {
        for scope in ScopeId::of_tag(&text?.cast::<PyString>()?.to_string_lossy()) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
    }
    Ok(scopes.iter().map(|scope| scope.in_world()).collect())
}

/// Whether an open transaction of the caller is going to invalidate one of these scopes.
pub fn are_touched(py: Python<'_>, mut scopes: impl Iterator<Item = ScopeId>) -> PyResult<bool> {
    let Some(first) = scopes.next().filter(|_| process::any_open_transaction()) else {
        return Ok(false);
    };
    is_touched(py, &std::iter::once(first).chain(scopes).collect::<Vec<_>>())
}

/// An entry of an in-process cache, unless a tag that was added has changed.
pub fn current_in(
    py: Python<'_>,
    index: &dyn Generations,
    entry: Option<Blob>,
) -> PyResult<Option<Blob>> {
    let Some(entry) = entry else { return Ok(None) };
    let recorded = entry::recorded(entry.as_ref());
    let current = recorded.iter().all(|Recorded { scope, token }| index.get(scope) == Some(*token));
    let touched = are_touched(py, recorded.iter().map(|recorded| recorded.scope))?;
    Ok((current && !touched).then_some(entry))
}

/// The keys of generations that have to be read before it is known whether the snapshot's entry is valid.
/// Without any the entry stays, or goes because it is not.
pub fn keys(
    py: Python<'_>,
    snapshot: &mut Snapshot<Blob>,
    plan: u64,
) -> PyResult<Option<Vec<String>>> {
    let Some(entry) = &snapshot.entry else { return Ok(None) };
    let recorded = entry::recorded(entry.as_ref());
    if recorded.is_empty() || valid_with(snapshot, plan).is_none() {
        return Ok(None);
    }
    if are_touched(py, recorded.iter().map(|recorded| recorded.scope))? {
        snapshot.entry = None;
        return Ok(None);
    }
    Ok(Some(recorded.iter().map(|recorded| recorded.scope.key()).collect()))
}

/// Drops the snapshot's entry unless these are the generations of what was added.
pub fn compare(snapshot: &mut Snapshot<Blob>, reply: &Bound<'_, PyAny>) {
    let Some(entry) = &snapshot.entry else { return };
    let recorded = entry::recorded(entry.as_ref());
    let current = match reply.cast::<PyList>() {
        Ok(list) => {
            list.len() == recorded.len()
                && list
                    .iter()
                    .zip(recorded)
                    .all(|(found, Recorded { token, .. })| token_of(&found) == Some(*token))
        }
        Err(_) => false, // the backend is down
    };
    if !current {
        snapshot.entry = None;
    }
}
