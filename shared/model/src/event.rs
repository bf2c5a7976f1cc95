//! Events: immutable facts with deterministic ids.
//!
//! The same fact found by polling, by webhook or by backfill has the same [`EventId`]. Of two rows
//! with one id [`Event::supersedes`] names the winner, by a rule that every order of arrival ends
//! alike under.

use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::member::{Member, MemberKind};
use crate::period::Month;

/// What sort of fact an event states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A commit reached the default branch.
    Commit,
    /// A pull request was opened.
    PrOpened,
    /// A pull request was merged.
    PrMerged,
    /// A pull request was closed without being merged.
    PrClosed,
    /// A review was submitted.
    Review,
    /// An issue was opened.
    IssueOpened,
    /// An issue was closed.
    IssueClosed,
    /// A release was published.
    Release,
    /// A deployment reached `success` for the first time.
    DeploymentSuccess,
    /// A deployment reached `failure` or `error`, and never `success`.
    DeploymentFailure,
}

impl EventKind {
    /// Every kind, in the order in which they are declared.
    pub const ALL: [EventKind; 10] = [
        EventKind::Commit,
        EventKind::PrOpened,
        EventKind::PrMerged,
        EventKind::PrClosed,
        EventKind::Review,
        EventKind::IssueOpened,
        EventKind::IssueClosed,
        EventKind::Release,
        EventKind::DeploymentSuccess,
        EventKind::DeploymentFailure,
    ];

    /// The name used in the lake.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Commit => "commit",
            EventKind::PrOpened => "pr_opened",
            EventKind::PrMerged => "pr_merged",
            EventKind::PrClosed => "pr_closed",
            EventKind::Review => "review",
            EventKind::IssueOpened => "issue_opened",
            EventKind::IssueClosed => "issue_closed",
            EventKind::Release => "release",
            EventKind::DeploymentSuccess => "deployment_success",
            EventKind::DeploymentFailure => "deployment_failure",
        }
    }

    /// The kind of that name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The identity of a fact. Times in ids are epoch seconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// A commit reachable from a repository's default branch.
    pub fn commit(repo_id: i64, sha: &str) -> Self {
        EventId(format!("commit:{repo_id}:{sha}"))
    }

    /// The opening of a pull request.
    pub fn pr_opened(repo_id: i64, number: i64) -> Self {
        EventId(format!("pr:{repo_id}:{number}:opened"))
    }

    /// The merge of a pull request.
    pub fn pr_merged(repo_id: i64, number: i64) -> Self {
        EventId(format!("pr:{repo_id}:{number}:merged"))
    }

    /// One closing of a pull request; it can be closed again later, so the time is part of the id.
    pub fn pr_closed(repo_id: i64, number: i64, at: DateTime<Utc>) -> Self {
        EventId(format!("pr:{repo_id}:{number}:closed:{}", at.timestamp()))
    }

    /// A submitted review.
    pub fn review(review_id: i64) -> Self {
        EventId(format!("review:{review_id}"))
    }

    /// The opening of an issue.
    pub fn issue_opened(repo_id: i64, number: i64) -> Self {
        EventId(format!("issue:{repo_id}:{number}:opened"))
    }

    /// One closing of an issue.
    pub fn issue_closed(repo_id: i64, number: i64, at: DateTime<Utc>) -> Self {
        EventId(format!("issue:{repo_id}:{number}:closed:{}", at.timestamp()))
    }

    /// One publication of a release.
    pub fn release(release_id: i64, published_at: DateTime<Utc>) -> Self {
        EventId(format!("release:{release_id}:{}", published_at.timestamp()))
    }

    /// The first success of a deployment.
    pub fn deployment_success(deployment_id: i64) -> Self {
        EventId(format!("deployment:{deployment_id}:success"))
    }

    /// The first failure of a deployment that has not succeeded.
    pub fn deployment_failure(deployment_id: i64) -> Self {
        EventId(format!("deployment:{deployment_id}:failure"))
    }

    /// An id read back from the lake.
    pub fn from_stored(id: impl Into<String>) -> Self {
        EventId(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reviewer's first review of a merged pull request, up to the merge. All reviewers are kept, so
/// that bots and aliases named later still apply.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FirstReview {
    /// The reviewer's name, as in [`Member::name`].
    pub member: String,
    /// What sort of actor the reviewer is.
    pub member_kind: MemberKind,
    /// When the review was submitted.
    pub at: DateTime<Utc>,
}

/// What an event says beyond who, where and when. Which fields are set depends on the kind; a field
/// that GitHub did not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Commits: the object id. Deployments: the commit deployed.
    pub sha: Option<String>,
    /// Commits: how many parents; more than one makes a merge commit.
    pub parents: Option<i32>,
    /// Commits: lines added, unknown where GitHub refuses to count.
    pub additions: Option<i64>,
    /// Commits: lines deleted.
    pub deletions: Option<i64>,
    /// Commits: files changed.
    pub files_changed: Option<i64>,
    /// Commits: members named by `Co-authored-by` trailers.
    pub co_authors: Option<Vec<String>>,
    /// Pull requests, their reviews, and issues: the number.
    pub number: Option<i64>,
    /// Reviews: the author of the pull request.
    pub pr_member: Option<String>,
    /// Pull requests and issues: `open`, `closed` or `merged`.
    pub state: Option<String>,
    /// Pull requests: whether it is a draft.
    pub draft: Option<bool>,
    /// Pull requests, issues, releases, deployments: when it was created.
    pub created_at: Option<DateTime<Utc>>,
    /// Pull requests: when it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// Merged pull requests: each reviewer's first review up to the merge.
    pub first_reviews: Option<Vec<FirstReview>>,
    /// Pull requests and issues: label names.
    pub labels: Option<Vec<String>>,
    /// Reviews: `approved`, `changes_requested`, `commented` or `dismissed`.
    pub review_state: Option<String>,
    /// Deployments: the environment.
    pub environment: Option<String>,
    /// Releases: the tag.
    pub tag: Option<String>,
}

