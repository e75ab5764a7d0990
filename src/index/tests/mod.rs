//! The table: alone, in a file, between processes, and as a model.

#[cfg(unix)]
mod host;
mod model;
#[cfg(unix)]
mod processes;
mod table;

use super::{Generations, ScopeId, Table};
use crate::clock;

/// What an entry is stored with.
type Fence = (u64, Vec<(u32, u64)>);

/// The table in this file.
#[cfg(unix)]
fn host(path: &std::path::Path) -> Result<Table, super::HostError> {
    Table::host(super::Place { path: path.to_owned(), per_user: false })
}

fn soon() -> i64 {
    clock::now_ms() + 60_000
}

/// A scope in this slot.
fn scope(slot: u32) -> ScopeId {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&slot.to_le_bytes());
    ScopeId(id)
}

/// What a fill keeps, if it may store.
fn fence(table: &Table, scopes: &[ScopeId]) -> Option<Fence> {
    let epoch = table.epoch();
    let fence = scopes.iter().map(|scope| {
        let token = table.ensure(scope);
        (!token.is_closed()).then(|| (table.slot(scope), Table::generation_of(&token)))
    });
    Some((epoch, fence.collect::<Option<_>>()?))
}

fn holds(table: &Table, (epoch, fence): &Fence) -> bool {
    table.holds(*epoch, fence, clock::now_ms())
}

fn is_closed(table: &Table, slot: u32) -> bool {
    table.ensure(&scope(slot)).is_closed()
}

/// A directory that goes when the test does.
#[cfg(unix)]
struct Directory(std::path::PathBuf);

#[cfg(unix)]
impl Directory {
    fn new() -> Self {
        Self::at(std::env::temp_dir())
    }

    fn at(parent: impl Into<std::path::PathBuf>) -> Self {
        let path = parent.into().join(format!("cr-{:016x}", super::memory::unique()));
        std::fs::create_dir(&path).unwrap();
        let directory = Self(path);
        directory.chmod(".", 0o700);
        directory
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }

    fn chmod(&self, name: &str, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.path(name), permissions).unwrap();
    }

    fn names(&self) -> Vec<std::ffi::OsString> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }
}

#[cfg(unix)]
impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
