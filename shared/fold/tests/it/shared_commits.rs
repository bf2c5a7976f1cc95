//! Commits that lie in several repositories.

use gam_fold::fold;
use gam_model::metric::Counter;
use gam_model::{Event, EventKind, Identity, Subject};

use crate::support::{commit, count, event, hour, january, month_rollup, rows};

/// Repository 1 has shas 1 to 9, and repository 2 shas 6 to 9 and no others: 13 rows, 9 commits.
fn fork() -> Vec<Event> {
    let commits = |repo, shas: std::ops::RangeInclusive<i64>| {
        shas.map(move |sha| commit(repo, &format!("{sha:040x}"), "ann", hour(sha)))
    };
    commits(1, 1..=9).chain(commits(2, 6..=9)).collect()
}

#[test]
fn a_shared_commit_counts_once_for_the_organization_and_its_author() {
    let commits = |subject| count(&fork(), subject, Counter::Commits);
    assert_eq!(commits(Subject::Org), 9);
    assert_eq!(commits(Subject::member("ann")), 9);
    assert_eq!((commits(Subject::Repo(1)), commits(Subject::Repo(2))), (9, 4));
    assert_eq!(count(&fork(), Subject::Org, Counter::Additions), 90);
    let org = month_rollup(&fork(), Subject::Org);
    assert_eq!(org.people.repos, [1, 2].into(), "both repositories have credited commits");
    let fork_alone = month_rollup(&fork(), Subject::Repo(2));
    assert_eq!(fork_alone.people.members, ["ann".to_owned()].into());
    assert_eq!(fold(january(), &rows(&fork()), &Identity::default()).unwrap().events(), 13);
}

#[test]
fn the_row_with_counted_lines_counts_then_the_smallest_repository() {
    let sha = "a".repeat(40);
    let of_repo = |repo, name: &str, additions| {
        let mut commit = commit(repo, &sha, name, hour(3));
        commit.facts.additions = additions;
        commit.facts.co_authors = Some(vec!["cy".to_owned()]);
        commit
    };
    let credited = |events: &[Event]| {
        let org = month_rollup(events, Subject::Org).people;
        let co_authored = count(events, Subject::member("cy"), Counter::CoAuthoredCommits);
        assert_eq!((org.counts[Counter::Commits as usize], co_authored), (1, 1));
        let members: Vec<String> = org.members.into_iter().collect();
        (members.join(" "), org.counts[Counter::Additions as usize])
    };
    let lines = |first, second| [of_repo(3, "ann", first), of_repo(5, "ben", second)];
    assert_eq!(credited(&lines(Some(7), Some(8))), ("ann".into(), 7));
    assert_eq!(credited(&lines(None, Some(8))), ("ben".into(), 8));
    assert_eq!(credited(&lines(None, None)), ("ann".into(), 0));
    let retracted = lines(Some(7), Some(8)).map(|event| Event { retracted: event.repo_id == 3, ..event });
    assert_eq!(credited(&retracted), ("ben".into(), 8));
}

#[test]
fn only_commits_are_shared_by_their_sha() {
    let sha = "b".repeat(40);
    let deployments = [1, 2].map(|repo| {
        let mut event = event(EventKind::DeploymentSuccess, repo, "ann", hour(5));
        event.id = gam_model::EventId::deployment_success(repo);
        event.facts.sha = Some(sha.clone());
        event
    });
    assert_eq!(count(&deployments, Subject::Org, Counter::Deploys), 2);
}
