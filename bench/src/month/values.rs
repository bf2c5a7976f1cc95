//! The values of a month's rows.

use chrono::DateTime;
use gam_model::EventKind;
use gam_model::commit_version::CommitVersion;

use super::{LakeGenerator, MonthFacts, Row, RowSource};
use crate::columns::{Columns, FactValues, RowValues};
use crate::facts::{
    DEPLOY_WORKFLOW, GeneratedCommit, GeneratedDeployment, GeneratedIssue, GeneratedPull, GeneratedRelease,
    GeneratedReview,
};
use crate::random::RandomStream;

/// How often an organization is collected.
const COLLECTION_INTERVAL_SECONDS: i64 = 3_600;
/// How long a collection takes to reach an event.
const COLLECTION_SECONDS: i64 = 137;
/// The share of events that are collected later, by up to 20 days.
const LATE_SHARE: f64 = 0.01;
const MAX_LATE_INTERVALS: u64 = 20 * 24;

/// The part of a random key that keeps delays apart from everything else.
const DELAY_KEY: u64 = 6;

/// What is the same in every row.
struct RowHead {
    kind: EventKind,
    member: u32,
    /// Epoch seconds.
    last_changed: i64,
    version: i64,
    retracted: bool,
}

impl RowHead {
    /// A row of a fact whose version is the time of its last change.
    fn new(kind: EventKind, member: u32, last_changed: i64) -> Self {
        RowHead { kind, member, last_changed, version: last_changed, retracted: false }
    }

    fn retracted_if(self, retracted: bool) -> Self {
        RowHead { retracted, ..self }
    }
}

