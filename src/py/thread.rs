//! The synchronous call, driven by the thread that makes it.

use super::binding::{Binding, Prepared, unusable_status};
use super::encode::Encoder;
use super::names;
use super::outcome::{Blob, Finished, Want, absent, give};
use super::plan::is_touched;
use super::process;
use super::recorded;
use super::renewal::Renewal;
use super::replies::{kept_here, snapshot};
use super::session::{Landing, Session, Step};
use super::wrapper::Wrapper;
use super::written::Written;
use crate::call::{First, Mode, Status, Times, Windows, valid_in, valid_with};
use crate::clock;
use crate::flight::{Crew, Flight, next_sequence};
use crate::port::Snapshot;
use crate::store::NEVER;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often a waiting thread looks for signals such as Ctrl-C.
const SIGNAL_CHECK: Duration = Duration::from_millis(200);

impl Wrapper {
    /// The synchronous call, from arguments to result. `written` is what [`Wrapper::quick`] left.
    #[inline(never)]
    pub fn run<'py>(
        slf: &Bound<'py, Self>,
        written: Option<Written<'py>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        mode: Mode,
        want: Want,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let binding = Self::binding(slf)?;
        if !this.usable(&binding, mode) {
            if mode == Mode::Peek {
                this.counters.missed(py);
                return give(py, absent(), want);
            }
            let status = unusable_status(&binding, mode);
            let ran = this.function.bind(py).call(args, kwargs);
            this.counters.ran(py, status, ran.as_ref().err());
            let finished = Finished { value: Some(ran?.unbind()), status, times: None };
            return give(py, finished, want);
        }
        if binding.memory.is_some() && matches!(mode, Mode::Get | Mode::Peek) {
            return Self::run_in_memory(slf, &binding, written, args, kwargs, mode, want);
        }
        let prepared = this.prepare(&binding, args, kwargs)?;
        let mut first = First::Unread;
        if matches!(mode, Mode::Get | Mode::Peek) && !prepared.touched {
            match first_read(py, &binding, &prepared, &this.judge.windows)? {
                Read::Valid(finished, fill_us) => {
                    this.counters.hit(py, fill_us);
                    return give(py, finished, want);
                }
                Read::Unsure(found) => first = found,
            }
        }
        let session =
            Session::new(slf, Arc::clone(&binding), prepared, mode, Crew::Thread, first, None)?;
        let finished = this.drive(py, &binding, session, args, kwargs)?;
        give(py, finished, want)
    }

    /// A hit in our own store of a call whose arguments need no binding, outside of transactions. Where there
    /// is none, the call is written; `encoder` stays empty if the call is none for which it is looked.
    #[inline(always)]
    #[allow(clippy::inline_always)] // two callers, and the shortest way there is
    pub fn quick<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        encoder: &mut Encoder,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (in_force, memory) = &self.quick;
        let Some(memory) = memory.get() else { return Ok(None) };
        if in_force.load(Ordering::Acquire) != process::epoch() || process::any_open_transaction() {
            return Ok(None);
        }
        if !self.straight_call(args, kwargs, encoder)? {
            return Ok(None);
        }
        let Some(entry) = memory.call(encoder.writer.as_bytes()) else { return Ok(None) };
        match entry.value.give(args.py()) {
            Ok(value) => {
                self.counters.hit(args.py(), entry.fill.as_ref().map_or(0, |fill| fill.fill_us));
                Ok(Some(value))
            }
            Err(error) => mended(args.py(), error).map(|()| None),
        }
    }

    /// A hit in our own store, if it is one.
    pub fn hit_at_hand<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let this = slf.get();
        let mut encoder = Encoder::new();
        let found = this.quick(args, kwargs, &mut encoder)?;
        if found.is_some() || !encoder.writer.is_empty() {
            return Ok(found);
        }
        let binding = Self::binding(slf)?;
        if binding.memory.is_none() || !this.usable(&binding, Mode::Get) {
            return Ok(None);
        }
        let written = this.write(args, kwargs, true)?;
        let finished = this.hit(slf.py(), &binding, &written, args, kwargs)?;
        Ok(finished.and_then(|found| found.value).map(|value| value.into_bound(slf.py())))
    }

    /// The synchronous call in our own store: a hit takes neither digest nor text.
    fn run_in_memory<'py>(
        slf: &Bound<'py, Self>,
        binding: &Arc<Binding>,
        written: Option<Written<'py>>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        mode: Mode,
        want: Want,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let this = slf.get();
        let written = written.map_or_else(|| this.write(args, kwargs, true), Ok)?;
        if let Some(finished) = this.hit(py, binding, &written, args, kwargs)? {
            return give(py, finished, want);
        }
        // What has been read counts for nothing: the flow reads again.
        let prepared = this.prepare_written(binding, &written, next_sequence(), args, kwargs)?;
        let crew = Crew::Thread;
        let binding = Arc::clone(binding);
        let session =
            Session::new(slf, Arc::clone(&binding), prepared, mode, crew, First::Unread, None)?;
        let finished = this.drive(py, &binding, session, args, kwargs)?;
        give(py, finished, want)
    }

    /// A hit in our own store of a written call, if it is one.
    pub fn hit<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        written: &Written<'py>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Option<Finished>> {
        let Some(memory) = &binding.memory else { return Ok(None) };
        let Some(entry) = memory.call(written.encoder.writer.as_bytes()) else { return Ok(None) };
        let Some(fill) = &entry.fill else { return Ok(None) };
        if !binding.covered || process::any_open_transaction() {
            let (scopes, _) = self.scopes(binding, written, args, kwargs)?;
            let touched = process::any_open_transaction()
                && (is_touched(py, &scopes)? || is_touched(py, &fill.recorded)?);
            if touched || !memory.view.is_fenced_by(&entry, &scopes) {
                return Ok(None);
            }
        }
        let value = match entry.value.give(py) {
            Ok(value) => value,
            Err(error) => return mended(py, error).map(|()| None),
        };
        let expires_at = Some(entry.expires_at()).filter(|&at| at != NEVER);
        self.counters.hit(py, fill.fill_us);
        let times = Some(Times { cached_at: fill.cached_at, expires_at, fill_us: fill.fill_us });
        Ok(Some(Finished { value: Some(value.unbind()), status: Status::Hit, times }))
    }

    /// Does what the call asks for, until it is over.
    pub fn drive<'py>(
        &self,
        py: Python<'py>,
        binding: &Binding,
        mut session: Session,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Finished> {
        let storage = binding.storage.bind(py);
        let mut step = session.start(py)?;
        loop {
            step = match step {
                Step::Over(finished) => return Ok(finished),
                // Caches of this process pickle the value when it is stored.
                Step::Io { method: "store", args } if binding.index.is_some() => {
                    let reply = inside(&mut session, py, |_| storage.call_method1("store", args))?;
                    session.reply(&reply)?
                }
                Step::Io { method, args } => {
                    let reply = storage.call_method1(method, args)?;
                    session.reply(&reply)?
                }
                Step::Run { store, share } => {
                    let run = |session: &mut Session| {
                        self.run_function(session, (store, share), args, kwargs)
                    };
                    if store || share { inside(&mut session, py, run)? } else { run(&mut session)? }
                }
                Step::Renew(job) => {
                    let wrapper = job.wrapper.clone_ref(py);
                    let job = (wrapper, Renewal::new(py, job), args, kwargs);
                    let begun = names::renew_in_thread(py)?.call1(job)?.is_truthy()?;
                    session.renewing(py, begun)?
                }
                Step::Wait { flight, timeout } => {
                    wait(py, &flight, timeout)?;
                    session.waited(py, &flight)?
                }
                Step::Pause(seconds) => {
                    py.detach(|| std::thread::sleep(Duration::from_secs_f64(seconds)));
                    py.check_signals()?;
                    session.paused(py)?
                }
            };
        }
    }

    /// Runs the function, and decides what becomes of its result. All of that belongs to the fill, so
    /// that nested calls of the same key run through: predicates and pickling may make some, too.
    fn run_function<'py>(
        &self,
        session: &mut Session,
        (store, share): (bool, bool),
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Step<'py>> {
        let py = args.py();
        match self.function.bind(py).call(args, kwargs) {
            Err(error) => session.raised(py, &error),
            Ok(value) if !store => session.returned(&value, None, share),
            Ok(value) => match self.judge.verdict(py, &value, args, kwargs) {
                Ok(ttl) => session.returned(&value, ttl, share),
                Err(error) => session.raised(py, &error),
            },
        }
    }
}

