//! A store of this process as caches with one prefix, version and key function see it.

use super::copying::Kept;
use super::names;
use super::plan::Plan;
use crate::call::{Times, Windows};
use crate::clock;
use crate::entry::{self, Header};
use crate::index::{Generations, ScopeId, Table, Token};
use crate::store::{Entry, Expected, Family, Fill, Key, KeyRef, NEVER, Store, TooLarge, name_of};
use pyo3::PyTraverseError;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// The text of a key, in UTF-8 (lone surrogates as their three bytes).
pub type Text = SmallVec<[u8; 160]>;

/// Longest text that all of Django's backends take, in characters.
const LONGEST_TEXT: usize = 250;

/// Entries and their generations.
pub struct Vault {
    /// The entries.
    pub store: Store<Arc<Kept>>,
    /// Generations of the entries of wrappers.
    pub table: Table,
    /// Whether it was said that a value is too large.
    told: AtomicBool,
}

impl Vault {
    /// An empty store with these generations.
    pub fn new(max_bytes: u64, max_entries: Option<u64>, table: Table) -> Self {
        Self { store: Store::new(max_bytes, max_entries), table, told: AtomicBool::new(false) }
    }

    /// Logs that the value of a key is too large to be stored: once, as there may be many of its kind.
    pub fn tell(&self, py: Python<'_>, text: &Text, too_large: &TooLarge) -> PyResult<()> {
        if self.told.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let what = format!("the value of the key '{}'", String::from_utf8_lossy(text));
        names::too_large(py)?.call1((what, too_large.bytes, too_large.most))?;
        Ok(())
    }

    /// Removes everything, and makes void what is being filled.
    pub fn clear(&self) {
        self.table.clear();
        self.store.clear();
    }

    /// Whether an entry is valid: its time is not over, and its generations are current.
    pub fn is_valid(&self, entry: &Entry<Arc<Kept>>) -> bool {
        let now = clock::coarse_ms();
        !entry.is_over(now) && self.is_current(entry, now)
    }

    /// Whether a hit needs no further thought.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    fn is_quick(&self, entry: &Entry<Arc<Kept>>) -> bool {
        let now = clock::coarse_ms();
        entry.is_quick(now) && self.is_current(entry, now)
    }

    /// Whether an entry is of use, be it past its time.
    fn is_kept(&self, entry: &Entry<Arc<Kept>>) -> bool {
        let now = clock::coarse_ms();
        let Some(fill) = entry.fill.as_ref().filter(|fill| fill.soft > 0) else {
            return !entry.is_gone(now) && self.is_current(entry, now);
        };
        !entry.is_gone(now)
            && fill.hard().iter().all(|fence| self.table.holds(fill.epoch, fence, now))
    }

    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    fn is_current(&self, entry: &Entry<Arc<Kept>>, now: i64) -> bool {
        entry.fill.as_ref().is_none_or(|fill| self.table.holds(fill.epoch, &fill.fence, now))
    }

    /// The entry, if it is valid. One that is of no use any more is removed.
    fn valid(
        &self,
        key: KeyRef<'_>,
        entry: Arc<Entry<Arc<Kept>>>,
    ) -> Option<Arc<Entry<Arc<Kept>>>> {
        if self.is_valid(&entry) {
            return Some(entry);
        }
        if !self.is_kept(&entry) {
            self.store.remove_this(key, &entry);
        }
        None
    }
}

/// An entry that was found.
pub struct Held {
    /// The key of the call whose entry it is; `None`: it is under the text itself.
    pub key: Option<Key>,
    /// The entry.
    pub entry: Arc<Entry<Arc<Kept>>>,
}

/// See the module.
pub struct View {
    /// What is seen.
    pub vault: Arc<Vault>,
    /// What scopes are mixed with: views that differ in anything share no generation.
    salt: [u8; 16],
    prefix: String,
    /// What texts of the default version begin with.
    head: String,
    /// Seconds.
    timeout: Option<f64>,
    warn: Py<PyAny>,
    make_key: Option<Py<PyAny>>,
}

