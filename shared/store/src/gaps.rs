//! What could not be read from GitHub, and is missing in the numbers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How many gaps of one repository are stored.
pub const MAX_GAPS_PER_REPO: usize = 20;
/// How many gaps an answer lists.
pub const MAX_LISTED_GAPS: usize = 20;
/// The most characters of a reason that are stored.
const MAX_WHY_CHARS: usize = 500;

/// Stands for the name of a repository if something is missing of all repositories.
pub const ALL_REPOS: &str = "*";

/// Something that could not be read, and is missing in the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The repository's name without the owner; [`ALL_REPOS`] for all of them.
    pub repo: String,
    /// What is missing: `month` (of all repositories, because the lake has lost it), `repository`, `blocked` (the same, because GitHub blocks it), `commits`, `line_counts`,
    /// `pull_requests`, `issues`, `releases` or `deployments`.
    pub kind: String,
    /// The number of the pull request or issue, or the numeric id of the release or deployment, if a single one is
    /// missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// When the missing span begins, UTC. `None` if it has no beginning.
    pub from: Option<DateTime<Utc>>,
    /// When the missing span ends, UTC. `None` if it has no end yet.
    pub until: Option<DateTime<Utc>>,
    /// The reason, for people.
    pub why: String,
}

impl Gap {
    /// Returns whether both are the same gap, perhaps with another reason.
    pub fn is_same(&self, other: &Gap) -> bool {
        (&self.repo, &self.kind, self.number) == (&other.repo, &other.kind, other.number)
            && (self.number.is_some() || self.kind != "commits" || self.from == other.from)
    }
}

/// The gaps of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepoGaps {
    /// The first gaps, [`MAX_GAPS_PER_REPO`] at most.
    pub listed: Vec<Gap>,
    /// Number of further gaps.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
    /// From when on the repository is complete, UTC, if that is later than what was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete_since: Option<DateTime<Utc>>,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl RepoGaps {
    /// Keeps as many gaps as are stored, and counts the others.
    pub fn new(mut gaps: Vec<Gap>, complete_since: Option<DateTime<Utc>>) -> Self {
        let more = gaps.len().saturating_sub(MAX_GAPS_PER_REPO) as u64;
        gaps.truncate(MAX_GAPS_PER_REPO);
        for gap in &mut gaps {
            if let Some((end, _)) = gap.why.char_indices().nth(MAX_WHY_CHARS) {
                gap.why.truncate(end);
            }
        }
        RepoGaps { listed: gaps, more, complete_since }
    }

    /// Returns whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.more == 0 && self.complete_since.is_none()
    }
}

/// The gaps of an organization, by repository id. Repositories whose id is unknown, because the token may not
/// read them, have the id 0.
pub type GapsByRepo = BTreeMap<i64, RepoGaps>;

/// Returns the first gaps, [`MAX_LISTED_GAPS`] at most, and the number of all.
pub fn list_gaps<'a>(repos: impl Iterator<Item = &'a RepoGaps>) -> (Vec<Gap>, u64) {
    let (mut listed, mut count) = (Vec::new(), 0);
    for gaps in repos {
        count += gaps.listed.len() as u64 + gaps.more;
        let room = MAX_LISTED_GAPS - listed.len();
        listed.extend(gaps.listed.iter().take(room).cloned());
    }
    (listed, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(number: i64) -> Gap {
        let why = "é".repeat(600);
        let kind = "issues".into();
        Gap { repo: "site".into(), kind, number: Some(number), from: None, until: None, why }
    }

    #[test]
    fn stored_and_listed_gaps_are_bounded() {
        let many = RepoGaps::new((0..50).map(gap).collect(), None);
        assert_eq!((many.listed.len(), many.more), (MAX_GAPS_PER_REPO, 30));
        assert_eq!(many.listed[0].why.chars().count(), MAX_WHY_CHARS);
        let few = RepoGaps::new(vec![gap(1)], None);
        let (listed, count) = list_gaps([&few, &many].into_iter());
        assert_eq!((listed.len(), count), (MAX_LISTED_GAPS, 51));
        assert!(RepoGaps::new(Vec::new(), None).is_empty());
    }
}
