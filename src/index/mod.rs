//! The prefix index: which generation each scope is in.

mod process;
mod token;

pub use process::ProcessIndex;
pub use token::{ScopeId, Token};