impl View {
    /// A view. `identity` stands for the key function.
    pub fn new(
        vault: Arc<Vault>,
        prefix: String,
        version: &str,
        timeout: Option<f64>,
        identity: &str,
        warn: Py<PyAny>,
        make_key: Option<Py<PyAny>>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [&prefix, version, identity] {
            hasher.update(&part.len().to_le_bytes()).update(part.as_bytes());
        }
        let mut salt = [0; 16];
        salt.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let head = format!("{prefix}:{version}:");
        Self { vault, salt, prefix, head, timeout, warn, make_key }
    }

    /// What distinguishes this view's entries of a function from others.
    pub fn family(&self, plan: &Plan, fingerprint: u64) -> Family {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.salt).update(&plan.identity()).update(&fingerprint.to_le_bytes());
        let mut halves = [[0; 8]; 2];
        hasher.finalize_xof().fill(halves.as_flattened_mut());
        Family {
            id: halves.map(u64::from_le_bytes),
            view: self.mark(),
            lineage: plan.lineage(),
            version: plan.version,
        }
    }

    /// Stands for the view.
    fn mark(&self) -> u64 {
        let [mark, _] = self.salt.as_chunks::<8>().0 else { unreachable!("of sixteen bytes") };
        u64::from_le_bytes(*mark)
    }

    /// The text under which Django's cache API knows a key.
    pub fn text(
        &self,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Text> {
        if let Some(make) = &self.make_key {
            let made = make.bind(key.py()).call1((key, version))?;
            let mut text = Text::new();
            push(&mut text, &made.str()?)?;
            return Ok(text);
        }
        let mut text = Text::new();
        match version {
            None => text.extend_from_slice(self.head.as_bytes()),
            Some(version) => {
                text.extend_from_slice(self.prefix.as_bytes());
                text.push(b':');
                push(&mut text, &version.str()?)?;
                text.push(b':');
            }
        }
        match key.cast_exact::<PyString>() {
            Ok(key) => push(&mut text, key)?,
            Err(_) => push(&mut text, &key.str()?)?,
        }
        if is_questionable(&text) {
            let text = PyString::from_encoded_object(
                &PyBytes::new(key.py(), &text),
                Some(c"utf-8"),
                Some(c"surrogatepass"),
            )?;
            self.warn.bind(key.py()).call1((text,))?;
        }
        Ok(text)
    }

    /// The valid entry under a text, a wrapper's or another's.
    pub fn entry(&self, text: &Text) -> Option<Held> {
        let store = &self.vault.store;
        let key = KeyRef::text(text);
        if let Some(entry) = store.find(key).and_then(|entry| self.vault.valid(key, entry)) {
            return Some(Held { key: None, entry });
        }
        if !store.has_names() {
            return None;
        }
        let (key, entry) = store.named(name_of(text))?;
        let entry = self.vault.valid(key.as_ref(), entry)?;
        Some(Held { key: Some(key), entry })
    }

    /// Deletes what is under a text; whether there was anything valid.
    pub fn delete(&self, text: &Text) -> bool {
        let removed = self.vault.store.remove(KeyRef::text(text));
        let valid = removed.is_some_and(|entry| self.vault.is_valid(&entry));
        self.delete_call(text) || valid
    }

    /// Deletes the entry of the call whose key has this text; whether there was a valid one.
    pub fn delete_call(&self, text: &Text) -> bool {
        let store = &self.vault.store;
        if !store.has_names() {
            return false;
        }
        let Some((key, entry)) = store.named(name_of(text)) else { return false };
        store.remove_this(key.as_ref(), &entry);
        self.vault.is_valid(&entry)
    }

    /// When `timeout` (seconds, `None`, or Django's mark for the default) is over.
    pub fn deadline(&self, timeout: &Bound<'_, PyAny>) -> PyResult<i64> {
        let seconds = if timeout.is(names::default_timeout(timeout.py())?) {
            self.timeout
        } else if timeout.is_none() {
            None
        } else {
            let wrong = |_| {
                let kind = timeout.get_type();
                PyTypeError::new_err(format!(
                    "a timeout is a number of seconds or None, not {kind}"
                ))
            };
            Some(timeout.extract::<f64>().map_err(wrong)?)
        };
        #[allow(clippy::cast_possible_truncation)] // saturates
        Ok(match seconds {
            None => NEVER,
            // Over by any clock.
            Some(seconds) if seconds <= 0.0 => 0,
            Some(seconds) => clock::now_ms().saturating_add((seconds * 1000.0).ceil() as i64),
        })
    }

    /// The entry of a call, by its canonical bytes, if it is valid without further thought.
    #[inline(always)]
    #[allow(clippy::inline_always)] // part of every hit
    pub fn call(&self, family: &Family, canonical: &[u8]) -> Option<Arc<Entry<Arc<Kept>>>> {
        let entry = self.vault.store.find(KeyRef::call(family, canonical))?;
        self.vault.is_quick(&entry).then_some(entry)
    }

    /// The entry of a call, be it past its time.
    pub fn kept_call(&self, family: &Family, canonical: &[u8]) -> Option<Arc<Entry<Arc<Kept>>>> {
        let entry = self.vault.store.find(KeyRef::call(family, canonical))?;
        self.vault.is_kept(&entry).then_some(entry)
    }

    /// Whether an entry is fenced by the generations of these scopes, and its own.
    pub fn is_fenced_by(&self, entry: &Entry<Arc<Kept>>, scopes: &[ScopeId]) -> bool {
        let Some(fill) = &entry.fill else { return false };
        fill.fence.len() == scopes.len() + 1 + fill.recorded.len()
            && scopes.iter().zip(&fill.fence).all(|(scope, (slot, _))| self.slot(scope) == *slot)
    }

    /// Stores what a fill computed, unless that is void by now: it would only displace what is newer.
    /// `epoch` is the table's from before the function ran. Whether it is there now.
    pub fn store_call(
        &self,
        call: &StoredCall<'_>,
        kept: Arc<Kept>,
        header: &Header<'_>,
    ) -> Result<bool, TooLarge> {
        let scopes = call.scopes.iter().chain([call.own]);
        let fill = Fill {
            family: Arc::clone(call.family),
            name: name_of(call.text),
            cached_at: header.cached_at,
            expires_at: AtomicI64::new(header.expires_at.unwrap_or(NEVER)),
            stale_ms: call.windows.longest(),
            fill_us: header.fill_us,
            epoch: call.epoch,
            fence: scopes
                .zip(header.tokens)
                .chain(header.recorded.iter().map(|added| (&added.scope, &added.token)))
                .map(|(scope, token)| (self.slot(scope), Table::generation_of(token)))
                .collect(),
            soft: u32::try_from(call.soft).unwrap_or(u32::MAX),
            recorded: header.recorded.iter().map(|added| added.scope).collect(),
        };
        let bytes = kept.weight();
        let Header { cached_at, expires_at, fill_us, .. } = *header;
        let times = Times { cached_at, expires_at, fill_us };
        let quick_until = call.windows.surely_fresh_until(&times).unwrap_or(NEVER);
        let entry = Entry::new(kept, bytes, quick_until, Some(fill));
        if !self.vault.is_valid(&entry) {
            return Ok(false);
        }
        let store = &self.vault.store;
        drop(store.remove(KeyRef::text(call.text)));
        let key = KeyRef::call(call.family, call.canonical).to_key();
        let taken = store.takes(&key, &entry);
        let stored = store.insert(key, entry, &Expected::Anything);
        taken.map(|()| stored)
    }

    /// Deletes the entries of a function's smaller versions; how many there were.
    pub fn delete_versions_before(&self, lineage: u64, version: i64) -> usize {
        let view = self.mark();
        let is_old = |entry: &Entry<Arc<Kept>>| {
            entry.fill.as_ref().is_some_and(|Fill { family, .. }| {
                family.view == view && family.lineage == lineage && family.version < version
            })
        };
        let entries = self.vault.store.iter();
        let old: Vec<Key> =
            entries.filter_map(|(key, entry)| is_old(&entry).then_some(key)).collect();
        old.iter().filter_map(|key| self.vault.store.remove(key.as_ref())).count()
    }

    /// Texts that begin so and have an entry of their own; those of calls have not.
    pub fn texts_beginning_with(&self, beginning: &str) -> Vec<String> {
        let ours = |key: &Key| {
            let text = std::str::from_utf8(key.as_text()?).ok()?;
            text.starts_with(beginning).then(|| text.to_owned())
        };
        self.vault.store.iter().filter_map(|(key, _)| ours(&key)).collect()
    }

    fn salted(&self, scope: &ScopeId) -> ScopeId {
        let mut salted = *scope;
        salted.0.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        salted
    }

    fn slot(&self, scope: &ScopeId) -> u32 {
        self.vault.table.slot(&self.salted(scope))
    }

    /// For Python's garbage collector.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.warn)?;
        visit.call(&self.make_key)
    }
}