/// An immutable fact about an organization's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The identity of the fact.
    pub id: EventId,
    /// Which telling of the fact is newer: an integer that follows from what GitHub said.
    pub version: i64,
    /// What sort of fact it is.
    pub kind: EventKind,
    /// The organization's login.
    pub org: String,
    /// The repository's name when the event was collected.
    pub repo: String,
    /// GitHub's numeric repository id: the repository's identity.
    pub repo_id: i64,
    /// Who is credited.
    pub member: Member,
    /// When it happened, UTC.
    pub occurred_at: DateTime<Utc>,
    /// When it was read from GitHub, UTC. Not part of the content.
    pub collected_at: DateTime<Utc>,
    /// The fact stopped being true; it counts nowhere.
    pub retracted: bool,
    /// The rest.
    pub facts: Facts,
}

#[derive(Serialize)]
struct Content<'a> {
    id: &'a EventId,
    version: i64,
    kind: EventKind,
    org: &'a str,
    repo: &'a str,
    repo_id: i64,
    member: &'a Member,
    occurred_at: i64,
    retracted: bool,
    facts: &'a Facts,
}

impl Event {
    /// The SHA-256 of everything the event says, `collected_at` aside.
    pub fn content_hash(&self) -> [u8; 32] {
        let content = Content {
            id: &self.id,
            version: self.version,
            kind: self.kind,
            org: &self.org,
            repo: &self.repo,
            repo_id: self.repo_id,
            member: &self.member,
            occurred_at: self.occurred_at.timestamp_millis(),
            retracted: self.retracted,
            facts: &self.facts,
        };
        let bytes = serde_json::to_vec(&content).expect("an event's content has no map keys that could fail");
        Sha256::digest(&bytes).into()
    }

