//! The organization "Acme" with two repositories, some events, and their rollups.

use axum::Router;
use chrono::{DateTime, Utc};
use gam_access::{Principal, Role};
use gam_aggregate::aggregate;
use gam_model::{Event, EventBatch, EventId, EventKind, Facts, FirstReview, Member, MemberKind};
use gam_store::{NameEntry, NameKind, NameStore};
use gam_work::CachedIssue;
use gam_work::tasks::{RequestOutcome, WorkRequest};
use gam_work::testing::{self, store_action, task_issue};

use super::{ACTION_ID, TestData, fixed_clock};

/// A repository: name and id.
type Repo = (&'static str, i64);

const SITE: Repo = ("Site", 1);
const TOOLS: Repo = ("tools", 2);

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn event(id: EventId, kind: EventKind, repo: Repo, member: &Member, when: &str, facts: Facts) -> Event {
    Event {
        id,
        version: 1,
        kind,
        org: "Acme".to_owned(),
        repo: repo.0.to_owned(),
        repo_id: repo.1,
        member: member.clone(),
        occurred_at: at(when),
        collected_at: at("2024-03-10T00:00:00Z"),
        retracted: false,
        reading: 0,
        facts,
    }
}

fn commit(sha: &str, repo: Repo, member: &Member, when: &str) -> Event {
    let facts = Facts {
        sha: Some(sha.to_owned()),
        parents: Some(1),
        additions: Some(10),
        deletions: Some(5),
        files_changed: Some(2),
        ..Facts::default()
    };
    event(EventId::commit(repo.1, sha), EventKind::Commit, repo, member, when, facts)
}

fn events() -> Vec<Event> {
    let ann = Member::account("Ann", Some(11), false);
    let bob = Member::account("bob", Some(12), false);
    let bot = Member::account("dependabot", Some(13), true);
    let unlinked = Member { name: "~0123456789ab".to_owned(), id: None, kind: MemberKind::Unlinked };
    let opened = "2024-03-01T10:00:00Z";
    let facts = Facts {
        number: Some(1),
        state: Some("merged".to_owned()),
        draft: Some(false),
        created_at: Some(at(opened)),
        merged_at: Some(at("2024-03-03T10:00:00Z")),
        ..Facts::default()
    };
    let first_review = FirstReview {
        member: "bob".to_owned(),
        member_kind: MemberKind::User,
        at: at("2024-03-01T16:00:00Z"),
    };
    let merged = Facts { first_reviews: Some(vec![first_review]), ..facts.clone() };
    let review = Facts { number: Some(1), pr_member: Some("Ann".to_owned()), ..Facts::default() };
    vec![
        commit("a1", SITE, &ann, "2023-01-02T00:00:00Z"),
        commit("a2", SITE, &ann, opened),
        commit("a3", SITE, &ann, "2024-03-04T10:00:00Z"),
        commit("b1", TOOLS, &bob, "2024-03-09T23:59:59Z"),
        commit("c1", SITE, &bot, "2024-03-05T10:00:00Z"),
        commit("d1", TOOLS, &unlinked, "2024-02-20T10:00:00Z"),
        event(EventId::pr_opened(1, 1), EventKind::PrOpened, SITE, &ann, opened, facts),
        event(EventId::pr_merged(1, 1), EventKind::PrMerged, SITE, &ann, "2024-03-03T10:00:00Z", merged),
        event(EventId::review(7), EventKind::Review, SITE, &bob, "2024-03-01T16:00:00Z", review),
    ]
}

/// Returns commits to a repository on 4 March 2024, one by each of this many members.
pub(crate) fn commits_of_members(repo: (&'static str, i64), members: u64) -> Vec<Event> {
    let commit_of = |number: u64| {
        let member = Member::account(&format!("member{number}"), Some(1000 + number as i64), false);
        commit(&format!("m{number}"), repo, &member, "2024-03-04T12:00:00Z")
    };
    (0..members).map(commit_of).collect()
}

/// Returns the organization, aggregated.
pub(crate) async fn data() -> TestData {
    data_with(&[], Vec::new()).await
}

/// Returns the organization with more repositories and events, aggregated.
pub(crate) async fn data_with(repos: &[(&'static str, i64)], more: Vec<Event>) -> TestData {
    let data = TestData::default();
    let mut names =
        vec![(NameKind::Org, 0, "Acme"), (NameKind::Repo, 1, "Site"), (NameKind::Repo, 2, "tools")];
    names.extend(repos.iter().map(|(name, id)| (NameKind::Repo, *id, *name)));
    let names = names.into_iter().map(|(kind, id, name)| NameEntry {
        kind,
        id,
        name: name.to_owned(),
        as_of: at("2024-03-10T00:00:00Z"),
    });
    let names: Vec<NameEntry> = names.collect();
    data.store.put_names("Acme", &names).await.expect("names are stored");
    let batch = EventBatch::new("Acme", [events(), more].concat());
    gam_lake::inbox::put(data.objects.as_ref(), &batch).await.expect("the batch is written");
    let report = aggregate(&data.aggregate_ports(), "acme", false, &()).await.expect("it aggregates");
    assert_eq!((report.batches, report.rejected.len()), (1, 0));
    for number in [5, 6] {
        store_issue(&data, &issue(number)).await;
    }
    let request = WorkRequest { worker: "ann".to_owned(), skills: Vec::new(), repos: Vec::new() };
    let principal = Principal::trusted("token:1", Role::Worker);
    let claimed = data.tasks(fixed_clock()).request(&principal, &request, &["acme".to_owned()]).await;
    assert!(matches!(claimed, Ok(RequestOutcome::Assigned(_))), "{claimed:?}");
    store_action(&*data.store, ACTION_ID, fixed_clock().now()).await;
    data
}

/// Returns an open issue of the repository "Site" with the task label.
pub(crate) fn issue(number: i64) -> CachedIssue {
    task_issue((SITE.1, SITE.0), number, at("2024-03-01T00:00:00Z"))
}

/// Stores an issue as the cache of issues does, with the task that follows from it.
pub(crate) async fn store_issue(data: &TestData, issue: &CachedIssue) {
    let (tasks, now) = (data.tasks(fixed_clock()), fixed_clock().now());
    testing::store_issue(&*data.store, &tasks, "acme", issue, now).await;
}

/// Returns the API over the organization.
pub(crate) async fn api() -> Router {
    data().await.api()
}
