//! Builds events from GitHub's responses. The mapping is pure: the same response gives the same events.
//! GitHub's present state is enough to build the retractions too.

mod workflow_runs;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{CommitVersion, Event, EventId, EventKind, Facts, FirstReview, Member, MemberKind};

pub use workflow_runs::WorkflowRunOutcome;

use crate::commits::ComparedCommit;
use crate::wire::{Actor, Closing, Commit, Deployment, Issue, PullRequest, Release, Review};

/// The version of the code that turns GitHub's answers into events. Increment it whenever the same answer makes
/// another event, so that what is read again replaces what older code read.
///
/// - 1: branches and merge commits of pull requests; `unknown` authors of releases and deployments.
pub const READING_VERSION: i64 = 1;

/// How far the time of a `ClosedEvent` may be from the `closedAt` that it explains.
const CLOSED_EVENT_TOLERANCE: TimeDelta = TimeDelta::seconds(5);

/// Builds the events of one repository. The fields are the same in all its events.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    /// The organization's storage key, in GitHub's capitalization if the organization still has that login.
    pub org: String,
    /// The repository's name without the owner.
    pub repo: String,
    /// The repository's numeric id.
    pub repo_id: i64,
    /// When the run listed the repositories, UTC, by GitHub's clock.
    pub collected_at: DateTime<Utc>,
}

impl EventBuilder {
    fn event(
        &self,
        id: EventId,
        kind: EventKind,
        version: i64,
        member: Member,
        occurred_at: DateTime<Utc>,
    ) -> Event {
        Event {
            id,
            version,
            kind,
            org: self.org.clone(),
            repo: self.repo.clone(),
            repo_id: self.repo_id,
            member,
            occurred_at,
            collected_at: self.collected_at,
            retracted: false,
            reading: READING_VERSION,
            facts: Facts::default(),
        }
    }

    /// Builds the event of a commit on the default branch. `version` is the repository's commit version, which
    /// orders the event against the retractions after force-pushes. A commit with line counts is newer than
    /// the same commit without them: GitHub may refuse to count the lines at first.
    pub fn commit(&self, commit: &Commit, version: CommitVersion) -> Event {
        let author = commit.author.as_ref().map_or_else(Member::ghost, |author| author.member());
        let co_authors = commit.authors.clone().map(|authors| {
            // The list starts with the author. Trailers may repeat a co-author or the author.
            let mut names: Vec<String> = authors.entries().iter().map(|a| a.member().name).collect();
            names.retain(|name| *name != author.name);
            let mut seen = BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            names
        });
        let author_name = commit.author.as_ref().map(|author| author.name.as_deref());
        let author_name_hash =
            author_name.filter(|_| author.kind == MemberKind::Unlinked).map(Member::author_name_hash);
        let id = EventId::commit(self.repo_id, &commit.oid);
        let version = version.event_version(commit.has_line_counts());
        let mut event = self.event(id, EventKind::Commit, version, author, commit.committed_date);
        event.facts = Facts {
            sha: Some(commit.oid.clone()),
            parents: i32::try_from(commit.parents.total_count).ok(),
            additions: commit.additions,
            deletions: commit.deletions,
            files_changed: commit.changed_files,
            co_authors,
            author_name_hash,
            ..Facts::default()
        };
        event
    }

    /// Builds the retraction of a commit that a force-push removed. `version` is the
    /// [`CommitVersion::retraction`] of the force-push.
    pub fn retracted_commit(&self, commit: &ComparedCommit, version: CommitVersion) -> Event {
        let id = EventId::commit(self.repo_id, &commit.sha);
        let version = version.event_version(false);
        let mut event =
            self.event(id, EventKind::Commit, version, commit.member.clone(), commit.committed_at);
        event.retracted = true;
        event.facts.sha = Some(commit.sha.clone());
        event.facts.parents = i32::try_from(commit.parents).ok();
        event
    }

