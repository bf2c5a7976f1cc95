//! The id of a claim.

use std::fmt;

use gam_store::RecordCommitId;

/// Number of hexadecimal digits of the commit that made the claim. They make ids unique even after the record of a task
/// was deleted, and hard to guess.
const NONCE_CHARS: usize = 12;

/// The id of a claim: which issue it is about, its fence, and part of the id of its commit. So the task is found
/// without an index. `acme.1234.42.3-9f3a2b1c0d4e` is the third claim of issue 42 of a repository of acme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimId {
    /// The storage key of the organization.
    pub org: String,
    /// GitHub's id of the repository.
    pub repo_id: i64,
    /// The number of the issue.
    pub number: i64,
    /// The fence of the claim.
    pub fence: u64,
    /// The beginning of the id of the claim's commit.
    pub nonce: String,
}

impl ClaimId {
    /// Returns the part of a commit's id that the ids of its claims end with.
    pub(super) fn nonce_of(commit: RecordCommitId) -> String {
        commit.to_string()[..NONCE_CHARS].to_owned()
    }

    /// Parses what [`fmt::Display`] writes. `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (org, repo_id, number, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let (fence, nonce) = rest.split_once('-')?;
        let id = ClaimId {
            org: org.to_owned(),
            repo_id: repo_id.parse().ok()?,
            number: number.parse().ok()?,
            fence: fence.parse().ok()?,
            nonce: nonce.to_owned(),
        };
        let is_valid = !org.is_empty() && id.repo_id >= 0 && id.number >= 0 && parts.next().is_none();
        // Only one text means each claim.
        (is_valid && id.to_string() == text && nonce.len() == NONCE_CHARS).then_some(id)
    }
}

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClaimId { org, repo_id, number, fence, nonce } = self;
        write!(f, "{org}.{repo_id}.{number}.{fence}-{nonce}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_a_round_trip() {
        let nonce = ClaimId::nonce_of(RecordCommitId::random());
        let id = ClaimId { org: "ac-me".to_owned(), repo_id: 1234, number: 42, fence: 3, nonce };
        assert_eq!(ClaimId::parse(&id.to_string()), Some(id));
        for invalid in [
            "",
            "acme.1.2.3",
            "acme.1.2.3-",
            "acme.1.2.3-abc",
            "acme.1.2.+3-0123456789ab",
            "acme.01.2.3-0123456789ab",
            "acme.-1.2.3-0123456789ab",
            ".1.2.3-0123456789ab",
            "acme.1.2.3-0123456789ab.5",
        ] {
            assert_eq!(ClaimId::parse(invalid), None, "{invalid}");
        }
    }
}
