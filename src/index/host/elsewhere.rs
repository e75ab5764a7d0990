//! Where there are no shared mappings of the kind that the table needs.

use super::HostError;
use crate::index::memory::{Memory, Region};
use std::path::Path;
use std::ptr::NonNull;

/// There is none.
pub enum HostFile {}

/// There is none.
pub enum Mapping {}

/// There is one.
pub fn user() -> u32 {
    0
}

impl HostFile {
    /// Fails.
    pub fn at(path: &Path, _user: Option<u32>) -> Result<Self, HostError> {
        let remedy = "leave HOST_INDEX out and run one process, or use a shared cache";
        Err(HostError::new(path, "this system has none", remedy))
    }

    pub fn map(&self) -> Result<Region, HostError> {
        match *self {}
    }

    pub fn inspect(&self) -> Result<(), HostError> {
        match *self {}
    }
}

impl Mapping {
    pub fn is_still_right(&self) -> bool {
        match *self {}
    }

    pub fn is_of_other_user(&self, _other: &Self) -> bool {
        match *self {}
    }

    pub fn is_of_same_file(&self, _other: &Self) -> bool {
        match *self {}
    }

    pub unsafe fn unmap(_memory: NonNull<Memory>) {}
}
