//! The rows of a generated month, in the order of a snapshot.
//!
//! The rows are planned first, as small values that can be sorted. Their columns are computed afterwards, row by
//! row.

mod values;

use anyhow::ensure;
use arrow_array::RecordBatch;
use chrono::DateTime;
use gam_model::{EventId, Month};

use crate::columns::Columns;
use crate::facts::{
    GeneratedCommit, GeneratedDeployment, GeneratedIssue, GeneratedPull, GeneratedRelease, MONTHS_BACK,
    OrgModel,
};
use crate::shape::LakeShape;

/// The number of rows of a batch: that of a row group of a snapshot.
const BATCH_ROWS: usize = 131_072;

/// Generates the months of a lake.
pub struct LakeGenerator {
    org: String,
    model: OrgModel,
}

/// What a row says. The number is an index in [`MonthFacts`], or the number of a commit.
#[derive(Debug, Clone, Copy)]
enum RowSource {
    Commit(u32),
    /// The commit in the fork of its repository.
    CommitInFork(u32),
    PullOpened(u32),
    PullMerged(u32),
    PullClosed(u32),
    /// The pull request, and which of its reviews.
    Review(u32, u8),
    IssueOpened(u32),
    IssueClosed(u32),
    DeploymentFailed(u32),
    DeploymentSucceeded(u32),
    Released(u32),
}

/// A row before its values are computed.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The position of the repository by name.
    rank: u32,
    repo: u32,
    /// Epoch seconds.
    at: i64,
    source: RowSource,
}

/// The facts with an event in a month.
#[derive(Default)]
struct MonthFacts {
    pulls: Vec<GeneratedPull>,
    issues: Vec<GeneratedIssue>,
    deployments: Vec<GeneratedDeployment>,
    releases: Vec<GeneratedRelease>,
}

impl MonthFacts {
    fn pull(&self, slot: u32) -> &GeneratedPull {
        &self.pulls[slot as usize]
    }

    fn issue(&self, slot: u32) -> &GeneratedIssue {
        &self.issues[slot as usize]
    }

    fn deployment(&self, slot: u32) -> &GeneratedDeployment {
        &self.deployments[slot as usize]
    }

    fn release(&self, slot: u32) -> &GeneratedRelease {
        &self.releases[slot as usize]
    }
}

impl LakeGenerator {
    /// Creates the generator of a lake.
    ///
    /// # Errors
    /// If the lake cannot be generated; see [`LakeShape::check`].
    pub fn new(shape: &LakeShape) -> anyhow::Result<Self> {
        shape.check()?;
        Ok(LakeGenerator { org: shape.org.clone(), model: OrgModel::new(shape) })
    }

    /// Returns the organization's login.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// Returns the months in ascending order.
    pub fn months(&self) -> Vec<Month> {
        self.model.plans.iter().map(|plan| plan.month).collect()
    }

    /// Generates the rows of a month: one row per event id, sorted by repository name, time and id, in batches of
    /// at most 131,072 rows. `index` is the position in [`LakeGenerator::months`].
    ///
    /// # Errors
    /// If the month has too few rows for its pull requests, issues and deployments.
    pub fn month(&self, index: usize) -> anyhow::Result<Vec<RecordBatch>> {
        let (facts, mut rows) = self.month_facts(index);
        let plan = &self.model.plans[index];
        ensure!(
            rows.len() as u64 <= plan.rows,
            "{} would have more than {} events without a single commit: use a greater --events",
            plan.month,
            plan.rows
        );
        self.add_commits(index, plan.rows as usize, &mut rows);
        let id = |row: &Row| self.event_id(index, &facts, row);
        rows.sort_unstable_by(|a, b| {
            (a.rank, a.at).cmp(&(b.rank, b.at)).then_with(|| id(a).as_str().cmp(id(b).as_str()))
        });
        let batches = rows.chunks(BATCH_ROWS).map(|rows| {
            let mut columns = Columns::new(&self.model.population, &self.org);
            rows.iter().for_each(|row| self.push_row(index, &facts, row, &mut columns));
            Ok(columns.finish()?)
        });
        batches.collect()
    }