    /// Builds the events of a pull request: its opening, merge, closings and reviews.
    pub fn pull_request(&self, pull: &PullRequest) -> Vec<Event> {
        let author = Actor::member(pull.author.as_ref());
        let reviews: Vec<&Review> =
            pull.reviews.iter().flat_map(|reviews| &reviews.nodes).flatten().flatten().collect();
        let version = pull.updated_at.timestamp();
        let facts = Facts {
            number: Some(pull.number),
            state: Some(pull.state.to_lowercase()),
            draft: Some(pull.is_draft),
            created_at: Some(pull.created_at),
            merged_at: pull.merged_at,
            head_ref: Some(pull.head_ref_name.clone()),
            head_repo_id: pull.head_repository.as_ref().and_then(|repo| repo.database_id),
            merge_sha: pull
                .merge_commit
                .as_ref()
                .filter(|_| pull.merged_at.is_some())
                .map(|it| it.oid.clone()),
            labels: pull.labels.clone().map(|labels| labels.entries().into_iter().map(|l| l.name).collect()),
            ..Facts::default()
        };
        let event = |id, kind, at| {
            let event = self.event(id, kind, version, author.clone(), at);
            Event { facts: facts.clone(), ..event }
        };
        let mut events =
            vec![event(EventId::pr_opened(self.repo_id, pull.number), EventKind::PrOpened, pull.created_at)];
        if let Some(at) = pull.merged_at {
            let mut merged = event(EventId::pr_merged(self.repo_id, pull.number), EventKind::PrMerged, at);
            merged.facts.first_reviews = Some(first_reviews(&reviews, at));
            events.push(merged);
        }
        for closing in closings(&pull.timeline_items.nodes, pull.closed_at, pull.merged_at.is_some()) {
            let id = EventId::pr_closed(self.repo_id, pull.number, closing.at);
            events
                .push(Event { retracted: !closing.is_current, ..event(id, EventKind::PrClosed, closing.at) });
        }
        events.extend(reviews.iter().filter_map(|review| self.review(review, pull, &author)));
        events
    }

    /// Builds the events of a pull request that GitHub does not return with its reviews and closings.
    ///
    /// A full answer, earlier or later, wins over them: their versions are one second older than the change
    /// that a full answer shows. The merge is even older, so that an earlier full answer, which has the first
    /// reviews, always wins.
    pub fn basic_pull_request(&self, pull: &PullRequest) -> Vec<Event> {
        let mut events = self.pull_request(pull);
        events.retain(|event| !event.retracted && event.kind != EventKind::Review);
        for event in &mut events {
            event.version = pull.updated_at.timestamp() - 1;
            if event.kind == EventKind::PrMerged {
                event.version = event.occurred_at.timestamp() - 1;
                event.facts.first_reviews = None;
            }
        }
        // Reviews that were read are complete in themselves.
        let reviews = pull.reviews.iter().flat_map(|reviews| &reviews.nodes).flatten().flatten();
        let author = Actor::member(pull.author.as_ref());
        events.extend(reviews.filter_map(|review| self.review(review, pull, &author)));
        events
    }

    /// Builds the events of an issue that GitHub does not return with its closings. As for
    /// [`EventBuilder::basic_pull_request`], a full answer wins over them.
    pub fn basic_issue(&self, issue: &Issue) -> Vec<Event> {
        let mut events = self.issue(issue);
        events.retain(|event| !event.retracted);
        events.iter_mut().for_each(|event| event.version = issue.updated_at.timestamp() - 1);
        events
    }

    /// Builds the event of a release that GitHub does not return with its author. As for
    /// [`EventBuilder::basic_pull_request`], a full answer wins over it.
    pub fn basic_release(&self, release: &Release) -> Option<Event> {
        let event = self.release(release)?;
        Some(Event { version: event.version - 1, ..event })
    }

    fn review(&self, review: &Review, pull: &PullRequest, pr_author: &Member) -> Option<Event> {
        let id = review.full_database_id.as_deref()?.parse().ok()?;
        let at = review.submitted_at.filter(|_| review.state != "PENDING")?;
        let reviewer = Actor::member(review.author.as_ref());
        let version = review.updated_at.max(at).timestamp();
        let mut event = self.event(EventId::review(id), EventKind::Review, version, reviewer, at);
        event.facts = Facts {
            number: Some(pull.number),
            pr_member: Some(pr_author.name.clone()),
            review_state: Some(review.state.to_lowercase()),
            ..Facts::default()
        };
        Some(event)
    }