/// Does what is part of the session's fill: nested calls of the same key run through.
fn inside<T>(
    session: &mut Session,
    py: Python<'_>,
    work: impl FnOnce(&mut Session) -> PyResult<T>,
) -> PyResult<T> {
    let fill = names::enter_fill(py)?.call1((session.key_bytes(py),))?;
    let done = work(session);
    names::leave_fill(py)?.call1((fill,))?;
    done
}

/// An entry that does not load is mended by the flow. What came in between, as Ctrl-C does, is no matter
/// of the entry.
#[cold]
fn mended(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.is_instance_of::<PyException>(py) { Ok(()) } else { Err(error) }
}

/// What the first look at the cache found.
pub enum Read {
    /// A hit, and how long its fill had taken, in microseconds.
    Valid(Finished, u32),
    /// No hit, or one that takes further thought.
    Unsure(First<Blob>),
}

/// The common case without a flow: one read, one comparison, one unpickling.
fn first_read(
    py: Python<'_>,
    binding: &Binding,
    prepared: &Prepared,
    windows: &Windows,
) -> PyResult<Read> {
    let parts = &prepared.parts;
    let plan = binding.fingerprint;
    let storage = binding.storage.bind(py);
    if let (Some(get), Some(index)) = (&binding.get, &binding.index) {
        let entry = match get.bind(py).call1((parts.text.as_str(),)) {
            Ok(stored) => Blob::read(&stored),
            // The value under this key does not load: the storage deletes it.
            Err(error) if error.is_instance_of::<PyException>(py) => {
                let keys = PyList::new(py, [parts.text.as_str()])?;
                storage.call_method1(intern!(py, "delete"), (keys,))?;
                None
            }
            Err(error) => return Err(error),
        };
        let entry = recorded::current_in(py, &**index, entry)?;
        let check =
            |entry: &Blob| valid_in(&**index, entry.as_ref(), plan, &parts.key, parts.all_scopes());
        let found = entry.as_ref().and_then(check);
        let snapshot = kept_here(entry);
        return loaded(py, snapshot, found, windows);
    }
    let reply = storage.call_method1(intern!(py, "read"), (parts.keys(),))?;
    let Some(mut snapshot) = snapshot(&reply, parts, false)? else {
        return Ok(Read::Unsure(First::Down));
    };
    if let Some(keys) = recorded::keys(py, &mut snapshot, plan)? {
        let reply = storage.call_method1(intern!(py, "read"), (keys,))?;
        recorded::compare(&mut snapshot, &reply);
    }
    looked_at(py, plan, snapshot, windows)
}