impl LakeGenerator {
    /// Appends the values of a row.
    pub(super) fn push_row(&self, index: usize, facts: &MonthFacts, row: &Row, columns: &mut Columns<'_>) {
        let id = self.event_id(index, facts, row);
        let mut push = |head: RowHead, facts: FactValues<'_>| {
            columns.push(&RowValues {
                event_id: id.as_str(),
                version: head.version,
                kind: head.kind,
                repo: row.repo,
                member: head.member,
                occurred_at: row.at,
                collected_at: self.collected_at(head.last_changed, row),
                retracted: head.retracted,
                facts,
            });
        };
        match row.source {
            RowSource::Commit(number) | RowSource::CommitInFork(number) => {
                let commit = GeneratedCommit::generate(&self.model, index, u64::from(number));
                push(self.commit_head(index, &commit), commit_facts(&commit));
            }
            RowSource::PullOpened(slot) => self.push_pull(row, EventKind::PrOpened, facts.pull(slot), push),
            RowSource::PullMerged(slot) => self.push_pull(row, EventKind::PrMerged, facts.pull(slot), push),
            RowSource::PullClosed(slot) => self.push_pull(row, EventKind::PrClosed, facts.pull(slot), push),
            RowSource::Review(slot, which) => {
                let pull = facts.pull(slot);
                let review = &pull.reviews()[usize::from(which)];
                push(RowHead::new(EventKind::Review, review.member, review.at), review_facts(pull, review));
            }
            RowSource::IssueOpened(slot) => {
                let issue = facts.issue(slot);
                push(RowHead::new(EventKind::IssueOpened, issue.author, issue.updated()), issue_facts(issue));
            }
            RowSource::IssueClosed(slot) => {
                let issue = facts.issue(slot);
                let head = RowHead::new(EventKind::IssueClosed, issue.author, issue.updated());
                push(head.retracted_if(issue.is_reopened), issue_facts(issue));
            }
            RowSource::DeploymentFailed(slot) => {
                let deployment = facts.deployment(slot);
                let head =
                    RowHead::new(EventKind::DeploymentFailure, deployment.creator, deployment.updated());
                push(head.retracted_if(deployment.succeeded.is_some()), deployment_facts(deployment));
            }
            RowSource::DeploymentSucceeded(slot) => {
                let deployment = facts.deployment(slot);
                let head =
                    RowHead::new(EventKind::DeploymentSuccess, deployment.creator, deployment.updated());
                push(head, deployment_facts(deployment));
            }
            RowSource::Released(slot) => {
                let release = facts.release(slot);
                let tag = tag(release);
                let head = RowHead::new(EventKind::Release, release.author, release.published);
                let facts = FactValues {
                    created_at: Some(release.created),
                    tag: Some(&tag),
                    ..FactValues::default()
                };
                push(head, facts);
            }
        }
    }

    /// Returns when an event was collected that last changed at `last_changed`. Both are epoch seconds.
    fn collected_at(&self, last_changed: i64, row: &Row) -> i64 {
        let key = [self.model.seed, DELAY_KEY, row.at as u64, u64::from(row.repo)];
        let random = &mut RandomStream::from_key(&key);
        let late = if random.chance(LATE_SHARE) { 1 + random.below(MAX_LATE_INTERVALS) as i64 } else { 0 };
        let interval = last_changed.div_euclid(COLLECTION_INTERVAL_SECONDS) + 1 + late;
        interval * COLLECTION_INTERVAL_SECONDS + COLLECTION_SECONDS
    }

    fn commit_head(&self, index: usize, commit: &GeneratedCommit) -> RowHead {
        let pushed_at = DateTime::from_timestamp(self.model.calendars[index].start, 0);
        let version = CommitVersion::initial(pushed_at);
        // A force-push retracts commits. It has a greater version than they had.
        let version = if commit.is_retracted { version.after_force_push(None).retraction() } else { version };
        let head = RowHead::new(EventKind::Commit, commit.author, commit.at);
        RowHead {
            version: version.event_version(commit.lines.is_some()),
            retracted: commit.is_retracted,
            ..head
        }
    }

    fn push_pull(
        &self,
        row: &Row,
        kind: EventKind,
        pull: &GeneratedPull,
        mut push: impl FnMut(RowHead, FactValues<'_>),
    ) {
        let is_merge = kind == EventKind::PrMerged;
        let first_reviews: Option<Vec<GeneratedReview>> =
            is_merge.then(|| pull.first_reviews().copied().collect());
        let head_ref = format!("{}/{}", pull.label.unwrap_or("topic"), pull.number);
        let repo_id = self.model.population.repos[row.repo as usize].id;
        let facts = FactValues {
            number: Some(pull.number),
            state: Some(pull.state()),
            draft: Some(pull.is_draft && pull.merged.is_none()),
            created_at: Some(pull.created),
            merged_at: pull.merged,
            first_reviews: first_reviews.as_deref(),
            label: Some(pull.label),
            head_ref: Some(&head_ref),
            head_repo_id: (!pull.is_fork_deleted).then_some(repo_id),
            merge_sha: is_merge.then_some(pull.merge_sha.as_str()),
            ..FactValues::default()
        };
        let is_retracted = kind == EventKind::PrClosed && pull.is_reopened;
        push(RowHead::new(kind, pull.author, pull.updated()).retracted_if(is_retracted), facts);
    }
}

fn commit_facts(commit: &GeneratedCommit) -> FactValues<'_> {
    FactValues {
        sha: Some(commit.sha.as_str()),
        parents: Some(if commit.is_merge { 2 } else { 1 }),
        lines: commit.lines,
        co_authors: Some(commit.co_authors()),
        ..FactValues::default()
    }
}

fn review_facts(pull: &GeneratedPull, review: &GeneratedReview) -> FactValues<'static> {
    FactValues {
        number: Some(pull.number),
        pr_member: Some(pull.author),
        review_state: Some(review.state),
        ..FactValues::default()
    }
}

fn issue_facts(issue: &GeneratedIssue) -> FactValues<'static> {
    FactValues {
        number: Some(issue.number),
        state: Some(issue.state()),
        created_at: Some(issue.created),
        label: Some(issue.label),
        ..FactValues::default()
    }
}

fn deployment_facts(deployment: &GeneratedDeployment) -> FactValues<'_> {
    FactValues {
        sha: Some(deployment.sha.as_str()),
        created_at: Some(deployment.created),
        environment: deployment.environment,
        workflow: deployment.environment.is_none().then_some(DEPLOY_WORKFLOW),
        ..FactValues::default()
    }
}

fn tag(release: &GeneratedRelease) -> String {
    let number = release.id % 8_000;
    format!("v{}.{}.{}", number / 400, number / 20 % 20, number % 20)
}
