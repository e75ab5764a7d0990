//! What our own store answers of a call's asks, without the storage.

use super::memory_view::{StoredCall, header};
use super::outcome::{Blob, Shared};
use super::recorded;
use super::replies::kept_here;
use super::session::{Replies, Session};
use crate::entry;
use crate::index::Generations;
use crate::port::{Answer, Ask};
use crate::store::TooLarge;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::atomic::Ordering;

impl Session {
    /// Answers what our own store can answer at once; anything else comes back.
    pub(super) fn at_hand(
        &mut self,
        py: Python<'_>,
        ask: Ask<Shared>,
    ) -> PyResult<Result<Replies, Ask<Shared>>> {
        if let Ask::Added = ask {
            let added = recorded::added(py)?;
            if !added.is_empty() {
                self.wrapper.get().tags.are_added.store(true, Ordering::Relaxed);
            }
            return Ok(Ok(Answer::Scopes(added)));
        }
        let Some(memory) = &self.binding.memory else { return Ok(Err(ask)) };
        let parts = &self.prepared.parts;
        Ok(Ok(match ask {
            Ask::Read { .. } => {
                let found = memory.kept_call(&self.prepared.canonical);
                let added = found.iter().filter_map(|entry| entry.fill.as_ref());
                let added = added.flat_map(|fill| fill.recorded.iter().copied());
                let touched = recorded::are_touched(py, added)?;
                let entry = found
                    .filter(|_| !touched)
                    .map(|entry| Blob::Held(header(&entry, self.binding.fingerprint), entry));
                Answer::Snapshot(Some(kept_here(entry)))
            }
            Ask::Arm { .. } => {
                self.epoch = memory.view.vault.table.epoch();
                Answer::Done(true)
            }
            Ask::Store { entry, .. } => {
                let (Some(kept), Some((header, _))) = (self.kept.take(), entry::open(&entry))
                else {
                    return Ok(Ok(Answer::Done(false)));
                };
                let call = StoredCall {
                    family: &memory.family,
                    canonical: &self.prepared.canonical,
                    text: &memory.view.text(PyString::new(py, &parts.text).as_any(), None)?,
                    scopes: &parts.scopes,
                    soft: parts.soft,
                    own: &self.own(),
                    epoch: self.epoch,
                    windows: &self.wrapper.get().judge.windows,
                };
                match memory.view.store_call(&call, kept, &header) {
                    Ok(stored) => Answer::Done(stored),
                    Err(TooLarge { bytes, most }) => {
                        self.wrapper.bind(py).call_method1("_too_large", (bytes, most))?;
                        Answer::Done(false)
                    }
                }
            }
            Ask::Forget => {
                memory.view.renew(&self.own());
                memory.forget(&self.prepared.canonical);
                Answer::Done(true)
            }
            other => return Ok(Err(other)),
        }))
    }
}