/// What an entry is of.
pub struct StoredCall<'a> {
    /// Whose entry.
    pub family: &'a Arc<Family>,
    /// Canonical bytes.
    pub canonical: &'a [u8],
    /// The text of its key.
    pub text: &'a Text,
    /// Its scopes, without its own.
    pub scopes: &'a [ScopeId],
    /// How many of these, at the end, are soft.
    pub soft: usize,
    /// Its own.
    pub own: &'a ScopeId,
    /// The table's epoch before the function ran.
    pub epoch: u64,
    /// What happens around its end.
    pub windows: &'a Windows,
}

/// What [`entry::open`] would read of an entry, but for what was recorded, which is current.
pub fn header(entry: &Entry<Arc<Kept>>, plan: u64) -> Vec<u8> {
    let (cached_at, fill_us, tokens) = match &entry.fill {
        None => (0, 0, Vec::new()),
        Some(fill) => {
            let known = &fill.fence[..fill.fence.len() - fill.recorded.len()];
            let tokens = known.iter().map(|(slot, generation)| Table::token(*slot, *generation));
            (fill.cached_at, fill.fill_us, tokens.collect::<Vec<Token>>())
        }
    };
    let expires_at = Some(entry.expires_at()).filter(|&at| at != NEVER);
    let header =
        Header { plan, origin: 0, cached_at, expires_at, fill_us, tokens: &tokens, recorded: &[] };
    entry::seal(&header, &[])
}

