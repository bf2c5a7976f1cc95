//! Events: immutable facts with deterministic ids.
//!
//! The same fact has the same [`EventId`] whether polling, a webhook or a backfill found it. Of two rows with
//! one id, [`Event::supersedes`] picks the winner. The winner does not depend on the order of arrival.

use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::member::{Member, MemberKind};
use crate::period::Month;

/// What sort of fact an event is.
///
/// The variants' snake-case names are stored in the lake and are part of the content hash.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
    /// All kinds, in declaration order.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the kind with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns whether it is a release or a deployment. By default these count whoever made them, because a
    /// workflow does it more often than a person.
    pub fn is_delivery(self) -> bool {
        matches!(self, EventKind::Release | EventKind::DeploymentSuccess | EventKind::DeploymentFailure)
    }
}

/// The identity of a fact, as text. Times in ids are epoch seconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// Identifies a commit of a repository's default branch.
    pub fn commit(repo_id: i64, sha: &str) -> Self {
        EventId(format!("commit:{repo_id}:{sha}"))
    }

    /// Identifies the opening of a pull request.
    pub fn pr_opened(repo_id: i64, number: i64) -> Self {
        EventId(format!("pr:{repo_id}:{number}:opened"))
    }

    /// Identifies the merge of a pull request.
    pub fn pr_merged(repo_id: i64, number: i64) -> Self {
        EventId(format!("pr:{repo_id}:{number}:merged"))
    }

    /// Identifies one closing of a pull request. The time is part of the id, because a pull request can be
    /// closed several times.
    pub fn pr_closed(repo_id: i64, number: i64, at: DateTime<Utc>) -> Self {
        EventId(format!("pr:{repo_id}:{number}:closed:{}", at.timestamp()))
    }

    /// Identifies a submitted review.
    pub fn review(review_id: i64) -> Self {
        EventId(format!("review:{review_id}"))
    }

    /// Identifies the opening of an issue.
    pub fn issue_opened(repo_id: i64, number: i64) -> Self {
        EventId(format!("issue:{repo_id}:{number}:opened"))
    }

    /// Identifies one closing of an issue.
    pub fn issue_closed(repo_id: i64, number: i64, at: DateTime<Utc>) -> Self {
        EventId(format!("issue:{repo_id}:{number}:closed:{}", at.timestamp()))
    }

    /// Identifies one publication of a release.
    pub fn release(release_id: i64, published_at: DateTime<Utc>) -> Self {
        EventId(format!("release:{release_id}:{}", published_at.timestamp()))
    }

    /// Identifies the first success of a deployment.
    pub fn deployment_success(deployment_id: i64) -> Self {
        EventId(format!("deployment:{deployment_id}:success"))
    }

    /// Identifies the first failure of a deployment that has not succeeded.
    pub fn deployment_failure(deployment_id: i64) -> Self {
        EventId(format!("deployment:{deployment_id}:failure"))
    }

    /// Identifies the first success of a run of a workflow.
    pub fn workflow_run_success(run_id: i64) -> Self {
        EventId(format!("workflow_run:{run_id}:success"))
    }

    /// Identifies the first failure of a run of a workflow that has not succeeded.
    pub fn workflow_run_failure(run_id: i64) -> Self {
        EventId(format!("workflow_run:{run_id}:failure"))
    }

    /// Wraps an id that was read from the lake.
    pub fn from_stored(id: impl Into<String>) -> Self {
        EventId(id.into())
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reviewer's first review of a merged pull request, not after the merge.
///
/// An event holds one for every reviewer, so that rules for bots and aliases can change later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FirstReview {
    /// The reviewer's name, as in [`Member::name`].
    pub member: String,
    /// What sort of actor the reviewer is.
    pub member_kind: MemberKind,
    /// When the review was submitted, UTC.
    pub at: DateTime<Utc>,
}

