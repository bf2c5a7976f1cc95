//! The tokens of a store.
//!
//! A token is two records: one under the hash of its secret, which requests read, and one under its name, which makes
//! names unique. Revoking deletes the first and marks the second, so the store remembers that it had tokens: a server
//! whose last token was revoked stays closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use gam_model::Clock;
use gam_store::{
    ChangeToken, CommitOutcome, Error as StoreError, Expectation, KeyPart, Record, RecordCommit,
    RecordCommitId, RecordKey, RecordKind, RecordRange, RecordStore, commit_until_answered,
};
use serde::{Deserialize, Serialize};

use crate::audit::{AuditKind, AuditRow};
use crate::known_tokens::KnownTokens;
use crate::principal::Principal;
use crate::role::{Role, RouteClass};
use crate::secret::TokenSecret;
use crate::token::{AccessToken, Scope};

/// The longest name of a token, in characters.
const MAX_NAME_CHARS: usize = 64;
/// Number of tokens that one read lists.
const PAGE_TOKENS: usize = 500;
/// The version of what the store holds of a token. A program refuses newer ones, which may restrict more.
const FORMAT: u32 = 1;

/// Why tokens could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The request is invalid. The text says why, and what to do.
    #[error("{0}")]
    Invalid(String),
    /// The store failed.
    #[error("cannot read or change the tokens in the store")]
    Store(#[from] StoreError),
}

/// What a new token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Of what.
    pub scope: Scope,
    /// The login of the member whose sessions its holder pushes. `None` if it pushes none.
    pub member: Option<String>,
    /// From when on it is refused, UTC. `None` if it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What the store knows of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenLookup {
    /// It belongs to this token.
    Valid(AccessToken),
    /// It belongs to this token, which is expired.
    Expired(AccessToken),
    /// It belongs to no token: it never did, or the token was revoked.
    Unknown,
}

/// How somebody names an approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApproverName<'a> {
    /// The name of the approver's token.
    Token(&'a str),
    /// The id of the principal: another token of the same name is another principal.
    Principal(&'a str),
}

/// What is stored under the hash of a secret.
#[derive(Serialize, Deserialize)]
struct StoredToken {
    format: u32,
    #[serde(flatten)]
    token: AccessToken,
}

/// What is stored under a name.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredName {
    /// The token with this name has a secret with this hash.
    Hash(String),
    /// The token with this name was revoked.
    RevokedAt(DateTime<Utc>),
}

/// The tokens of a store. Clones share it, and what is known of it.
#[derive(Clone)]
pub struct Tokens {
    records: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    known: Arc<Mutex<KnownTokens>>,
}

impl Tokens {
    /// Connects to the records of a store.
    pub fn new(records: Arc<dyn RecordStore>, clock: Arc<dyn Clock>) -> Self {
        Tokens { records, clock, known: Arc::default() }
    }