    /// The order of two tellings of one fact: the newer version wins, then the retracted one, then
    /// the one with the greater content hash. Tellings that say the same are equal here.
    pub fn telling_order(&self, other: &Event) -> Ordering {
        (self.version, self.retracted).cmp(&(other.version, other.retracted)).then_with(|| {
            if self.same_content(other) {
                Ordering::Equal
            } else {
                self.content_hash().cmp(&other.content_hash())
            }
        })
    }

    /// Whether this telling replaces `other`, which has the same id. Of tellings that say the same
    /// the one collected first stays, so reading a fact again changes nothing.
    pub fn supersedes(&self, other: &Event) -> bool {
        match self.telling_order(other) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => self.collected_at < other.collected_at,
        }
    }

    /// Whether both say the same, `collected_at` aside.
    pub fn same_content(&self, other: &Event) -> bool {
        self.id == other.id
            && self.version == other.version
            && self.kind == other.kind
            && self.org == other.org
            && self.repo == other.repo
            && self.repo_id == other.repo_id
            && self.member == other.member
            && self.occurred_at == other.occurred_at
            && self.retracted == other.retracted
            && self.facts == other.facts
    }

    /// The UTC month the event belongs to.
    pub fn month(&self) -> Month {
        Month::of(self.occurred_at.date_naive())
    }
}

/// Events of one organization that are written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    org: String,
    events: Vec<Event>,
}

impl EventBatch {
    /// A batch of the organization's events: of tellings of one fact only the winner is kept, and
    /// the order is that of the ids, so the same facts always make the same batch.
    pub fn new(org: impl Into<String>, mut events: Vec<Event>) -> Self {
        events.sort_by(|a, b| {
            a.id.cmp(&b.id).then_with(|| b.telling_order(a)).then_with(|| a.collected_at.cmp(&b.collected_at))
        });
        events.dedup_by(|later, first| later.id == first.id);
        EventBatch { org: org.into(), events }
    }

