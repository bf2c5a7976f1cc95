//! Signed links for approvers: who has one decides as the approver that it names, without signing in.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use gam_access::{ApproverName, AuditKind, Requester, Tokens};
use gam_store::{CommitOutcome, RecordCommit, RecordCommitId, commit_until_answered};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::action::{ActionId, Phase};
use super::entries::row_about;
use super::{ActionError, Actions};

/// The path of the page of a link. Its parameter `link` is the text of the link: logs have paths, and no parameters.
pub const LINK_PATH: &str = "/approve";
/// The longest time that a link is valid.
pub const MAX_LINK_LIFETIME: TimeDelta = TimeDelta::hours(72);
/// The shortest key, in bytes.
pub const MIN_LINK_KEY_BYTES: usize = 16;
/// The longest text of a link that is looked at.
const MAX_LINK_BYTES: usize = 1_000;
/// What the signature is about, so that the key can never sign anything else.
const CONTEXT: &[u8] = b"github-metrics approval link 1\n";

/// What a link is about. Whoever changes one of these breaks its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalLink {
    /// The action.
    #[serde(rename = "a")]
    pub action: ActionId,
    /// The content hash of the action. After a push, the link decides nothing.
    #[serde(rename = "h")]
    pub hash: String,
    /// Who decides with the link: the id of a principal with a token, such as `token:0123456789abcdef`.
    #[serde(rename = "p")]
    pub approver: String,
    /// From when on it is refused, UTC, in seconds.
    #[serde(rename = "e", with = "chrono::serde::ts_seconds")]
    pub expires_at: DateTime<Utc>,
}

/// Signs and checks links. Clones share the key.
#[derive(Clone)]
pub struct ApprovalLinks {
    key: Arc<hmac::Key>,
    public_url: String,
}

/// Without the key.
impl fmt::Debug for ApprovalLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalLinks({})", self.public_url)
    }
}

impl ApprovalLinks {
    /// Takes the key and the address at which people reach the server, such as `https://metrics.example.com`. With another
    /// key, all links are void.
    ///
    /// # Errors
    /// If the key is shorter than [`MIN_LINK_KEY_BYTES`]. The message does not contain it.
    pub fn new(key: &[u8], public_url: &str) -> Result<Self, String> {
        if key.len() < MIN_LINK_KEY_BYTES {
            return Err(format!(
                "is too short: expected at least {MIN_LINK_KEY_BYTES} characters, such as the output of `openssl rand -hex 32`"
            ));
        }
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, key));
        Ok(ApprovalLinks { key, public_url: public_url.trim_end_matches('/').to_owned() })
    }

    /// Returns the address of the page of a link.
    pub fn url(&self, link: &ApprovalLink) -> String {
        format!("{}{LINK_PATH}?link={}", self.public_url, self.sign(link))
    }

    /// Returns the text of a link: what it is about, and the signature.
    pub fn sign(&self, link: &ApprovalLink) -> String {
        let content = serde_json::to_vec(link).expect("the fields have only text keys");
        let signature = hmac::sign(&self.key, &[CONTEXT, &content].concat());
        format!("{}.{}", URL_SAFE_NO_PAD.encode(content), URL_SAFE_NO_PAD.encode(signature))
    }

    /// Returns what the text of a link is about, or `None` if this server has not signed it. It may have expired.
    pub fn verify(&self, text: &str) -> Option<ApprovalLink> {
        let (content, signature) = text.split_once('.').filter(|_| text.len() <= MAX_LINK_BYTES)?;
        let (content, signature) =
            (URL_SAFE_NO_PAD.decode(content).ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        hmac::verify(&self.key, &[CONTEXT, &content].concat(), &signature).ok()?;
        serde_json::from_slice(&content).ok()
    }
}

impl Actions {
    /// Makes the link with which an approver decides about an action that waits, and records that in the audit log.
    /// `requester` is who makes it. `approver` is the name of one of the tokens. Give the link to nobody but the approver.
    /// Send [`ApprovalLinks::url`] of it.
    ///
    /// # Errors
    /// `NotFound` if there is no such action; `Conflict` if it does not wait; `Invalid` if no approver of its repository has
    /// a valid token of this name; `Forbidden` if the approver requested it.
    pub async fn make_link(
        &self,
        requester: &Requester,
        id: &ActionId,
        (tokens, approver): (&Tokens, &str),
    ) -> Result<ApprovalLink, ActionError> {
        let now = self.clock.now();
        let action = self.get(id).await?.ok_or_else(super::requests::unknown_action)?;
        let Phase::Waiting { until } = action.phase else {
            return Err(super::requests::does_not_wait(&action));
        };
        let place = (action.id.org.as_str(), action.repo.name.as_str());
        let named = tokens.approver(ApproverName::Token(approver), place).await?;
        let approver = named.ok_or_else(|| {
            ActionError::Invalid(format!(
                "invalid approver {approver:?}: expected the name of a token of an approver that includes {}, as \
                 `github-metrics token list` shows it",
                action.repo
            ))
        })?;
        if action.principal == approver.id {
            return Err(ActionError::Forbidden(
                "the approver requested this action: make a link for somebody else".to_owned(),
            ));
        }
        let link = ApprovalLink {
            action: id.clone(),
            hash: action.content_hash(),
            approver: approver.id,
            expires_at: until.min(now + MAX_LINK_LIFETIME).trunc_subsecs(0),
        };
        let commit = RecordCommit::new(RecordCommitId::random());
        let what = format!("link:{}", commit.id());
        let row = row_about(&action, &what, AuditKind::ApprovalLinkCreated, requester, now)
            .with_detail("approver", &*link.approver)
            .with_detail("expires_at", link.expires_at.to_rfc3339());
        let commit = row.add_to(commit)?;
        match commit_until_answered(&*self.records, &commit, now).await? {
            CommitOutcome::Committed => Ok(link),
            CommitOutcome::Conflict(_) => Err(ActionError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";

    fn link() -> ApprovalLink {
        ApprovalLink {
            action: ActionId::parse("acme.1795000000000.9f3a2b1c0d4e5f60").unwrap(),
            hash: "ab".repeat(32),
            approver: "token:1".to_owned(),
            expires_at: "2026-03-01T10:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_link_is_about_what_was_signed() {
        let links = ApprovalLinks::new(KEY, "https://metrics.example.com/").unwrap();
        let url = links.url(&link());
        let text = url.strip_prefix("https://metrics.example.com/approve?link=").unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{text}");
        assert_eq!(links.verify(text), Some(link()));
        assert!(!format!("{links:?}").contains("0123"));
    }

    #[test]
    fn a_changed_link_is_refused() {
        let links = ApprovalLinks::new(KEY, "").unwrap();
        let text = links.sign(&link());
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last character of base64 has bits that mean nothing; they must be zero.
            assert_eq!(links.verify(&changed), None, "{index}");
        }
        let other = ApprovalLinks::new(b"another key of 25 letters", "").unwrap();
        assert_eq!(other.verify(&text), None);
        for text in ["", ".", "a.b", &"x".repeat(2_000), text.trim_end_matches(|_: char| true)] {
            assert_eq!(links.verify(text), None);
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(ApprovalLinks::new(b"hunter2", "").unwrap_err().contains("too short"));
    }
}