    /// Looks a secret up. Reads at most one record, and none while nothing in the store has changed. So a token that was
    /// revoked is unknown from then on.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, secret: &TokenSecret) -> Result<TokenLookup, AccessError> {
        let (now, hash, content) = (self.clock.now(), secret.hash(), self.records.content_token());
        let known = content.and_then(|content| self.known().of(content).token(&hash));
        let token = match known {
            Some(token) => token,
            None => {
                let Some(record) = self.records.get(&token_key(&hash)?, now).await? else {
                    return Ok(TokenLookup::Unknown);
                };
                let token = parse_token(&record)?;
                self.learn(content, |known| known.add(hash, token.clone()));
                token
            }
        };
        Ok(if token.is_expired(now) { TokenLookup::Expired(token) } else { TokenLookup::Valid(token) })
    }

    fn known(&self) -> MutexGuard<'_, KnownTokens> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what was read, if the store still has the content that it had before.
    fn learn(&self, content: Option<ChangeToken>, add: impl FnOnce(&mut KnownTokens)) {
        let content = content.filter(|content| self.records.content_token() == Some(*content));
        if let Some(content) = content {
            add(self.known().of(content));
        }
    }

    /// Returns whether there is a token, or was one that is expired or revoked.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn is_in_use(&self) -> Result<bool, AccessError> {
        if self.known().is_in_use() {
            return Ok(true);
        }
        let content = self.records.content_token();
        if content.is_some_and(|content| self.known().of(content).is_unused()) {
            return Ok(false);
        }
        let range = RecordRange::new(None, RecordKind::TokenName, &[])?;
        let is_in_use = !self.records.range(&range, 1, self.clock.now()).await?.is_empty();
        match is_in_use {
            true => self.known().set_in_use(),
            false => self.learn(content, KnownTokens::set_unused),
        }
        Ok(is_in_use)
    }

    /// Returns the tokens that are not revoked, in order of their names.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self) -> Result<Vec<AccessToken>, AccessError> {
        let now = self.clock.now();
        let mut range = RecordRange::new(None, RecordKind::Token, &[])?;
        let mut tokens = Vec::new();
        loop {
            let page = self.records.range(&range, PAGE_TOKENS, now).await?;
            for (_, record) in &page {
                tokens.push(parse_token(record)?);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_TOKENS => range = range.after(last),
                _ => break,
            }
        }
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tokens)
    }

    /// Returns who decides about actions in a repository of the organization with this storage key. `None` if there is no
    /// such token, it was revoked or is expired, or its role or its scope does not allow it. A store has few tokens, so all
    /// are read.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn approver(
        &self,
        name: ApproverName<'_>,
        (org, repo): (&str, &str),
    ) -> Result<Option<Principal>, AccessError> {
        let now = self.clock.now();
        let is_named = |token: &AccessToken| match name {
            ApproverName::Token(name) => token.name == name,
            ApproverName::Principal(id) => Principal::of_token(token).id == id,
        };
        let token = self.list().await?.into_iter().find(|token| !token.is_expired(now) && is_named(token));
        Ok(token
            .map(|token| Principal::of_token(&token))
            .filter(|approver| approver.may(RouteClass::Decide) && approver.scope.includes_repo(org, repo)))
    }

    /// Creates a token. Returns its secret, which nobody can read again. `principal` is who creates it.
    ///
    /// # Errors
    /// If the name is invalid or taken, the token would be expired, or the store fails.
    pub async fn create(
        &self,
        new: NewToken,
        principal: &str,
    ) -> Result<(TokenSecret, AccessToken), AccessError> {
        let now = self.clock.now().trunc_subsecs(0);
        let NewToken { name, role, scope, member, expires_at } = new;
        check_name(&name)?;
        if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at <= now) {
            return Err(AccessError::Invalid(format!(
                "the token would have expired at {}: give a later time",
                expires_at.format("%Y-%m-%d %H:%M UTC")
            )));
        }
        let secret = TokenSecret::random();
        let commit = RecordCommit::new(RecordCommitId::random());
        let id = commit.id().to_string()[..16].to_owned();
        let token = AccessToken { id, name, role, scope, member, created_at: now, expires_at };
        let name_key = name_key(&token.name)?;
        let expectation = match self.records.get(&name_key, now).await? {
            None => Expectation::Absent,
            Some(record) => match parse_name(&record)? {
                StoredName::RevokedAt(_) => Expectation::Revision(record.revision),
                StoredName::Hash(_) => return Err(name_taken(&token.name)),
            },
        };
        let body = to_json(&StoredToken { format: FORMAT, token: token.clone() });
        let commit = commit.put(token_key(&secret.hash())?, body, Expectation::Absent).put(
            name_key,
            to_json(&StoredName::Hash(secret.hash())),
            expectation,
        );
        let commit = audit_row(AuditKind::TokenCreated, &token, principal, now).add_to(commit)?;
        match commit_until_answered(&*self.records, &commit, now).await? {
            CommitOutcome::Committed => Ok((secret, token)),
            CommitOutcome::Conflict(_) => Err(name_taken(&token.name)),
        }
    }

    /// Revokes the token with a name: it is refused from now on. Returns it. `principal` is who revokes it.
    ///
    /// # Errors
    /// If there is no such token, or the store fails.
    pub async fn revoke(&self, name: &str, principal: &str) -> Result<AccessToken, AccessError> {
        let now = self.clock.now().trunc_subsecs(0);
        check_name(name)?;
        let unknown = || {
            AccessError::Invalid(format!(
                "there is no token {name:?}: `github-metrics token list` lists them"
            ))
        };
        let name_key = name_key(name)?;
        let name_record = self.records.get(&name_key, now).await?.ok_or_else(unknown)?;
        let StoredName::Hash(hash) = parse_name(&name_record)? else { return Err(unknown()) };
        let token_key = token_key(&hash)?;
        let token_record = self.records.get(&token_key, now).await?.ok_or_else(unknown)?;
        let token = parse_token(&token_record)?;
        let commit = RecordCommit::new(RecordCommitId::random())
            .delete(token_key, Expectation::Revision(token_record.revision))
            .put(name_key, to_json(&StoredName::RevokedAt(now)), Expectation::Revision(name_record.revision));
        let commit = audit_row(AuditKind::TokenRevoked, &token, principal, now).add_to(commit)?;
        match commit_until_answered(&*self.records, &commit, now).await? {
            CommitOutcome::Committed => Ok(token),
            // Another process revoked it in the meantime.
            CommitOutcome::Conflict(_) => Err(unknown()),
        }
    }
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_NAME_CHARS).contains(&name.len()) && name.bytes().all(is_allowed) && !name.starts_with('-') {
        return Ok(());
    }
    Err(AccessError::Invalid(format!(
        "invalid name of a token: expected up to {MAX_NAME_CHARS} letters, digits, `.`, `_` or `-`, such as ci-export"
    )))
}