    /// Builds the events of an issue: its opening and its closings.
    pub fn issue(&self, issue: &Issue) -> Vec<Event> {
        let author = Actor::member(issue.author.as_ref());
        let facts = Facts {
            number: Some(issue.number),
            state: Some(issue.state.to_lowercase()),
            created_at: Some(issue.created_at),
            labels: issue.labels.clone().map(|labels| labels.entries().into_iter().map(|l| l.name).collect()),
            ..Facts::default()
        };
        let event = |id, kind, at| {
            let event = self.event(id, kind, issue.updated_at.timestamp(), author.clone(), at);
            Event { facts: facts.clone(), ..event }
        };
        let opened = EventId::issue_opened(self.repo_id, issue.number);
        let mut events = vec![event(opened, EventKind::IssueOpened, issue.created_at)];
        for closing in closings(&issue.timeline_items.nodes, issue.closed_at, false) {
            let id = EventId::issue_closed(self.repo_id, issue.number, closing.at);
            let event = event(id, EventKind::IssueClosed, closing.at);
            events.push(Event { retracted: !closing.is_current, ..event });
        }
        events
    }

    /// Builds the event of a release; `None` if it is a draft.
    pub fn release(&self, release: &Release) -> Option<Event> {
        let at = release.published_at.filter(|_| !release.is_draft)?;
        let author = Actor::delivery_member(release.author.as_ref());
        let mut event = self.release_at(release.database_id?, at, author, release.updated_at.timestamp());
        event.facts.created_at = Some(release.created_at);
        event.facts.tag = Some(release.tag_name.clone());
        Some(event)
    }

    /// Builds the retraction of a release that was published at `published_at`, and then withdrawn or
    /// published at another time.
    pub fn retracted_release(&self, id: i64, published_at: DateTime<Utc>, version: i64) -> Event {
        let event = self.release_at(id, published_at, Member::unknown(), version);
        Event { retracted: true, ..event }
    }

    fn release_at(&self, id: i64, at: DateTime<Utc>, author: Member, version: i64) -> Event {
        self.event(EventId::release(id, at), EventKind::Release, version, author, at)
    }

    /// Builds the events of a deployment: its first success, and its first failure if that came earlier. The
    /// failure is retracted once the deployment has succeeded. Statuses that came later than
    /// [`SETTLED_AFTER`] do not count.
    pub fn deployment(&self, deployment: &Deployment) -> Vec<Event> {
        let Some(id) = deployment.database_id else { return Vec::new() };
        let outcome = DeploymentOutcome::of(deployment);
        let member = Actor::delivery_member(deployment.creator.as_ref());
        let facts = Facts {
            sha: deployment.commit_oid.clone(),
            created_at: Some(deployment.created_at),
            environment: deployment.environment.clone(),
            ..Facts::default()
        };
        let event = |id, kind, version: DateTime<Utc>, at| {
            let event = self.event(id, kind, version.timestamp(), member.clone(), at);
            Event { facts: facts.clone(), ..event }
        };
        // An earlier version of this program counted a success that came too late. It retracted the failure
        // with the version of that success, so the failure needs a greater one.
        let late = outcome.late_success.map(|at| {
            let event = event(EventId::deployment_success(id), EventKind::DeploymentSuccess, at, at);
            Event { retracted: true, ..event }
        });
        let success = outcome
            .success
            .map(|at| event(EventId::deployment_success(id), EventKind::DeploymentSuccess, at, at));
        let failure = outcome.failure.map(|at| {
            // The retraction keeps the time of the failure and takes the version of the success.
            let version = outcome.late_success.map_or(at, |late| late + TimeDelta::seconds(1));
            let version = outcome.success.unwrap_or(version);
            let event = event(EventId::deployment_failure(id), EventKind::DeploymentFailure, version, at);
            Event { retracted: outcome.success.is_some(), ..event }
        });
        success.into_iter().chain(late).chain(failure).collect()
    }
}

/// How long after its creation a deployment, or a workflow run, can still succeed or fail. What comes later does
/// not count, so one reading after this time is final.
pub const SETTLED_AFTER: TimeDelta = TimeDelta::days(90);

