//! The partition of a call: text for people, and the named values that make its scopes.

use super::fields::Field;
use super::loose::loose;
use crate::key::{Tag, fingerprint_text, push_readable};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// A named value of a scope: the parameter's (or field's) name, and its loose or typed bytes.
pub type Member = (String, Vec<u8>);

/// The partition fields of a call so far.
#[derive(Default)]
pub struct Run {
    /// For people.
    pub text: String,
    /// For scopes, where they are wanted.
    pub members: Option<Vec<Member>>,
    /// How many members each leading run of partition fields has.
    pub leads: Vec<usize>,
}

/// The bytes of a loose value.
pub fn text_member(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.push(b't');
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn typed_member(canonical: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'v'];
    bytes.extend_from_slice(blake3::hash(canonical).as_bytes());
    bytes
}

impl Run {
    /// The text of a key's partition, if there is one.
    pub fn shown(&self) -> Option<&str> {
        Some(self.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Begins another value.
    pub fn separate(&mut self, by: char) {
        if !self.text.is_empty() && !self.text.ends_with([':', ',']) {
            self.text.push(by);
        }
    }

    /// Adds a value: `loose` text, if it has one, and its canonical bytes.
    pub fn add(&mut self, field: &Field, name: &str, loose: Option<&str>, written: &[u8]) {
        const LONGEST: usize = 40;
        match loose {
            Some(text) if !field.hash_value => push_readable(&mut self.text, text, LONGEST),
            _ if written == [Tag::Absent as u8] => self.text.push('-'),
            _ => self.text.push_str(&fingerprint_text(written)),
        }
        if let Some(members) = &mut self.members {
            let value = loose.map_or_else(|| typed_member(written), text_member);
            members.push((name.to_owned(), value));
        }
    }

    /// Adds a value that no rule could name.
    pub fn add_typed(&mut self, field: &Field, text: Option<&str>, written: &[u8]) {
        let members = self.members.take();
        self.add(field, "", text, written);
        self.members = members;
        if let Some(members) = &mut self.members {
            members.push((field.scope(), typed_member(written)));
        }
    }

    /// Adds query parameters: `page=2,tag=a+b`.
    pub fn add_query(
        &mut self,
        field: &Field,
        query: Option<&Bound<'_, PyDict>>,
        params: Option<&[Py<PyString>]>,
        written: &[u8],
    ) -> PyResult<()> {
        let mut texts = Vec::new();
        for (name, list) in query.iter().flat_map(|query| query.iter()) {
            let wanted = |params: &[Py<PyString>]| {
                params.iter().any(|param| name.eq(param).unwrap_or(false))
            };
            if params.is_none_or(wanted) {
                let values =
                    list.try_iter()?.map(|value| Ok(value?.str()?.to_string_lossy().into_owned()));
                let mut values = values.collect::<PyResult<Vec<String>>>()?;
                if field.sort_lists {
                    values.sort_unstable();
                }
                texts.push(format!("{}={}", name.str()?.to_string_lossy(), values.join("+")));
            }
        }
        texts.sort_unstable();
        let text = Some(texts.join(",")).filter(|text| !text.is_empty());
        self.add_typed(field, text.as_deref(), written);
        Ok(())
    }

    /// Adds the payload of a field of the user's own: its scope is loose where its values are simple,
    /// typed elsewhere, and `{"country": "JP"}` reads `JP`.
    pub fn add_payload(
        &mut self,
        field: &Field,
        payload: &Bound<'_, PyAny>,
        written: &[u8],
    ) -> PyResult<()> {
        let Ok(dict) = payload.cast_exact::<PyDict>() else {
            let text = loose(payload)?;
            self.add_typed(field, text.as_deref(), written);
            return Ok(());
        };
        let mut simple = Vec::with_capacity(dict.len());
        for (name, value) in dict.iter() {
            let (Ok(name), Some(text)) = (name.extract::<String>(), loose(&value)?) else {
                simple.clear();
                break;
            };
            simple.push((format!("{}\0{name}", field.scope()), text));
        }
        if simple.is_empty() {
            self.add_typed(field, None, written);
        }
        simple.sort_unstable();
        for (name, text) in &simple {
            self.separate(',');
            self.add(field, name, Some(text), text.as_bytes());
        }
        Ok(())
    }
}
