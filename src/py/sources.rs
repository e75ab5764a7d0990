//! Where key fields find their values: in arguments, along paths, in the request of a view.

use super::bind::Values;
use super::names;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyException, PyIndexError, PyKeyError, PyTypeError};
use pyo3::gc::PyVisit;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// What was found where a field looks.
pub enum Found<'py> {
    /// A value.
    Value(Bound<'py, PyAny>),
    /// Nothing, which is a value of its own.
    Absent,
    /// A partial call does not say.
    Unbound,
}

/// Dotted attributes, mapping keys or indexes.
pub struct Path(pub Vec<Py<PyString>>);

impl Path {
    /// What is at the end of the path.
    ///
    /// # Errors
    /// Whatever an attribute raises, but for the errors that say that it is not there.
    pub fn follow<'py>(&self, from: Bound<'py, PyAny>) -> PyResult<Found<'py>> {
        let mut at = from;
        for part in &self.0 {
            match step(&at, part.bind(at.py()))? {
                Some(next) => at = next,
                None => return Ok(Found::Absent),
            }
        }
        Ok(Found::Value(at))
    }
}

fn step<'py>(
    from: &Bound<'py, PyAny>,
    part: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = from.py();
    if !from.is_instance_of::<PyDict>()
        && let Some(attribute) = from.getattr_opt(part)?
    {
        return Ok(Some(attribute));
    }
    if let Ok(dict) = from.cast::<PyDict>()
        && !dict.contains(part)?
    {
        return Ok(None); // not through `__missing__`, which may add it
    }
    let sequence = from.is_instance_of::<PyList>() || from.is_instance_of::<PyTuple>();
    let item = match part.to_str()?.parse::<usize>() {
        Ok(index) if sequence => from.get_item(index),
        _ => from.get_item(part),
    };
    match item {
        Ok(item) => Ok(Some(item)),
        Err(error)
            if error.is_instance_of::<PyKeyError>(py)
                || error.is_instance_of::<PyIndexError>(py)
                || error.is_instance_of::<PyTypeError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Where one of a field's arguments is: a parameter; an `entry` of the parameter that takes all other
/// keywords; or an `attribute` of the view, which is a parameter, or an `entry` of that.
struct Place {
    parameter: usize,
    attribute: Option<Py<PyString>>,
    entry: Option<Py<PyString>>,
    /// What a partial call means that does not say.
    unsaid: Option<Py<PyAny>>,
}

/// An argument, and the name under which it contributes.
pub struct Pick {
    place: Place,
    /// For people and scopes.
    pub name: String,
}

/// The values of arguments.
pub struct Arguments {
    /// Which ones.
    pub picks: Vec<Pick>,
    /// What to follow from each of them.
    path: Option<Path>,
    /// What changes the values found.
    normalizer: Option<Py<PyAny>>,
    /// Whether they contribute as they are, so that rules may name the same scopes.
    pub plain: bool,
}

/// Parameter, attribute of it, entry of that, what is meant where a partial call does not say, name.
type PickSpec = (usize, Option<Py<PyString>>, Option<Py<PyString>>, Option<Py<PyAny>>, String);
/// Picks, path, normalizer.
pub type ArgumentsSpec = (Vec<PickSpec>, Option<Vec<Py<PyString>>>, Option<Py<PyAny>>);

impl From<ArgumentsSpec> for Arguments {
    fn from((picks, path, normalizer): ArgumentsSpec) -> Self {
        let picks: Vec<Pick> = picks
            .into_iter()
            .map(|(parameter, attribute, entry, unsaid, name)| {
                let place = Place { parameter, attribute, entry, unsaid };
                Pick { place, name }
            })
            .collect();
        let plain = path.is_none()
            && normalizer.is_none()
            && picks
                .iter()
                .all(|Pick { place, .. }| place.attribute.is_none() && place.entry.is_none());
        Self { picks, path: path.map(Path), normalizer, plain }
    }
}

impl Arguments {
    /// What a partial call must give, for people.
    pub fn needs(&self) -> String {
        let need = |pick: &Pick| match pick.place.attribute {
            Some(_) => "the view".to_owned(),
            None => pick.name.clone(),
        };
        let mut needs: Vec<String> = self.picks.iter().map(need).collect();
        needs.dedup();
        needs.join(", ")
    }

    /// The name of the first argument that a call, perhaps a partial one, does not give.
    pub fn missing<'py>(
        &self,
        values: &Values<'py>,
        partial: bool,
        py: Python<'py>,
    ) -> PyResult<Option<&str>> {
        for pick in &self.picks {
            let named = pick.place.entry.is_none();
            if (named || partial)
                && let Found::Unbound = pick.place.find(values, true, py)?
            {
                return Ok(Some(&pick.name));
            }
        }
        Ok(None)
    }

    /// Whether they are the first `count` parameters, in order and as they are.
    pub fn are_first(&self, count: usize) -> bool {
        let mut places = self.picks.iter().map(|pick| pick.place.parameter);
        self.plain && self.picks.len() == count && (0..count).all(|at| places.next() == Some(at))
    }

    /// Whether a parameter is among them, as it is.
    pub fn have_whole(&self, parameter: usize) -> bool {
        self.plain && self.picks.iter().any(|pick| pick.place.parameter == parameter)
    }

    /// The value of one of them.
    pub fn find<'py>(
        &self,
        pick: &Pick,
        values: &Values<'py>,
        partial: bool,
        py: Python<'py>,
    ) -> PyResult<Found<'py>> {
        let mut found = pick.place.find(values, partial, py)?;
        if let (Found::Value(value), Some(path)) = (&found, &self.path) {
            let given = !value.is_none();
            found = match path.follow(value.clone())? {
                // What has no such path does not name a group.
                Found::Absent if partial && given => Found::Unbound,
                followed => followed,
            };
        }
        if let (Found::Value(value), Some(normalizer)) = (&found, &self.normalizer) {
            match normalizer.bind(py).call1((value,)) {
                Ok(normal) => found = Found::Value(normal),
                // Not a failure: the call is made again where it may query.
                Err(error) if error.is_instance(py, names::synchronous_only(py)?) => {
                    return Err(error);
                }
                // The value stays as it is.
                Err(error) if error.is_instance_of::<PyException>(py) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.normalizer.as_ref().map_or(Ok(()), |normalizer| visit.call(normalizer))
    }
}

