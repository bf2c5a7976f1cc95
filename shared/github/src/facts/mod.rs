//! From what GitHub shows to events. Pure: the same sight gives the same events, and what GitHub
//! shows now suffices to write the retracted ones too.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::{CommitVersion, Event, EventId, EventKind, Facts, FirstReview, Member};

use crate::commits::ComparedCommit;
use crate::wire::{Actor, Closing, Commit, Deployment, Issue, PullRequest, Release, Review};

/// How far a `ClosedEvent` may lie from the `closedAt` it belongs to.
const SAME_CLOSING: TimeDelta = TimeDelta::seconds(5);

/// What all events of a reading share.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The organization, as GitHub spells it.
    pub org: String,
    /// The repository's name.
    pub repo: String,
    /// The repository's numeric id.
    pub repo_id: i64,
    /// When the run began, UTC.
    pub collected_at: DateTime<Utc>,
}

impl Origin {
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
            facts: Facts::default(),
        }
    }

    /// A commit on the default branch. `version` orders it with the retractions of force-pushes.
    pub fn commit(&self, commit: &Commit, version: CommitVersion) -> Event {
        let author = commit.author.as_ref().map_or_else(Member::ghost, |author| author.member());
        let co_authors = commit.authors.clone().map(|authors| {
            // The list starts with the author; trailers may name somebody twice, or the author again.
            let mut names: Vec<String> = authors.entries().iter().map(|a| a.member().name).collect();
            names.retain(|name| *name != author.name);
            let mut seen = std::collections::BTreeSet::new();
            names.retain(|name| seen.insert(name.clone()));
            names
        });
        let id = EventId::commit(self.repo_id, &commit.oid);
        let version = version.event_version(commit.is_counted());
        let mut event = self.event(id, EventKind::Commit, version, author, commit.committed_date);
        event.facts = Facts {
            sha: Some(commit.oid.clone()),
            parents: i32::try_from(commit.parents.total_count).ok(),
            additions: commit.additions,
            deletions: commit.deletions,
            files_changed: commit.changed_files,
            co_authors,
            ..Facts::default()
        };
        event
    }

    /// A commit that a force-push removed. `version` is the [`CommitVersion::retraction`] of the force-push.
    pub fn commit_gone(&self, commit: &ComparedCommit, version: CommitVersion) -> Event {
        let id = EventId::commit(self.repo_id, &commit.sha);
        let version = version.event_version(false);
        let mut event =
            self.event(id, EventKind::Commit, version, commit.member.clone(), commit.committed_at);
        event.retracted = true;
        event.facts.sha = Some(commit.sha.clone());
        event.facts.parents = i32::try_from(commit.parents).ok();
        event
    }

    /// Everything a pull request tells: its opening, its merge, its closings, its reviews.
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
            events.push(Event { retracted: closing.undone, ..event(id, EventKind::PrClosed, closing.at) });
        }
        events.extend(reviews.iter().filter_map(|review| self.review(review, pull, &author)));
        events
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

    /// Everything an issue tells: its opening and its closings.
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
            events.push(Event { retracted: closing.undone, ..event(id, EventKind::IssueClosed, closing.at) });
        }
        events
    }

    /// The publication of a release; a draft is none.
    pub fn release(&self, release: &Release) -> Option<Event> {
        let at = release.published_at.filter(|_| !release.is_draft)?;
        let author = Actor::member(release.author.as_ref());
        let mut event = self.release_at(release.database_id?, at, author, release.updated_at.timestamp());
        event.facts.created_at = Some(release.created_at);
        event.facts.tag = Some(release.tag_name.clone());
        Some(event)
    }

    /// A publication that was taken back or replaced by another.
    pub fn release_gone(&self, id: i64, published_at: DateTime<Utc>, version: i64) -> Event {
        let event = self.release_at(id, published_at, Member::ghost(), version);
        Event { retracted: true, ..event }
    }

    fn release_at(&self, id: i64, at: DateTime<Utc>, author: Member, version: i64) -> Event {
        self.event(EventId::release(id, at), EventKind::Release, version, author, at)
    }

    /// What a deployment came to: its first success, or its first failure as long as it never succeeded.
    pub fn deployment(&self, deployment: &Deployment) -> Vec<Event> {
        let Some(id) = deployment.database_id else { return Vec::new() };
        let outcome = Outcome::of(deployment);
        let member = Actor::member(deployment.creator.as_ref());
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
        let success = outcome
            .success
            .map(|at| event(EventId::deployment_success(id), EventKind::DeploymentSuccess, at, at));
        let failure = outcome.failure.map(|at| {
            // A failure that later succeeded is taken back by the success, at its own old time.
            let version = outcome.success.unwrap_or(at);
            let event = event(EventId::deployment_failure(id), EventKind::DeploymentFailure, version, at);
            Event { retracted: outcome.success.is_some(), ..event }
        });
        success.into_iter().chain(failure).collect()
    }

    /// The failure of a deployment that is no more. It has the failure's own version, of which the retracted
    /// telling wins: whatever else GitHub may tell of it, a success, is newer.
    pub fn deployment_gone(&self, id: i64, failed_at: DateTime<Utc>) -> Event {
        let (failure, version) = (EventId::deployment_failure(id), failed_at.timestamp());
        let event = self.event(failure, EventKind::DeploymentFailure, version, Member::ghost(), failed_at);
        Event { retracted: true, ..event }
    }
}

