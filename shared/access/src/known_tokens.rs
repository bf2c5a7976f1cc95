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
    is_in_use: Option<bool>,
    by_hash: HashMap<String, AccessToken>,
}

impl KnownTokens {
    /// Returns what is known of the store while it has this content. Forgets what was known of another one.
    pub(crate) fn of(&mut self, content: ChangeToken) -> &mut Self {
        if self.content != Some(content) {
            *self = KnownTokens { content: Some(content), ..KnownTokens::default() };
        }
        self
    }

    /// Returns whether the store has or had tokens, if that is known.
    pub(crate) fn is_in_use(&self) -> Option<bool> {
        self.is_in_use
    }

    pub(crate) fn set_in_use(&mut self, is_in_use: bool) {
        self.is_in_use = Some(is_in_use);
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