impl Place {
    fn find<'py>(
        &self,
        values: &Values<'py>,
        partial: bool,
        py: Python<'py>,
    ) -> PyResult<Found<'py>> {
        let missing = if partial { Found::Unbound } else { Found::Absent };
        let Some(value) = &values[self.parameter] else {
            let unsaid = self.unsaid.as_ref().map(|unsaid| unsaid.bind(py).clone());
            return Ok(unsaid.map_or(missing, Found::Value));
        };
        let holder = match &self.attribute {
            Some(attribute) => value.getattr_opt(attribute.bind(py))?,
            None => Some(value.clone()),
        };
        let found = match (holder, &self.entry) {
            (Some(holder), Some(name)) => entry(&holder, name.bind(py))?,
            (holder, _) => holder,
        };
        Ok(found.map_or(missing, Found::Value))
    }
}

fn entry<'py>(
    rest: &Bound<'py, PyAny>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match rest.cast::<PyDict>() {
        Ok(rest) => rest.get_item(name),
        Err(_) => Ok(None),
    }
}

/// How a call's request is found: the argument of that name, a keyword of that name, a request among
/// the other positional arguments, and at last the attribute `request` of the view.
pub struct Request {
    /// The parameter of that name.
    pub argument: Option<usize>,
    keyword: Option<(usize, Py<PyString>)>,
    rest: Option<usize>,
    view: Option<usize>,
    of_view: bool,
}

/// The parameter of that name; the one that takes all other keywords, and the name; the one that
/// takes all other positional arguments; the view; whether the request may be an attribute of it.
pub type RequestSpec =
    (Option<usize>, Option<(usize, Py<PyString>)>, Option<usize>, Option<usize>, bool);

impl From<RequestSpec> for Request {
    fn from((argument, keyword, rest, view, of_view): RequestSpec) -> Self {
        Self { argument, keyword, rest, view, of_view }
    }
}

impl Request {
    /// The request of a call.
    pub fn find<'py>(
        &self,
        values: &Values<'py>,
        partial: bool,
        py: Python<'py>,
    ) -> PyResult<Found<'py>> {
        if let Some(request) = self.argument.and_then(|at| values[at].as_ref())
            && !request.is_none()
        {
            return Ok(Found::Value(request.clone()));
        }
        if let Some((at, name)) = &self.keyword
            && let Some(rest) = &values[*at]
            && let Some(request) = entry(rest, name.bind(py))?
            && !request.is_none()
        {
            return Ok(Found::Value(request));
        }
        let rest = self.rest.and_then(|at| values[at].as_ref()).map(|rest| rest.cast::<PyTuple>());
        if let Some(rest) = &rest {
            for argument in rest.as_ref().map_err(|_| PyTypeError::new_err("no tuple"))?.iter() {
                if names::is_request(&argument)? {
                    return Ok(Found::Value(argument));
                }
            }
        }
        let first = rest.filter(|_| self.of_view).and_then(|rest| rest.ok()?.get_item(0).ok());
        let view = self.view.and_then(|at| values[at].clone()).or(first);
        if let Some(view) = &view
            && let Some(request) = view.getattr_opt(intern!(py, "request"))?
            && !request.is_none()
        {
            return Ok(Found::Value(request));
        }
        let said = self.argument.is_some_and(|at| values[at].is_some()) || view.is_some();
        Ok(if partial && !said { Found::Unbound } else { Found::Absent })
    }
}

/// The query parameters of a request, each a list of values: Django's `GET`, DRF's `query_params`.
pub fn query_of<'py>(request: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = request.py();
    let get = intern!(py, "GET");
    let class = names::http_request(py)?;
    let found = if names::is_kind(request, class) {
        Some(request.getattr(get)?)
    } else {
        match names::attribute(request, intern!(py, "_request"))? {
            // DRF's `query_params` is that request's `GET`.
            Some(inner) if names::is_kind(&inner, class) => Some(inner.getattr(get)?),
            _ => match request.getattr_opt(intern!(py, "query_params"))? {
                Some(found) => Some(found),
                None => request.getattr_opt(get)?,
            },
        }
    };
    let Some(found) = found else { return Ok(None) };
    if names::is_kind(&found, names::multi_value_dict(py)?) {
        // As it is: a dict of lists, whatever its methods make of it.
        return Ok(Some(found.cast_into::<PyDict>()?));
    }
    let lists = PyDict::new(py);
    for pair in found.call_method0(intern!(py, "items"))?.try_iter()? {
        let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
        lists.set_item(name, PyList::new(py, [value])?)?;
    }
    Ok(Some(lists))
}
