//! Commits.

use super::{FactSort, OrgModel};
use crate::random::Sha;

/// The most co-authors of a commit.
const MAX_CO_AUTHORS: usize = 2;

/// A commit of the default branch.
#[derive(Clone, Copy)]
pub(crate) struct GeneratedCommit {
    pub(crate) repo: u32,
    pub(crate) author: u32,
    /// Epoch seconds.
    pub(crate) at: i64,
    pub(crate) sha: Sha,
    pub(crate) is_merge: bool,
    /// Whether a force-push left it behind.
    pub(crate) is_retracted: bool,
    /// Whether the repository's fork has it, too.
    pub(crate) is_in_fork: bool,
    /// Lines added, lines deleted and files changed; `None` if GitHub refused to count them.
    pub(crate) lines: Option<[i64; 3]>,
    co_authors: [u32; MAX_CO_AUTHORS],
    co_author_count: u8,
}

impl GeneratedCommit {
    /// Returns the commit of a month with this number.
    pub(crate) fn generate(model: &OrgModel, month: usize, number: u64) -> Self {
        let random = &mut model.stream(FactSort::Commit, month, number);
        let repo = model.population.pick_repo(random);
        let author = model.population.pick_author(random);
        let at = model.pick_time(month, author, random);
        let is_in_fork = model.population.repos[repo as usize].fork.is_some() && random.chance(0.3);
        let mut lines = || {
            let (added, deleted) = (random.unit(), random.unit());
            let added = (added * added * added * added * 2000.0) as i64;
            let deleted = (deleted * deleted * deleted * deleted * deleted * 1500.0) as i64;
            [added, deleted, 1 + random.below(9) as i64]
        };
        let lines = lines();
        let co_author_count = match random.below(100) {
            0..92 => 0,
            92..98 => 1,
            _ => 2,
        };
        GeneratedCommit {
            repo,
            author,
            at,
            sha: random.sha(),
            is_merge: random.chance(0.08),
            is_retracted: random.chance(0.005),
            is_in_fork,
            lines: (!random.chance(0.002)).then_some(lines),
            co_authors: [model.population.pick_account(random), model.population.pick_account(random)],
            co_author_count,
        }
    }

    /// Returns the members that its message names as co-authors.
    pub(crate) fn co_authors(&self) -> &[u32] {
        &self.co_authors[..usize::from(self.co_author_count)]
    }
}
