//! The prefix index: which generation each scope is in.

mod closings;
pub mod grace;
mod host;
mod memory;
mod process;
mod slots;
mod table;
mod tag;
mod token;

#[cfg(test)]
mod tests;

pub use grace::Grace;
pub use host::{HostError, Place};
pub use process::ProcessIndex;
pub use table::Table;
pub use tag::Recorded;
pub use token::{ScopeId, Token};

/// Where the generations of an in-process cache are.
pub trait Generations: Send + Sync {
    /// The current token, if there is one: [`Token::closed`] while the scope is closed.
    fn get(&self, scope: &ScopeId) -> Option<Token>;

    /// The current token, made now if there is none.
    fn ensure(&self, scope: &ScopeId) -> Token;

    /// Starts a new generation.
    fn renew(&self, scope: &ScopeId);

    /// Closes a scope for `writer` of this process until he opens it, or until `until` (ms since the
    /// epoch), when he is believed dead. Its generation is a new one then.
    fn close(&self, scope: &ScopeId, writer: u64, until: i64);

    /// Ends a writer's closing of a scope.
    fn open(&self, scope: &ScopeId, writer: u64);

    /// Changes the generation of every scope.
    fn clear(&self);

    /// Notes which generation a soft scope is in, before that changes; see [`Grace`]. An earlier note stays for
    /// `window` ms.
    fn note(&self, scope: &ScopeId, window: i64);

    /// When a soft scope's token was replaced (ms since the epoch), if that was noted.
    fn replaced_at(&self, scope: &ScopeId, token: &Token) -> Option<i64>;
}