impl Generations for View {
    fn get(&self, scope: &ScopeId) -> Option<Token> {
        self.vault.table.get(&self.salted(scope))
    }

    fn ensure(&self, scope: &ScopeId) -> Token {
        self.vault.table.ensure(&self.salted(scope))
    }

    fn renew(&self, scope: &ScopeId) {
        self.vault.table.renew(&self.salted(scope));
    }

    fn close(&self, scope: &ScopeId, writer: u64, until: i64) {
        self.vault.table.close(&self.salted(scope), writer, until);
    }

    fn open(&self, scope: &ScopeId, writer: u64) {
        self.vault.table.open(&self.salted(scope), writer);
    }

    fn clear(&self) {
        self.vault.table.clear();
    }

    fn note(&self, scope: &ScopeId, window: i64) {
        self.vault.table.note(&self.salted(scope), window);
    }

    fn replaced_at(&self, scope: &ScopeId, token: &Token) -> Option<i64> {
        self.vault.table.replaced_at(&self.salted(scope), token)
    }
}

fn push(text: &mut Text, part: &Bound<'_, PyString>) -> PyResult<()> {
    if let Ok(part) = part.to_str() {
        text.extend_from_slice(part.as_bytes());
    } else {
        let bytes = part.call_method1("encode", ("utf-8", "surrogatepass"))?;
        text.extend_from_slice(bytes.cast::<PyBytes>()?.as_bytes());
    }
    Ok(())
}

/// Whether other backends might not take a key with this text.
fn is_questionable(text: &[u8]) -> bool {
    let characters = || text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
    text.len() > LONGEST_TEXT && characters() > LONGEST_TEXT
        || text.iter().any(|&byte| byte < 33 || byte == 127)
}