/// The properties of an event that depend on its kind.
///
/// A field is `None` if the kind does not have it or GitHub did not return it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Commits: the commit's SHA. Deployments: the SHA of the deployed commit.
    pub sha: Option<String>,
    /// Commits: the number of parents. A merge commit has more than one.
    pub parents: Option<i32>,
    /// Commits: lines added; `None` if GitHub refused to count them.
    pub additions: Option<i64>,
    /// Commits: lines deleted; `None` if GitHub refused to count them.
    pub deletions: Option<i64>,
    /// Commits: files changed; `None` if GitHub refused to count them.
    pub files_changed: Option<i64>,
    /// Commits: names of members from `Co-authored-by` trailers.
    pub co_authors: Option<Vec<String>>,
    /// Pull requests, reviews and issues: the number of the pull request or issue.
    pub number: Option<i64>,
    /// Reviews: the name of the pull request's author.
    pub pr_member: Option<String>,
    /// Pull requests and issues: `open`, `closed` or `merged`.
    pub state: Option<String>,
    /// Pull requests: whether it is a draft.
    pub draft: Option<bool>,
    /// Pull requests, issues, releases and deployments: when it was created, UTC.
    pub created_at: Option<DateTime<Utc>>,
    /// Pull requests: when it was merged, UTC.
    pub merged_at: Option<DateTime<Utc>>,
    /// Merged pull requests: the first review of each reviewer, not after the merge.
    pub first_reviews: Option<Vec<FirstReview>>,
    /// Pull requests and issues: label names.
    pub labels: Option<Vec<String>>,
    /// Reviews: `approved`, `changes_requested`, `commented` or `dismissed`.
    pub review_state: Option<String>,
    /// Deployments: the name of the environment.
    pub environment: Option<String>,
    /// Releases: the name of the tag.
    pub tag: Option<String>,
    /// Pull requests: the name of the branch that is to be merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_ref: Option<String>,
    /// Pull requests: GitHub's numeric id of the repository that has that branch; `None` if it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_repo_id: Option<i64>,
    /// Merged pull requests: the SHA of the commit that the merge made on the base branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_sha: Option<String>,
    /// Workflow runs that count as deployments: the file name of the workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// Commits whose author has no account: [`Member::author_name_hash`] of the author's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_name_hash: Option<String>,
}

/// An immutable fact about activity in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The identity of the fact.
    pub id: EventId,
    /// Orders the versions of the fact: the greater one is newer. Derived from what GitHub returned.
    pub version: i64,
    /// What sort of fact it is.
    pub kind: EventKind,
    /// The organization's storage key, in any case: the login at its first collection.
    pub org: String,
    /// The repository's name when the event was collected.
    pub repo: String,
    /// GitHub's numeric repository id: the repository's identity.
    pub repo_id: i64,
    /// The member credited with the event.
    pub member: Member,
    /// When it happened, UTC.
    pub occurred_at: DateTime<Utc>,
    /// When it was read from GitHub, UTC, by GitHub's clock. Not part of the content hash.
    pub collected_at: DateTime<Utc>,
    /// Whether the fact is no longer true. A retracted event counts nowhere.
    pub retracted: bool,
    /// The version of the code that turned GitHub's answer into the event, 0 for events of programs that had
    /// none. Of two events that are equally new, the one that was read by newer code wins.
    pub reading: i64,
    /// The properties that depend on the kind.
    pub facts: Facts,
}

#[derive(Serialize)]
struct EventContent<'a> {
    id: &'a EventId,
    version: i64,
    kind: EventKind,
    repo: &'a str,
    repo_id: i64,
    member: &'a Member,
    occurred_at: i64,
    retracted: bool,
    reading: i64,
    facts: &'a Facts,
}

impl Event {
    /// Returns the SHA-256 of the content: all fields but `collected_at`, and `org`, which an organization may
    /// change.
    pub fn content_hash(&self) -> [u8; 32] {
        let content = EventContent {
            id: &self.id,
            version: self.version,
            kind: self.kind,
            repo: &self.repo,
            repo_id: self.repo_id,
            member: &self.member,
            occurred_at: self.occurred_at.timestamp_millis(),
            retracted: self.retracted,
            reading: self.reading,
            facts: &self.facts,
        };
        let bytes = serde_json::to_vec(&content).expect("event content always serializes to JSON");
        Sha256::digest(&bytes).into()
    }

    /// Compares two events with the same id. The winner is the greater one.
    ///
    /// The greater version wins; of equal versions a retracted event; then the greater `reading`; then the
    /// greater content hash. Events with the same content are equal.
    pub fn version_order(&self, other: &Event) -> Ordering {
        let rank = |event: &Event| (event.version, event.retracted, event.reading);
        rank(self).cmp(&rank(other)).then_with(|| {
            if self.has_same_content(other) {
                Ordering::Equal
            } else {
                self.content_hash().cmp(&other.content_hash())
            }
        })
    }