/// When a deployment first succeeded or failed, within [`SETTLED_AFTER`] of its creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeploymentOutcome {
    /// The first success, UTC; `None` if there was none in time.
    pub success: Option<DateTime<Utc>>,
    /// The first failure, UTC; `None` if there was none in time, or only after the success.
    pub failure: Option<DateTime<Utc>>,
    /// The first success, UTC, if it came too late to count; `None` if it came in time or not at all.
    pub late_success: Option<DateTime<Utc>>,
}

impl DeploymentOutcome {
    /// Reads the outcome from the deployment's statuses, which are in unspecified order.
    pub fn of(deployment: &Deployment) -> Self {
        let first = |states: &[&str]| {
            let statuses =
                deployment.statuses.iter().flat_map(|statuses| &statuses.nodes).flatten().flatten();
            statuses.filter(|s| states.contains(&s.state.as_str())).map(|s| s.created_at).min()
        };
        let settled_at = deployment.created_at + SETTLED_AFTER;
        let (first_success, first_failure) = (first(&["SUCCESS"]), first(&["FAILURE", "ERROR"]));
        let success = first_success.filter(|at| *at <= settled_at);
        let failure =
            first_failure.filter(|at| *at <= settled_at && success.is_none_or(|success| *at <= success));
        DeploymentOutcome { success, failure, late_success: first_success.filter(|at| *at > settled_at) }
    }
}

/// Returns each reviewer's first review up to the merge, in order of time.
fn first_reviews(reviews: &[&Review], merged_at: DateTime<Utc>) -> Vec<FirstReview> {
    let mut first: BTreeMap<String, FirstReview> = BTreeMap::new();
    for review in reviews.iter().filter(|review| review.state != "PENDING") {
        let Some(at) = review.submitted_at.filter(|&at| at <= merged_at) else { continue };
        let member = Actor::member(review.author.as_ref());
        let review = FirstReview { member: member.name.clone(), member_kind: member.kind, at };
        let earliest = first.entry(member.name).or_insert_with(|| review.clone());
        if review.at < earliest.at {
            *earliest = review;
        }
    }
    let mut first: Vec<FirstReview> = first.into_values().collect();
    first.sort_by(|a, b| (a.at, &a.member).cmp(&(b.at, &b.member)));
    first
}

/// A moment at which an earlier run may have recorded a closing.
struct RecordedClosing {
    at: DateTime<Utc>,
    /// Whether this is the closing that is in effect now. Otherwise it must be retracted.
    is_current: bool,
}

/// Returns every moment at which a closing may have been recorded.
///
/// The current closing is the `ClosedEvent` in the timeline that matches `closed_at`, or `closed_at` itself
/// if the timeline has no such event. A merged pull request has no current closing: the merge closes it too,
/// but counts as a merge only.
///
/// An earlier response may have had a `closed_at` without its `ClosedEvent`, or may have shown a merge as a
/// closing. So `closed_at` and the `ClosedEvent` of a merge are retracted if they are not the current
/// closing. That change often happens within one second, and so within one version, of which the retraction
/// wins.
fn closings(
    timeline: &Option<Vec<Option<Closing>>>,
    closed_at: Option<DateTime<Utc>>,
    is_merged: bool,
) -> Vec<RecordedClosing> {
    let mut times: Vec<DateTime<Utc>> =
        timeline.iter().flatten().flatten().filter_map(|closing| closing.created_at).collect();
    times.sort_unstable();
    let matching = closed_at.and_then(|closed| {
        let near = times.iter().copied().filter(|at| (*at - closed).abs() <= CLOSED_EVENT_TOLERANCE);
        near.min_by_key(|at| (*at - closed).abs())
    });
    // In whole seconds, as in event ids: two events with one id would contradict each other.
    let current = matching.or(closed_at).filter(|_| !is_merged).map(|at| at.timestamp());
    times.extend(closed_at);
    times.sort_unstable();
    times.dedup_by_key(|at| at.timestamp());
    times.into_iter().map(|at| RecordedClosing { at, is_current: Some(at.timestamp()) == current }).collect()
}

#[cfg(test)]
mod tests;
