//! A table in a file that every process of the host maps.

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(not(unix))]
#[path = "host/elsewhere.rs"]
mod file;
#[cfg(unix)]
mod file;

pub use file::{HostFile, Mapping};

/// Where the file is.
pub struct Place {
    /// The file; the one of a user is where its extension is his number.
    pub path: PathBuf,
    /// Each user has a file of his own, and a process that of the user that it runs as now: a server
    /// may load the project as another than its workers are.
    pub per_user: bool,
}

impl Place {
    /// The file, for this process as it is now.
    pub fn file(&self) -> Result<HostFile, HostError> {
        let user = self.per_user.then(file::user);
        match user {
            None => HostFile::at(&self.path, None),
            Some(user) => HostFile::at(&self.path.with_extension(user.to_string()), Some(user)),
        }
    }
}

/// Why a file cannot be the table, and what to do about it.
#[derive(Debug, Clone)]
pub struct HostError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
    /// What to write, or to do, instead.
    pub remedy: &'static str,
}

impl HostError {
    fn new(path: &Path, reason: impl Into<String>, remedy: &'static str) -> Self {
        Self { path: path.to_owned(), reason: reason.into(), remedy }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, remedy } = self;
        write!(
            f,
            "cache_result: the host index {} cannot be used: {reason}; {remedy}",
            path.display()
        )
    }
}

impl std::error::Error for HostError {}