    /// The organization's login.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// The events, ordered by id.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The events, ordered by id.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// The SHA-256, in hex, of the logical content: what the events say, `collected_at` aside. It
    /// names the batch in the inbox, so writing the same facts again writes nothing.
    pub fn content_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for event in &self.events {
            hasher.update(event.content_hash());
        }
        hex::encode(hasher.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(version: i64, retracted: bool, state: &str, collected: i64) -> Event {
        Event {
            id: EventId::pr_opened(7, 1),
            version,
            kind: EventKind::PrOpened,
            org: "acme".into(),
            repo: "site".into(),
            repo_id: 7,
            member: Member::account("ann", Some(1), false),
            occurred_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            collected_at: DateTime::from_timestamp(collected, 0).unwrap(),
            retracted,
            facts: Facts { state: Some(state.into()), ..Facts::default() },
        }
    }

    #[test]
    fn ids_are_those_of_the_contract() {
        let at = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        assert_eq!(EventId::commit(1, "abc").as_str(), "commit:1:abc");
        assert_eq!(EventId::pr_opened(1, 2).as_str(), "pr:1:2:opened");
        assert_eq!(EventId::pr_merged(1, 2).as_str(), "pr:1:2:merged");
        assert_eq!(EventId::pr_closed(1, 2, at).as_str(), "pr:1:2:closed:1700000000");
        assert_eq!(EventId::review(9).as_str(), "review:9");
        assert_eq!(EventId::issue_opened(1, 2).as_str(), "issue:1:2:opened");
        assert_eq!(EventId::issue_closed(1, 2, at).as_str(), "issue:1:2:closed:1700000000");
        assert_eq!(EventId::release(5, at).as_str(), "release:5:1700000000");
        assert_eq!(EventId::deployment_success(5).as_str(), "deployment:5:success");
        assert_eq!(EventId::deployment_failure(5).as_str(), "deployment:5:failure");
    }

    #[test]
    fn the_winner_does_not_depend_on_the_order_of_arrival() {
        let tellings = [
            event(1, false, "open", 10),
            event(2, false, "open", 20),
            event(2, true, "open", 15),
            event(2, false, "closed", 5),
            event(2, true, "open", 12),
        ];
        for a in &tellings {
            for b in &tellings {
                assert!(!(a.supersedes(b) && b.supersedes(a)), "{a:?} {b:?}");
            }
        }
        let winner = |order: &[usize]| {
            let mut best = tellings[order[0]].clone();
            for &i in &order[1..] {
                if tellings[i].supersedes(&best) {
                    best = tellings[i].clone();
                }
            }
            best
        };
        let first = winner(&[0, 1, 2, 3, 4]);
        assert!(first.retracted && first.collected_at.timestamp() == 12);
        assert_eq!(first, winner(&[4, 3, 2, 1, 0]));
        assert_eq!(first, winner(&[2, 0, 4, 1, 3]));
    }

    #[test]
    fn a_batch_is_named_by_what_it_says() {
        let one = EventBatch::new("acme", vec![event(1, false, "open", 10), event(1, false, "open", 99)]);
        let two = EventBatch::new("acme", vec![event(1, false, "open", 50)]);
        assert_eq!(one.events().len(), 1);
        assert_eq!(one.events()[0].collected_at.timestamp(), 10);
        assert_eq!(one.content_hash(), two.content_hash());
        assert_ne!(
            one.content_hash(),
            EventBatch::new("acme", vec![event(2, false, "open", 50)]).content_hash()
        );
    }

    /// An event with every fact set.
    fn full_event(kind: EventKind) -> Event {
        let at = |seconds: i64| DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap();
        let id = match kind {
            EventKind::Commit => EventId::commit(7, "0a1b"),
            EventKind::PrOpened => EventId::pr_opened(7, 1),
            EventKind::PrMerged => EventId::pr_merged(7, 1),
            EventKind::PrClosed => EventId::pr_closed(7, 1, at(5)),
            EventKind::Review => EventId::review(9),
            EventKind::IssueOpened => EventId::issue_opened(7, 2),
            EventKind::IssueClosed => EventId::issue_closed(7, 2, at(6)),
            EventKind::Release => EventId::release(3, at(7)),
            EventKind::DeploymentSuccess => EventId::deployment_success(4),
            EventKind::DeploymentFailure => EventId::deployment_failure(5),
        };
        let reviewer = FirstReview { member: "bob".into(), member_kind: MemberKind::User, at: at(3) };
        let facts = Facts {
            sha: Some("0a1b".into()),
            parents: Some(1),
            additions: Some(2),
            deletions: Some(3),
            files_changed: Some(4),
            co_authors: Some(vec!["bob".into()]),
            number: Some(5),
            pr_member: Some("ann".into()),
            state: Some("merged".into()),
            draft: Some(false),
            created_at: Some(at(1)),
            merged_at: Some(at(2)),
            first_reviews: Some(vec![reviewer]),
            labels: Some(vec!["bug".into()]),
            review_state: Some("approved".into()),
            environment: Some("production".into()),
            tag: Some("v1".into()),
        };
        Event { id, kind, facts, ..event(1, false, "", 10) }
    }

    /// The lake holds these ids, and its batches are named by these hashes: with other ones the same fact
    /// would be stored twice.
    #[test]
    fn ids_and_content_hashes_never_change() {
        let events = EventKind::ALL.map(full_event);
        let mut lines: Vec<String> = events
            .iter()
            .map(|event| {
                let (kind, hash) = (event.kind.as_str(), hex::encode(event.content_hash()));
                format!("{kind:<18} {:<30} {hash}", event.id.as_str())
            })
            .collect();
        lines.push(format!("batch of all: {}", EventBatch::new("Acme", events.to_vec()).content_hash()));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("event_ids", lines.join("\n"));
        });
    }
}
