//! What the store said about tokens, for as long as its content stays the same.

use std::collections::HashMap;

use gam_store::ChangeToken;

use crate::token::AccessToken;

/// The most tokens that are remembered. Only tokens that exist are.
const MAX_TOKENS: usize = 1_000;

/// What is known of the tokens of a store. It is right while the store has the [`ChangeToken`] under which it was read:
/// that changes with each commit of any process, so a revoked token is refused at once.
#[derive(Default)]
pub(crate) struct KnownTokens {
    content: Option<ChangeToken>,
    /// Whether the store has or had tokens. That stays so, whatever changes.
    is_in_use: bool,
    /// Whether it never had one.
    is_unused: bool,
    by_hash: HashMap<String, AccessToken>,
}

impl KnownTokens {
    /// Returns what is known of the store while it has this content. Forgets what was known of another one.
    pub(crate) fn of(&mut self, content: ChangeToken) -> &mut Self {
        if self.content != Some(content) {
            let is_in_use = self.is_in_use;
            *self = KnownTokens { content: Some(content), is_in_use, ..KnownTokens::default() };
        }
        self
    }

    /// Returns whether a token was seen in the store.
    pub(crate) fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    /// Remembers that the store has or had tokens.
    pub(crate) fn set_in_use(&mut self) {
        self.is_in_use = true;
    }

    /// Returns whether the store is known to have had no token.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_unused
    }

    /// Remembers that the store had no token so far.
    pub(crate) fn set_unused(&mut self) {
        self.is_unused = true;
    }

    /// Returns the token whose secret has this hash, if it is known.
    pub(crate) fn token(&self, hash: &str) -> Option<AccessToken> {
        self.by_hash.get(hash).cloned()
    }

    pub(crate) fn add(&mut self, hash: String, token: AccessToken) {
        if self.by_hash.len() >= MAX_TOKENS {
            self.by_hash.clear();
        }
        self.by_hash.insert(hash, token);
    }
}
