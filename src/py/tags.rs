//! The tags of a call that are known before it runs.

use super::bind::Values;
use super::names;
use super::plan::Plan;
use crate::index::ScopeId;
use pyo3::PyTraverseError;
use pyo3::exceptions::PyValueError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple};
use std::sync::atomic::AtomicBool;

/// A text, up to so many bytes, needs no further look.
const SHORT: usize = 1000;

/// Text, and what follows it: an argument, whether it is the argument itself, and what makes its text.
type PartSpec = (String, Option<(String, bool, Py<PyAny>)>);
/// Templates, with their texts; what says further tags of `(args, kwargs)`; whether the function seems to add
/// some while it runs.
pub type TagsSpec = (Vec<(String, Vec<PartSpec>)>, Option<Py<PyAny>>, bool);

struct Field {
    at: usize,
    whole: bool,
    text: Py<PyAny>,
}

/// Tags as a decorator was given them.
pub struct Tags {
    templates: Vec<Vec<(String, Option<Field>)>>,
    /// Tags that are the same for each call, and their scopes.
    fixed: (Vec<String>, Vec<ScopeId>),
    callable: Option<Py<PyAny>>,
    /// What distinguishes them from others.
    pub shape: Vec<u8>,
    /// Whether the function adds tags while it runs: it seems so, or it has.
    pub are_added: AtomicBool,
}

impl Tags {
    /// Compiles what Python says of them; `names` are the function's parameters.
    pub fn new<'a>(spec: TagsSpec, names: impl Iterator<Item = &'a str> + Clone) -> PyResult<Self> {
        let (specs, callable, are_added) = spec;
        let mut tags = Self {
            templates: Vec::new(),
            fixed: Default::default(),
            callable,
            shape: Vec::new(),
            are_added: AtomicBool::new(are_added),
        };
        for (source, parts) in specs {
            tags.shape.extend_from_slice(&source.len().to_le_bytes());
            tags.shape.extend_from_slice(source.as_bytes());
            let mut template = Vec::new();
            for (text, field) in parts {
                let field = field.map(|(name, whole, text)| {
                    let at = names.clone().position(|known| known == name).ok_or_else(|| {
                        PyValueError::new_err(format!("there is no argument {name:?}"))
                    })?;
                    Ok::<_, PyErr>(Field { at, whole, text })
                });
                template.push((text, field.transpose()?));
            }
            if template.iter().all(|(_, field)| field.is_none()) {
                let text: String = template.into_iter().map(|(text, _)| text).collect();
                push(&mut tags.fixed.1, &text);
                tags.fixed.0.push(text);
            } else {
                tags.templates.push(template);
            }
        }
        if tags.callable.is_some() {
            tags.shape.push(1);
        }
        Ok(tags)
    }

    /// Whether they need to know a call's arguments.
    pub fn need_values(&self) -> bool {
        !self.templates.is_empty()
    }

    /// Whether calls with one key have the same tags.
    pub fn are_covered(&self, plan: &Plan) -> bool {
        let mut fields = self.templates.iter().flatten().filter_map(|(_, field)| field.as_ref());
        self.callable.is_none() && fields.all(|field| field.whole && plan.has_whole(field.at))
    }

    /// Adds the scopes of a call's tags.
    pub fn extend(
        &self,
        scopes: &mut Vec<ScopeId>,
        values: &Values<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let mut tagged = self.fixed.1.clone();
        for text in self.made(values, args, kwargs)? {
            push(&mut tagged, &text);
        }
        scopes.extend(tagged.iter().map(|scope| scope.in_world()));
        Ok(())
    }

    /// A call's tags.
    pub fn texts(
        &self,
        values: &Values<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<String>> {
        Ok([self.fixed.0.clone(), self.made(values, args, kwargs)?].concat())
    }

    /// Those that are not the same for each call.
    fn made(
        &self,
        values: &Values<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<String>> {
        let texts = self.templates.iter().map(|template| rendered(template, values, args.py()));
        let mut texts = texts.collect::<PyResult<Vec<_>>>()?;
        if let Some(callable) = &self.callable {
            let said = callable.bind(args.py()).call1((args, kwargs))?;
            for text in said.try_iter()? {
                texts.push(text_of(&text?)?);
            }
        }
        Ok(texts)
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for (_, field) in self.templates.iter().flatten() {
            if let Some(field) = field {
                visit.call(&field.text)?;
            }
        }
        visit.call(&self.callable)
    }
}

fn push(scopes: &mut Vec<ScopeId>, text: &str) {
    for scope in ScopeId::of_tag(text) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
}

fn rendered(
    template: &[(String, Option<Field>)],
    values: &Values<'_>,
    py: Python<'_>,
) -> PyResult<String> {
    let mut text = String::new();
    for (before, field) in template {
        text.push_str(before);
        let Some(field) = field else { continue };
        let Some(value) = &values[field.at] else { continue };
        if field.whole
            && let Ok(given) = value.cast_exact::<PyString>()
        {
            text.push_str(&given.to_string_lossy());
        } else if field.whole
            && value.is_exact_instance_of::<PyInt>()
            && let Ok(number) = value.extract::<i64>()
        {
            text.push_str(&number.to_string());
        } else {
            text.push_str(&text_of(&field.text.bind(py).call1((value,))?)?);
        }
    }
    if text.is_empty() || text.len() > SHORT {
        names::check_tag(py)?.call1((&text,))?;
    }
    Ok(text)
}

/// The characters of a text, those aside that are half of one.
fn text_of(text: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(text.cast::<PyString>()?.to_string_lossy().into_owned())
}

/// The scope of a tag; with `family` that of all tags which have this before their first colon.
#[pyfunction]
#[pyo3(signature = (text, family = false))]
pub fn tag_scope<'py>(text: &Bound<'py, PyString>, family: bool) -> Bound<'py, PyBytes> {
    let characters = text.to_string_lossy();
    let scope = if family { ScopeId::family(&characters) } else { ScopeId::tag(&characters) };
    PyBytes::new(text.py(), &scope.in_world().0)
}

/// The scope that changes before that of any tag does.
#[pyfunction]
pub fn tags_scope(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &ScopeId::tags().0)
}
