//! The items of the table `sessions` of a month, decoded: what coding agents did and used.
//!
//! Each subject has its days, with the parts of models, tools and branches. A list has the days of all repositories, or of
//! all members, without these parts: so a list over any range is one read.

use gam_model::{AgentCounter, AgentDimension};

use crate::distribution::Distribution;
use crate::items::{DisplayName, ListedSubject};
use crate::totals::Side;

/// The values of all counters, indexed by [`AgentCounter`].
pub type AgentCounts = [u64; AgentCounter::COUNT];

/// Adds counters to others.
pub fn add_counts(counts: &mut AgentCounts, added: &AgentCounts) {
    for (count, added) in counts.iter_mut().zip(added) {
        *count = count.saturating_add(*added);
    }
}

/// What was counted of session events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentTotals {
    /// The counters.
    pub counts: AgentCounts,
    /// The active time of the sessions that began, in seconds.
    pub session_lengths: Distribution,
}

impl AgentTotals {
    /// Adds to a counter.
    pub fn add(&mut self, counter: AgentCounter, amount: u64) {
        let count = &mut self.counts[counter as usize];
        *count = count.saturating_add(amount);
    }

    /// Adds the totals of other events.
    pub fn merge(&mut self, other: &AgentTotals) {
        add_counts(&mut self.counts, &other.counts);
        self.session_lengths.merge(&other.session_lengths);
    }

    /// Returns whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0) && self.session_lengths.is_empty()
    }
}

/// What one side did on a day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentSide {
    /// The totals.
    pub totals: AgentTotals,
    /// The members with an event, as ascending indexes into the item's members. Empty if the subject is a member.
    pub members: Vec<u32>,
    /// The counters by model, tool and branch, indexed by [`AgentDimension`]: ascending indexes into the item's names.
    pub parts: [Vec<(u32, AgentCounts)>; AgentDimension::COUNT],
}

/// The sides of a day, ascending, each at most once. Those of session events are people and bots.
pub type AgentSides = Vec<(Side, AgentSide)>;

/// A subject's month, day by day.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentDaysItem {
    /// The latest display name; `None` unless the subject is a member.
    pub name: Option<DisplayName>,
    /// The keys of the members that the days name, ascending.
    pub members: Vec<String>,
    /// The models, tools and branches that the days name, ascending, indexed by [`AgentDimension`]. A branch is
    /// [`branch_key`].
    pub names: [Vec<String>; AgentDimension::COUNT],
    /// The days with events, ascending, by the number of the [`DayOfMonth`](gam_model::DayOfMonth).
    pub days: Vec<(u8, AgentSides)>,
}

/// All repositories, or all members, with a session event in a month.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentListItem {
    /// The keys of the members that the days name, ascending. Empty in a list of members.
    pub members: Vec<String>,
    /// The subjects, ascending.
    pub entries: Vec<AgentListEntry>,
}

/// A subject of an [`AgentListItem`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentListEntry {
    /// The repository or the member.
    pub subject: ListedSubject,
    /// The days with events, ascending. Their sides have no parts.
    pub days: Vec<(u8, AgentSides)>,
}

/// Returns the name of a branch of a repository, as items have it: branches of several repositories can have one name.
/// `branch` is empty for events without a branch.
pub fn branch_key(repo_id: i64, branch: &str) -> String {
    format!("{repo_id}/{branch}")
}

/// Returns the repository and the branch of a [`branch_key`]; `None` if it is none.
pub fn parse_branch_key(key: &str) -> Option<(i64, &str)> {
    let (repo, branch) = key.split_once('/')?;
    Some((repo.parse().ok()?, branch))
}