    /// Returns whether this event replaces `other`, which has the same id.
    ///
    /// Of events with the same content the one collected first stays, so reading a fact again changes
    /// nothing.
    pub fn supersedes(&self, other: &Event) -> bool {
        match self.version_order(other) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => self.collected_at < other.collected_at,
        }
    }

    /// Returns whether the contents are equal, as in [`Event::content_hash`].
    pub fn has_same_content(&self, other: &Event) -> bool {
        self.id == other.id
            && self.version == other.version
            && self.kind == other.kind
            && self.repo == other.repo
            && self.repo_id == other.repo_id
            && self.member == other.member
            && self.occurred_at == other.occurred_at
            && self.retracted == other.retracted
            && self.reading == other.reading
            && self.facts == other.facts
    }

    /// Returns the UTC month in which the event occurred.
    pub fn month(&self) -> Month {
        Month::of(self.occurred_at.date_naive())
    }
}

/// Events of one organization that are written together, at most one per id, sorted by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventBatch {
    org: String,
    events: Vec<Event>,
}

impl EventBatch {
    /// Creates a batch. Keeps only the winner of several events with one id, and sorts by id, so that the
    /// same facts always make the same batch.
    pub fn new(org: impl Into<String>, mut events: Vec<Event>) -> Self {
        events.sort_by(|a, b| {
            a.id.cmp(&b.id).then_with(|| b.version_order(a)).then_with(|| a.collected_at.cmp(&b.collected_at))
        });
        events.dedup_by(|loser, winner| loser.id == winner.id);
        EventBatch { org: org.into(), events }
    }

    /// Returns the organization's storage key, in any case.
    pub fn org(&self) -> &str {
        &self.org
    }

    /// Returns the events, sorted by id.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the events, sorted by id, without copying them.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }

    /// Returns the SHA-256, in hex, of the events' content hashes.
    ///
    /// It names the batch in the inbox, so writing the same facts again writes nothing.
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
            reading: 0,
            facts: Facts { state: Some(state.into()), ..Facts::default() },
        }
    }

    #[test]
    fn stored_names_of_kinds_do_not_change() {
        let names = EventKind::ALL.map(EventKind::as_str);
        assert_eq!(
            names,
            [
                "commit",
                "pr_opened",
                "pr_merged",
                "pr_closed",
                "review",
                "issue_opened",
                "issue_closed",
                "release",
                "deployment_success",
                "deployment_failure",
            ]
        );
        assert_eq!(names.map(EventKind::parse), EventKind::ALL.map(Some));
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn ids_do_not_change() {
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
    fn the_winner_does_not_depend_on_arrival_order() {
        let versions = [
            event(1, false, "open", 10),
            event(2, false, "open", 20),
            event(2, true, "open", 15),
            event(2, false, "closed", 5),
            event(2, true, "open", 12),
            Event { reading: 1, ..event(2, false, "closed", 30) },
        ];
        for a in &versions {
            for b in &versions {
                assert!(!(a.supersedes(b) && b.supersedes(a)), "{a:?} {b:?}");
            }
        }
        let winner = |order: &[usize]| {
            let mut best = versions[order[0]].clone();
            for &i in &order[1..] {
                if versions[i].supersedes(&best) {
                    best = versions[i].clone();
                }
            }
            best
        };
        let expected = winner(&[0, 1, 2, 3, 4]);
        assert!(expected.retracted && expected.collected_at.timestamp() == 12);
        assert_eq!(expected, winner(&[4, 3, 2, 1, 0]));
        assert_eq!(expected, winner(&[2, 0, 4, 1, 3]));
    }

    #[test]
    fn newer_code_wins_over_older_code_but_not_over_a_newer_version() {
        let newer_code = |version, retracted| Event { reading: 1, ..event(version, retracted, "open", 10) };
        for state in ["open", "closed", "merged"] {
            assert!(newer_code(1, false).supersedes(&event(1, false, state, 5)));
            assert!(event(2, false, state, 5).supersedes(&newer_code(1, false)));
            assert!(event(1, true, state, 5).supersedes(&newer_code(1, false)), "the retraction wins");
        }
    }

    #[test]
    fn the_name_of_the_organization_is_no_content() {
        let renamed = Event { org: "acme-two".into(), ..event(1, false, "open", 20) };
        let before = event(1, false, "open", 10);
        assert!(renamed.has_same_content(&before));
        assert_eq!(renamed.content_hash(), before.content_hash());
        assert!(!renamed.supersedes(&before));
    }

    #[test]
    fn the_batch_hash_ignores_collection_times() {
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
            head_ref: Some("fix".into()),
            head_repo_id: Some(8),
            merge_sha: Some("2c3d".into()),
            workflow: Some("deploy.yml".into()),
            author_name_hash: Some("~0123456789ab".into()),
        };
        Event { id, kind, facts, ..event(1, false, "", 10) }
    }

    /// The lake holds these ids: with other ones the same fact would be stored twice. Hashes decide between
    /// equally new events, and name batches.
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