fn name_taken(name: &str) -> AccessError {
    AccessError::Invalid(format!(
        "there is a token {name:?} already: choose another name, or run `github-metrics token revoke {name}` first"
    ))
}

fn audit_row(kind: AuditKind, token: &AccessToken, principal: &str, time: DateTime<Utc>) -> AuditRow {
    let what = if kind == AuditKind::TokenCreated { "created" } else { "revoked" };
    let mut subject = format!("token:{} {} {}", token.id, token.name, token.role.as_str());
    // Sessions that are pushed with the token are credited to the member.
    if let Some(member) = &token.member {
        subject.push_str(&format!(" of {member}"));
    }
    AuditRow::new(format!("token:{}:{what}", token.id), None, time, principal, kind, subject)
}

fn token_key(hash: &str) -> gam_store::Result<RecordKey> {
    RecordKey::new(None, RecordKind::Token, &[KeyPart::Text(hash)])
}

fn name_key(name: &str) -> gam_store::Result<RecordKey> {
    RecordKey::new(None, RecordKind::TokenName, &[KeyPart::Text(name)])
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the fields have only text keys")
}

fn damaged(what: impl std::fmt::Display) -> AccessError {
    AccessError::Store(StoreError::Unusable {
        what: format!(
            "the record of a token cannot be read ({what}): upgrade github-metrics, or revoke the token"
        ),
        source: None,
    })
}

fn parse_token(record: &Record) -> Result<AccessToken, AccessError> {
    let stored: StoredToken = serde_json::from_str(&record.body).map_err(damaged)?;
    if stored.format > FORMAT {
        return Err(damaged(format!("its format is {}, this program reads {FORMAT}", stored.format)));
    }
    Ok(stored.token)
}

fn parse_name(record: &Record) -> Result<StoredName, AccessError> {
    serde_json::from_str(&record.body).map_err(damaged)
}
