//! Tags that a function adds while it runs.
//!
//! Their generations have to be those from before it ran, and nobody knew then which tags they would be. What
//! is read afterwards will do where it is older than the run. Where it is not, as of a tag that nobody
//! has used before, no tag at all must have been invalidated meanwhile: [`ScopeId::tags`] tells, whose
//! generation changes before that of any tag does.

use super::Landing;
use super::run::Call;
use crate::clock::{self, SKEW_MS};
use crate::flight::Ticket;
use crate::index::{Recorded, ScopeId, Token};
use crate::port::{Answer, Ask};

/// An entry with more of them is invalidated with any tag.
const MOST: usize = 1000;

/// What is known before the function runs.
pub(super) struct Watch {
    /// Generations that are older have not changed since (ms since the epoch).
    since: i64,
    /// The generation of all tags.
    tags: Option<Token>,
}

impl<E: AsRef<[u8]>, V: Clone> Call<E, V> {
    /// What has to be known before the function runs.
    pub(super) async fn watch(&self) -> Watch {
        let since = clock::now_ms();
        if let Some(snapshot) = self.surroundings.snapshot {
            return Watch { since: since.min(snapshot), tags: None };
        }
        // Each time where that costs nothing, as it is not known of every function that it adds any.
        let wanted = self.target.adds_tags || self.target.index.is_some();
        let tags = if wanted { self.ensured(&[ScopeId::tags()]).await } else { None };
        Watch { since, tags: tags.map(|tokens| tokens[0]) }
    }

    /// What the function has added, with the generations from before it ran. `None`: they are not known.
    pub(super) async fn recorded(
        &self,
        watch: &Watch,
        tickets: &[Ticket<Landing<V>>],
    ) -> Option<Vec<Recorded>> {
        let Answer::Scopes(mut scopes) = self.port.ask(Ask::Added).await else { return None };
        if scopes.is_empty() {
            return Some(Vec::new());
        }
        if scopes.len() > MOST {
            scopes = vec![ScopeId::tags()];
        }
        for ticket in tickets {
            // Those who come later do not know of these scopes, so they could not tell.
            ticket.depart();
        }
        let tokens = self.ensured(&scopes).await?;
        let is_older = |token: &Token| token.drawn_at().saturating_add(SKEW_MS) < watch.since;
        // In this order: who has seen a tag's new generation sees that of all tags.
        if !tokens.iter().all(is_older)
            && (watch.tags.is_none()
                || self.ensured(&[ScopeId::tags()]).await.map(|tokens| tokens[0]) != watch.tags)
        {
            return None;
        }
        let recorded = scopes.into_iter().zip(tokens);
        Some(recorded.map(|(scope, token)| Recorded { scope, token }).collect())
    }

    /// The generations of these scopes, made where there are none. `None` if one of them is closed or not
    /// to be had.
    async fn ensured(&self, scopes: &[ScopeId]) -> Option<Vec<Token>> {
        let tokens: Vec<Token> = if let Some(index) = &self.target.index {
            scopes.iter().map(|scope| index.ensure(scope)).collect()
        } else {
            let ask = Ask::Ensure { scopes: scopes.to_vec() };
            let Answer::Tokens(Some(tokens)) = self.port.ask(ask).await else { return None };
            tokens.into_iter().collect::<Option<_>>()?
        };
        tokens.iter().all(|token| !token.is_closed()).then_some(tokens)
    }
}