/// What was found by reading a shared cache.
pub fn looked_at(
    py: Python<'_>,
    plan: u64,
    snapshot: Snapshot<Blob>,
    windows: &Windows,
) -> PyResult<Read> {
    let found = valid_with(&snapshot, plan);
    loaded(py, snapshot, found, windows)
}

/// The value of what is valid, if that is all there is to do.
fn loaded(
    py: Python<'_>,
    snapshot: Snapshot<Blob>,
    found: Option<(Times, usize)>,
    windows: &Windows,
) -> PyResult<Read> {
    let found = found.filter(|(times, _)| windows.is_surely_fresh(times, clock::now_ms()));
    if let (Some(entry), Some((times, payload))) = (&snapshot.entry, found) {
        match entry.load(py, payload) {
            Ok(value) => {
                let value = Some(value.unbind());
                let finished = Finished { value, status: Status::Hit, times: Some(times) };
                return Ok(Read::Valid(finished, times.fill_us));
            }
            Err(error) => mended(py, error)?,
        }
    }
    Ok(Read::Unsure(First::Read(snapshot)))
}

/// Blocks without the GIL until the flight has ended or the time is over.
fn wait(py: Python<'_>, flight: &Flight<Landing>, timeout: Duration) -> PyResult<()> {
    let deadline = Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).min(SIGNAL_CHECK);
        if py.detach(|| flight.wait(left)).is_some() || Instant::now() >= deadline {
            return Ok(());
        }
        py.check_signals()?;
    }
}