/// What a deployment's statuses came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// When it first succeeded, UTC.
    pub success: Option<DateTime<Utc>>,
    /// When it first failed, UTC; only where it failed before it ever succeeded.
    pub failure: Option<DateTime<Utc>>,
}

impl Outcome {
    /// Reads the statuses, which come in no order to rely on.
    pub fn of(deployment: &Deployment) -> Self {
        let first = |states: &[&str]| {
            let statuses =
                deployment.statuses.iter().flat_map(|statuses| &statuses.nodes).flatten().flatten();
            statuses.filter(|s| states.contains(&s.state.as_str())).map(|s| s.created_at).min()
        };
        let success = first(&["SUCCESS"]);
        let failure = first(&["FAILURE", "ERROR"]).filter(|&at| success.is_none_or(|success| at <= success));
        Outcome { success, failure }
    }
}

/// Each reviewer's first review up to the merge, in order of time.
fn first_reviews(reviews: &[&Review], merged_at: DateTime<Utc>) -> Vec<FirstReview> {
    let mut first: BTreeMap<String, FirstReview> = BTreeMap::new();
    for review in reviews.iter().filter(|review| review.state != "PENDING") {
        let Some(at) = review.submitted_at.filter(|&at| at <= merged_at) else { continue };
        let member = Actor::member(review.author.as_ref());
        let found = FirstReview { member: member.name.clone(), member_kind: member.kind, at };
        let kept = first.entry(member.name).or_insert_with(|| found.clone());
        if found.at < kept.at {
            *kept = found;
        }
    }
    let mut first: Vec<FirstReview> = first.into_values().collect();
    first.sort_by(|a, b| (a.at, &a.member).cmp(&(b.at, &b.member)));
    first
}

struct ClosingFact {
    at: DateTime<Utc>,
    undone: bool,
}

/// Every moment that may have been told as a closing's, and whether it was undone. The closing that holds
/// now is the one in the timeline that belongs to `closed_at`; where the timeline has none, `closed_at`
/// itself; and none where there was a merge, which closes too and counts as a merge only.
///
/// GitHub may have shown `closed_at` before its closing was in the timeline, and a merge as a closing before
/// it was one. So `closed_at` and the merge's own closing are told as undone where they do not hold. That is
/// often a matter of one second and thus of one version, of which the retracted telling wins.
fn closings(
    timeline: &Option<Vec<Option<Closing>>>,
    closed_at: Option<DateTime<Utc>>,
    merged: bool,
) -> Vec<ClosingFact> {
    let mut times: Vec<DateTime<Utc>> =
        timeline.iter().flatten().flatten().filter_map(|closing| closing.created_at).collect();
    times.sort_unstable();
    let current = closed_at.and_then(|closed| {
        let near = times.iter().copied().filter(|at| (*at - closed).abs() <= SAME_CLOSING);
        near.min_by_key(|at| (*at - closed).abs())
    });
    // By the second, as ids are: two facts of one id would contradict each other.
    let holds = current.or(closed_at).filter(|_| !merged).map(|at| at.timestamp());
    times.extend(closed_at);
    times.sort_unstable();
    times.dedup_by_key(|at| at.timestamp());
    times.into_iter().map(|at| ClosingFact { at, undone: Some(at.timestamp()) != holds }).collect()
}

#[cfg(test)]
mod tests;
