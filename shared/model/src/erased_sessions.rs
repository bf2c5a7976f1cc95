//! The sessions that an organization has erased.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::field_text::FieldText;
use crate::session_event::SessionEvent;

/// The sessions that were erased, by the SHA-256 of their ids. The list only grows.
///
/// An id of a session is random, so nobody finds it by its hash. Whoever has the id finds the hash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasedSessions {
    /// In hex.
    hashes: BTreeSet<String>,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowEdit<R> {
    /// It stays as it is.
    Keep,
    /// This row takes its place. It has the same id, group and time.
    Replace(Box<R>),
    /// It is deleted.
    Delete,
}

impl ErasedSessions {
    /// Creates a list of hashes as [`ErasedSessions::hashes`] returns them.
    ///
    /// # Errors
    /// If a text is no hash. The message is about the configuration.
    pub fn from_hashes(hashes: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let hashes: BTreeSet<String> = hashes.into_iter().collect();
        let is_hash = |text: &&String| {
            text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        match hashes.iter().find(|text| !is_hash(text)) {
            None => Ok(ErasedSessions { hashes }),
            Some(text) => Err(format!(
                "invalid hash {text:?} in erased of [sessions]: expected 64 hex digits; `github-metrics erase session` \
                 adds them"
            )),
        }
    }

    /// Returns the hash of the id of a session.
    pub fn hash(session: &FieldText) -> String {
        hex::encode(Sha256::digest(session.as_str().as_bytes()))
    }

    /// Returns the hashes, in order.
    pub fn hashes(&self) -> impl ExactSizeIterator<Item = &str> {
        self.hashes.iter().map(String::as_str)
    }

    /// Returns the number of sessions. As the list only grows, a snapshot to which fewer sessions were erased has
    /// an older list.
    pub fn count(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// Returns whether no session was erased.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Returns whether the session with this id was erased.
    pub fn contains(&self, session: &FieldText) -> bool {
        !self.is_empty() && self.hashes.contains(&Self::hash(session))
    }

    /// Adds the hash of a session. Returns whether it is new.
    pub fn insert(&mut self, hash: String) -> bool {
        self.hashes.insert(hash)
    }

    /// Adds the sessions of another list.
    pub fn extend(&mut self, other: &ErasedSessions) {
        self.hashes.extend(other.hashes.iter().cloned());
    }

    /// Returns what becomes of a row: those of an erased session, and of an agent that it started, are deleted. A row of a
    /// session that continues the history of an erased one no longer names it.
    pub fn edit(&self, row: &SessionEvent) -> RowEdit<SessionEvent> {
        if self.is_empty() {
            return RowEdit::Keep;
        }
        if self.contains(&row.session)
            || row.facts.subagent.as_ref().is_some_and(|agent| self.contains(agent))
        {
            return RowEdit::Delete;
        }
        if row.facts.forked_from.as_ref().is_some_and(|session| self.contains(session)) {
            let mut row = row.clone();
            row.facts.forked_from = None;
            return RowEdit::Replace(Box::new(row));
        }
        RowEdit::Keep
    }

    /// Returns the row as it may be stored; `None` if it must not be.
    pub fn apply(&self, row: SessionEvent) -> Option<SessionEvent> {
        match self.edit(&row) {
            RowEdit::Keep => Some(row),
            RowEdit::Replace(row) => Some(*row),
            RowEdit::Delete => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::member::Member;
    use crate::session_event::{CodingAgent, SessionEventKind, SessionFacts};

    fn row(session: &str, facts: SessionFacts) -> SessionEvent {
        SessionEvent {
            id: FieldText::new("agent:claude:session:s:2026-01-01"),
            version: 1,
            kind: SessionEventKind::AgentSession,
            org: "acme".into(),
            repo: "site".into(),
            repo_id: 7,
            member: Member::account("ann", Some(1), false),
            occurred_at: DateTime::UNIX_EPOCH,
            collected_at: DateTime::UNIX_EPOCH,
            retracted: false,
            reading: 1,
            agent: CodingAgent::Claude,
            session: FieldText::new(session),
            facts,
        }
    }

    fn erased(session: &str) -> ErasedSessions {
        let mut erased = ErasedSessions::default();
        assert!(erased.insert(ErasedSessions::hash(&FieldText::new(session))));
        erased
    }

    #[test]
    fn rows_of_the_session_and_of_its_agents_are_deleted_and_links_to_it_removed() {
        let facts = || SessionFacts { prompts: Some(3), ..SessionFacts::default() };
        let fork = SessionFacts { forked_from: Some(FieldText::new("s1")), ..facts() };
        let agent = SessionFacts { subagent: Some(FieldText::new("s1")), ..facts() };
        let erased = erased("s1");
        assert_eq!(erased.apply(row("s1", facts())), None);
        assert_eq!(erased.apply(row("s0", agent)), None);
        assert_eq!(erased.apply(row("s2", facts())), Some(row("s2", facts())));
        assert_eq!(erased.apply(row("s2", fork.clone())), Some(row("s2", facts())), "the link is removed");
        assert_eq!(ErasedSessions::default().edit(&row("s2", fork)), RowEdit::Keep);
    }

    #[test]
    fn the_list_holds_no_id_and_refuses_what_is_no_hash() {
        let erased = erased("0b1c4f2e-session");
        assert!(erased.hashes().all(|hash| hash.len() == 64 && !hash.contains("session")));
        let again = ErasedSessions::from_hashes(erased.hashes().map(str::to_owned));
        assert_eq!(again, Ok(erased));
        let error = ErasedSessions::from_hashes(["0b1c4f2e-session".to_owned()]).unwrap_err();
        assert!(error.contains("64 hex digits"), "{error}");
    }
}