    /// Generates everything but the commits, and the rows that follow from it.
    fn month_facts(&self, index: usize) -> (MonthFacts, Vec<Row>) {
        let (mut facts, mut rows) = (MonthFacts::default(), Vec::new());
        for first_month in index.saturating_sub(MONTHS_BACK)..=index {
            let begun = self.model.plans[first_month].facts;
            for number in 0..begun.pulls {
                let pull = GeneratedPull::generate(&self.model, first_month, number);
                let slot = facts.pulls.len() as u32;
                let before = rows.len();
                let mut add = |at, source| self.add_row(index, pull.repo, at, source, &mut rows);
                add(Some(pull.created), RowSource::PullOpened(slot));
                add(pull.merged, RowSource::PullMerged(slot));
                add(pull.closed, RowSource::PullClosed(slot));
                for (which, review) in pull.reviews().iter().enumerate() {
                    add(Some(review.at), RowSource::Review(slot, which as u8));
                }
                if rows.len() > before {
                    facts.pulls.push(pull);
                }
            }
            for number in 0..begun.issues {
                let issue = GeneratedIssue::generate(&self.model, first_month, number);
                let slot = facts.issues.len() as u32;
                let before = rows.len();
                self.add_row(index, issue.repo, Some(issue.created), RowSource::IssueOpened(slot), &mut rows);
                self.add_row(index, issue.repo, issue.closed, RowSource::IssueClosed(slot), &mut rows);
                if rows.len() > before {
                    facts.issues.push(issue);
                }
            }
            for number in 0..begun.deployments {
                let deployment = GeneratedDeployment::generate(&self.model, first_month, number);
                let slot = facts.deployments.len() as u32;
                let before = rows.len();
                let mut add = |at, source| self.add_row(index, deployment.repo, at, source, &mut rows);
                add(deployment.failed, RowSource::DeploymentFailed(slot));
                add(deployment.succeeded, RowSource::DeploymentSucceeded(slot));
                if rows.len() > before {
                    facts.deployments.push(deployment);
                }
            }
        }
        for number in 0..self.model.plans[index].facts.releases {
            let release = GeneratedRelease::generate(&self.model, index, number);
            let source = RowSource::Released(facts.releases.len() as u32);
            self.add_row(index, release.repo, Some(release.published), source, &mut rows);
            facts.releases.push(release);
        }
        (facts, rows)
    }

    /// Adds a row if its time is in the month.
    fn add_row(&self, index: usize, repo: u32, at: Option<i64>, source: RowSource, rows: &mut Vec<Row>) {
        let Some(at) = at.filter(|at| self.model.calendars[index].contains(*at)) else { return };
        rows.push(Row { rank: self.model.population.repos[repo as usize].rank, repo, at, source });
    }

    /// Adds commits until there are `count` rows.
    fn add_commits(&self, index: usize, count: usize, rows: &mut Vec<Row>) {
        let mut number = 0;
        while rows.len() < count {
            let commit = GeneratedCommit::generate(&self.model, index, u64::from(number));
            self.add_row(index, commit.repo, Some(commit.at), RowSource::Commit(number), rows);
            if let Some(fork) = self.fork_with(&commit).filter(|_| rows.len() < count) {
                self.add_row(index, fork, Some(commit.at), RowSource::CommitInFork(number), rows);
            }
            number += 1;
        }
    }

    /// Returns the fork that has the commit, too; `None` if there is none.
    fn fork_with(&self, commit: &GeneratedCommit) -> Option<u32> {
        self.model.population.repos[commit.repo as usize].fork.filter(|_| commit.is_in_fork)
    }

    fn repo_id(&self, row: &Row) -> i64 {
        self.model.population.repos[row.repo as usize].id
    }

    fn event_id(&self, index: usize, facts: &MonthFacts, row: &Row) -> EventId {
        let repo_id = self.repo_id(row);
        let at = DateTime::from_timestamp(row.at, 0).unwrap_or_default();
        match row.source {
            RowSource::Commit(number) | RowSource::CommitInFork(number) => {
                let commit = GeneratedCommit::generate(&self.model, index, u64::from(number));
                EventId::commit(repo_id, commit.sha.as_str())
            }
            RowSource::PullOpened(slot) => EventId::pr_opened(repo_id, facts.pull(slot).number),
            RowSource::PullMerged(slot) => EventId::pr_merged(repo_id, facts.pull(slot).number),
            RowSource::PullClosed(slot) => EventId::pr_closed(repo_id, facts.pull(slot).number, at),
            RowSource::Review(slot, which) => {
                EventId::review(facts.pull(slot).reviews()[usize::from(which)].id)
            }
            RowSource::IssueOpened(slot) => EventId::issue_opened(repo_id, facts.issue(slot).number),
            RowSource::IssueClosed(slot) => EventId::issue_closed(repo_id, facts.issue(slot).number, at),
            RowSource::DeploymentFailed(slot) => match facts.deployment(slot) {
                GeneratedDeployment { id, environment: Some(_), .. } => EventId::deployment_failure(*id),
                GeneratedDeployment { id, environment: None, .. } => EventId::workflow_run_failure(*id),
            },
            RowSource::DeploymentSucceeded(slot) => match facts.deployment(slot) {
                GeneratedDeployment { id, environment: Some(_), .. } => EventId::deployment_success(*id),
                GeneratedDeployment { id, environment: None, .. } => EventId::workflow_run_success(*id),
            },
            RowSource::Released(slot) => EventId::release(facts.release(slot).id, at),
        }
    }
}
