//! What a call asks for, as calls of the storage's methods.

use super::outcome::Shared;
use super::renewal::Job;
use super::replies::BARREN;
use super::session::{Expect, Session, Step};
use crate::index::{ScopeId, Token};
use crate::port::Ask;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::sync::Arc;

impl Session {
    /// The driver's next step, so that it can answer `ask`.
    pub(super) fn step<'py>(&mut self, py: Python<'py>, ask: Ask<Shared>) -> PyResult<Step<'py>> {
        let (method, args, expect) = match ask {
            Ask::Run { store, share } => {
                self.expect = Expect::Run;
                return Ok(Step::Run { store, share });
            }
            Ask::Wait { flight, timeout } => {
                self.expect = Expect::Wait;
                return Ok(Step::Wait { flight, timeout });
            }
            Ask::Renew { renewal } => {
                self.expect = Expect::Renew;
                let binding = Arc::clone(&self.binding);
                let wrapper = self.wrapper.clone_ref(py);
                let key = self.prepared.parts.key;
                return Ok(Step::Renew(Job { wrapper, binding, key, crew: self.crew, renewal }));
            }
            Ask::Pause { seconds } => {
                self.expect = Expect::Pause;
                return Ok(Step::Pause(seconds));
            }
            Ask::Read { .. } if self.binding.index.is_some() => {
                ("get", (self.entry(),).into_pyobject(py)?, Expect::Entry)
            }
            Ask::Read { lease } => {
                let mut keys = self.prepared.parts.keys();
                let expect = Expect::Many { lease: lease.is_some() };
                keys.extend(lease);
                ("read", (keys,).into_pyobject(py)?, expect)
            }
            Ask::Create { missing } => {
                let own = self.own();
                let scope = |at: usize| self.prepared.parts.scopes.get(at).unwrap_or(&own).key();
                let keys: Vec<String> = missing.into_iter().map(scope).collect();
                let tokens: Vec<u128> = keys.iter().map(|_| Token::fresh().number()).collect();
                let timeout = self.wrapper.get().judge.lifetimes().shared;
                ("create", (keys, tokens, timeout).into_pyobject(py)?, Expect::Created)
            }
            Ask::Ensure { scopes } => {
                let keys: Vec<String> = scopes.iter().map(ScopeId::key).collect();
                let tokens: Vec<u128> = keys.iter().map(|_| Token::fresh().number()).collect();
                let timeout = self.wrapper.get().judge.lifetimes().shared;
                ("create", (keys, tokens, timeout).into_pyobject(py)?, Expect::Created)
            }
            Ask::Added => unreachable!("it is at hand"),
            Ask::Claim { lease, own } => {
                let args = (&lease, own.number(), self.prepared.parts.keys()).into_pyobject(py)?;
                self.lease = Some((lease, own));
                ("claim", args, Expect::Claimed)
            }
            Ask::Arm { .. } if self.binding.index.is_some() => {
                ("enter", PyTuple::empty(py), Expect::Entered)
            }
            Ask::Arm { own } => {
                let timeout = self.wrapper.get().judge.lifetimes().own;
                (
                    "put",
                    (self.own().key(), own.number(), timeout).into_pyobject(py)?,
                    Expect::Success,
                )
            }
            Ask::Prolong { .. } => {
                let timeout = self.wrapper.get().judge.lifetimes().own;
                ("prolong", (self.own().key(), timeout).into_pyobject(py)?, Expect::Success)
            }
            Ask::Store { entry, timeout_ms } => {
                let entry = PyBytes::new(py, &entry);
                // Whole seconds, rounded up: the header decides to the millisecond.
                let timeout = timeout_ms.map(|millis| (millis + 999) / 1000);
                let args = match self.mark.take() {
                    None => (self.entry(), entry, timeout).into_pyobject(py)?,
                    Some(mark) => {
                        let own = PyBytes::new(py, &self.own().0);
                        let value = self.value.take();
                        (self.entry(), (entry, value), timeout, mark, own).into_pyobject(py)?
                    }
                };
                ("store", args, Expect::Success)
            }
            Ask::Forget => {
                let own = PyBytes::new(py, &self.own().0);
                ("forget", (self.entry(), own).into_pyobject(py)?, Expect::Success)
            }
            Ask::Release { lease, barren } => {
                self.lease = None;
                let mark = barren.then_some(BARREN);
                ("release", (lease, mark).into_pyobject(py)?, Expect::Success)
            }
        };
        self.expect = expect;
        Ok(Step::Io { method, args })
    }
}
