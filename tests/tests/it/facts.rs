//! Small worlds, each with one thing that makes counting hard. Each is collected step by step and in one
//! backfill, and must always match the reference.

use chrono::TimeDelta;
use gam_tests::answers::{assert_matches_reference, assert_same_answers};
use gam_tests::github::world::{
    Account, Deployment, PullRequest, Release, ReleaseChange, Repo, Review, Signature, Thread, ThreadChange,
    Time, World, at,
};
use gam_tests::github::{Double, Fault};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::{SINCE, collect_and_aggregate, fetch_answers, full_range};

const BEGIN: &str = "2024-01-01";

fn ann() -> Option<Account> {
    Some(Account::user("Ann", 11))
}

fn signed_by(account: Option<Account>) -> Signature {
    Signature::new("somebody", "somebody@work.example", account)
}

fn world_of(change: impl FnOnce(&mut Repo)) -> World {
    let mut world = World::new("acme");
    let mut repo = Repo::new(7, "site", at(BEGIN));
    change(&mut repo);
    world.repos.push(repo);
    world
}

/// Collects at every time and compares the answers with the reference, and at the end with those of one
/// backfill.
fn collect_in_steps(world: &World, times: &[&str]) -> Sandbox {
    let double = Double::start(world.clone(), at(times[0]));
    let sandbox = Sandbox::with_github(&double);
    for time in times {
        double.set_now(at(time));
        collect_and_aggregate(&sandbox, &world.org);
        assert_matches_reference(sandbox.serve().address(), world, at(time), &full_range());
    }
    let now = at(times[times.len() - 1]);
    let backfill = Sandbox::with_github(&double);
    collect_and_aggregate(&backfill, &world.org);
    assert_same_answers(&fetch_answers(&backfill, world, now), &fetch_answers(&sandbox, world, now));
    sandbox
}

fn org_metric(sandbox: &Sandbox, metric: &str) -> serde_json::Value {
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/acme/metrics?since={SINCE}&until=2024-05-01");
    get(server.address(), &target).json()["metrics"][metric].clone()
}

#[test]
fn commits_that_land_late_count_at_their_own_date() {
    let world = world_of(|repo| {
        let old = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([5, 1, 1]));
        repo.push(at("2024-01-02T01:00:00Z"), &old);
        let branch = repo.commit(&[&old], at("2024-01-03"), &signed_by(None), Some([7, 0, 2]));
        let main = repo.commit(&[&old], at("2024-02-01"), &signed_by(ann()), Some([1, 1, 1]));
        repo.push(at("2024-02-01T01:00:00Z"), &main);
        let merge = repo.commit(&[&main, &branch], at("2024-03-01"), &signed_by(ann()), Some([9, 9, 9]));
        repo.push(at("2024-03-01T01:00:00Z"), &merge);
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-02-10", "2024-03-10"]);
    assert_eq!(org_metric(&sandbox, "commits"), 3);
    assert_eq!(org_metric(&sandbox, "additions"), 13);
    assert_eq!(org_metric(&sandbox, "merge_commits"), 1);
}

#[test]
fn hundreds_of_commits_can_land_at_once() {
    let world = world_of(|repo| {
        let base = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
        repo.push(at("2024-01-02"), &base);
        // More than two pages of a comparison, all of the same second. GitHub cannot count the lines of one.
        let mut tip = base.clone();
        for number in 0..250 {
            let lines = (number != 77).then_some([1, 0, 1]);
            tip = repo.commit(&[&tip], at("2024-01-05"), &signed_by(None), lines);
        }
        let merge = repo.commit(&[&base, &tip], at("2024-02-01"), &signed_by(ann()), Some([0, 0, 0]));
        repo.push(at("2024-02-01"), &merge);
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-02-10"]);
    assert_eq!(
        (org_metric(&sandbox, "commits"), org_metric(&sandbox, "additions")),
        (251.into(), 250.into())
    );
}

#[test]
fn an_organization_can_have_more_repositories_than_a_page() {
    let mut world = World::new("acme");
    for id in 1..=130 {
        let mut repo = Repo::new(id, &format!("repo-{id}"), at(BEGIN));
        let only = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
        repo.push(at("2024-01-02"), &only);
        world.repos.push(repo);
    }
    let double = Double::start(world.clone(), at("2024-01-10"));
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    assert_eq!(org_metric(&sandbox, "commits"), 130);
    assert_eq!(org_metric(&sandbox, "total_repos"), 130);
    let before = double.request_count();
    sandbox.run(&["collect", "acme"]).expect_status(0);
    assert_eq!(double.request_count() - before, 2, "one request for each hundred repositories");
}

#[test]
fn a_force_push_retracts_commits_until_they_are_pushed_again() {
    let world = world_of(|repo| {
        let base = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
        let replaced = repo.commit(&[&base], at("2024-01-03"), &signed_by(None), Some([10, 0, 1]));
        let replacement = repo.commit(&[&base], at("2024-01-04"), &signed_by(ann()), Some([100, 0, 1]));
        repo.push(at("2024-01-05"), &replaced);
        repo.push(at("2024-01-15"), &replacement);
        repo.push(at("2024-01-25"), &replaced);
        repo.push(at("2024-02-05"), &replacement);
        repo.push(at("2024-02-15"), &base);
    });
    let times = ["2024-01-10", "2024-01-20", "2024-01-30", "2024-02-10", "2024-02-20"];
    for (steps, additions) in (1..).zip([11, 101, 11, 101, 1]) {
        let sandbox = collect_in_steps(&world, &times[..steps]);
        assert_eq!(org_metric(&sandbox, "additions"), additions);
    }
}

#[test]
fn closings_count_at_the_time_of_their_event_until_undone() {
    let closed = |event_offset_s| ThreadChange::Closed { event_offset_s };
    let world = world_of(|repo| {
        // The event is one second later, in the next month.
        repo.issues.push(
            Thread::new(1, ann(), at("2024-01-02")).with_change(at("2024-01-31T23:59:59Z"), closed(Some(1))),
        );
        repo.issues.push(
            Thread::new(2, None, at("2024-01-02"))
                .with_change(at("2024-01-05"), closed(Some(0)))
                .with_change(at("2024-01-15"), ThreadChange::Reopened)
                .with_change(at("2024-02-05"), closed(Some(2)))
                .with_change(at("2024-02-06"), ThreadChange::Edited),
        );
        let reopened = Thread::new(3, ann(), at("2024-01-03"))
            .with_change(at("2024-01-06"), closed(Some(-1)))
            .with_change(at("2024-01-16"), ThreadChange::Reopened)
            .with_change(at("2024-01-26"), ThreadChange::Merged);
        repo.pulls.push(PullRequest::new(reopened));
        let reopened_later =
            Thread::new(4, None, at("2024-01-03")).with_change(at("2024-01-06"), closed(Some(1)));
        repo.pulls
            .push(PullRequest::new(reopened_later.with_change(at("2024-02-16"), ThreadChange::Reopened)));
        // Its timeline has no event for the closing.
        let closed_without_event =
            Thread::new(5, ann(), at("2024-01-03")).with_change(at("2024-01-18"), closed(None));
        repo.pulls.push(PullRequest::new(closed_without_event));
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-01-20", "2024-02-10", "2024-02-20"]);
    assert_eq!(org_metric(&sandbox, "issues_closed"), 2);
    assert_eq!(org_metric(&sandbox, "prs_closed"), 1);
    let server = sandbox.serve();
    let target = "/api/v1/orgs/acme/metrics?since=2024-02-01&until=2024-02-02";
    assert_eq!(get(server.address(), target).json()["metrics"]["issues_closed"], 1);
}

#[test]
fn a_closing_without_its_event_counts_once_or_as_a_merge() {
    // At first the timeline has no closing events, and GitHub shows the merge as a closing.
    let world_with = |is_complete: bool| {
        world_of(|repo| {
            let thread = |number| Thread::new(number, ann(), at("2024-01-02"));
            let when = at("2024-01-05");
            let closed = ThreadChange::Closed { event_offset_s: is_complete.then_some(2) };
            repo.issues.push(thread(1).with_change(when, closed));
            repo.pulls.push(PullRequest::new(thread(2).with_change(when, closed)));
            let merged = if is_complete {
                ThreadChange::Merged
            } else {
                ThreadChange::Closed { event_offset_s: Some(0) }
            };
            let merged =
                thread(3).with_change(when, merged).with_change(at("2024-01-06"), ThreadChange::Edited);
            repo.pulls.push(PullRequest::new(merged));
        })
    };
    let double = Double::start(world_with(false), at("2024-01-05T12:00:00Z"));
    let sandbox = Sandbox::with_github(&double);
    let step = |world: World, now: Time| {
        double.set_now(now);
        double.set_world(world.clone());
        collect_and_aggregate(&sandbox, &world.org);
        assert_matches_reference(sandbox.serve().address(), &world, now, &full_range());
        ["issues_closed", "prs_closed", "prs_merged"].map(|metric| org_metric(&sandbox, metric))
    };
    assert_eq!(step(world_with(false), at("2024-01-05T12:00:00Z")), [1, 2, 0]);
    assert_eq!(step(world_with(true), at("2024-01-07")), [1, 1, 1]);
}

#[test]
fn reviews_of_others_count_once_submitted() {
    let (bob, bot) = (Some(Account::user("bob", 12)), Some(Account::bot("helper", 91)));
    let world = world_of(|repo| {
        let mut pull = PullRequest::new(
            Thread::new(1, ann(), at("2024-01-02")).with_change(at("2024-01-12"), ThreadChange::Merged),
        );
        let mut pending = Review::new(6, bob.clone(), at("2024-01-07"));
        pending.submitted_at = None;
        let mut late = Review::new(7, bob.clone(), at("2024-01-04"));
        late.submitted_at = Some(at("2024-01-14"));
        let mut dismissed = Review::new(3, bob.clone(), at("2024-01-05"));
        dismissed.dismissed_at = Some(at("2024-01-13"));
        pull.reviews = vec![
            Review::new(1, ann(), at("2024-01-03")),
            Review::new(2, bot.clone(), at("2024-01-03")),
            late,
            dismissed,
            pending,
            Review::new(4, None, at("2024-01-06")),
        ];
        repo.pulls.push(pull);
        let mut of_ghost = PullRequest::new(
            Thread::new(2, None, at("2024-01-02")).with_change(at("2024-01-04"), ThreadChange::Merged),
        );
        of_ghost.reviews = vec![Review::new(8, None, at("2024-01-03"))];
        repo.pulls.push(of_ghost);
        let mut after = PullRequest::new(
            Thread::new(3, ann(), at("2024-01-02")).with_change(at("2024-01-03"), ThreadChange::Merged),
        );
        after.reviews = vec![Review::new(9, bob.clone(), at("2024-01-04"))];
        repo.pulls.push(after);
    });
    let sandbox = collect_in_steps(&world, &["2024-01-08", "2024-01-12T12:00:00Z", "2024-01-20"]);
    assert_eq!(org_metric(&sandbox, "reviews"), 4);
    let first = org_metric(&sandbox, "first_review_hours");
    assert_eq!((first["count"].as_u64(), first["mean"].as_f64()), (Some(1), Some(72.0)));
}

fn deployment(id: i64, created: &str, statuses: Vec<(Time, &'static str)>) -> Deployment {
    Deployment { id, environment: "production".to_owned(), creator: ann(), created_at: at(created), statuses }
}

#[test]
fn a_deployment_can_succeed_long_after_it_failed() {
    let world = world_of(|repo| {
        repo.deployments = vec![
            deployment(1, "2024-01-02", vec![(at("2024-01-03"), "FAILURE"), (at("2024-03-03"), "SUCCESS")]),
            deployment(2, "2024-01-04", vec![(at("2024-01-05"), "ERROR"), (at("2024-01-06"), "FAILURE")]),
            deployment(3, "2024-01-06", vec![(at("2024-01-07"), "SUCCESS"), (at("2024-01-08"), "FAILURE")]),
            deployment(4, "2024-02-06", vec![(at("2024-02-06"), "PENDING"), (at("2024-03-07"), "SUCCESS")]),
        ];
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-02-10", "2024-03-05", "2024-03-10"]);
    assert_eq!(org_metric(&sandbox, "deploys"), 3);
    assert_eq!(org_metric(&sandbox, "deploy_failures"), 1);
}

#[test]
fn what_was_deployed_stays_counted_after_it_is_deleted() {
    let of_state = |id, created: &str, state| deployment(id, created, vec![(at(created), state)]);
    let mut world = world_of(|repo| {
        repo.deployments = vec![
            of_state(1, "2024-02-01", "FAILURE"),
            of_state(2, "2024-02-02", "SUCCESS"),
            of_state(3, "2024-02-05", "FAILURE"),
        ];
    });
    let double = Double::start(world.clone(), at("2024-02-10"));
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    let counts = || ["deploys", "deploy_failures"].map(|metric| org_metric(&sandbox, metric));
    assert_eq!(counts(), [1, 2]);
    world.repos[0].deployments.clear();
    double.set_world(world.clone());
    collect_and_aggregate(&sandbox, &world.org);
    assert_eq!(counts(), [1, 2]);
    // Long after, nothing of them is requested any more.
    double.set_now(at("2024-05-20"));
    collect_and_aggregate(&sandbox, &world.org);
    let before = double.request_count();
    collect_and_aggregate(&sandbox, &world.org);
    assert_eq!(double.request_count() - before, 1, "{:?}", &double.log()[before..]);
    assert_eq!(counts(), [1, 2]);
}

#[test]
fn a_success_after_90_days_does_not_count() {
    let failed = |id, succeeded: &str| {
        let statuses = vec![(at("2024-01-03"), "FAILURE"), (at(succeeded), "SUCCESS")];
        deployment(id, "2024-01-02", statuses)
    };
    let world = world_of(|repo| {
        // The 90 days end with 2024-04-01.
        repo.deployments = vec![failed(1, "2024-04-01"), failed(2, "2024-04-01T00:00:01Z")];
        repo.deployments.push(deployment(3, "2024-01-02", vec![(at("2024-04-02"), "ERROR")]));
    });
    // One reading after 90 days is final, whether an earlier run has read them or not.
    for times in [&["2024-02-10", "2024-03-31", "2024-04-02", "2024-04-20"][..], &["2024-04-20"]] {
        let sandbox = collect_in_steps(&world, times);
        let counts = ["deploys", "deploy_failures"].map(|metric| org_metric(&sandbox, metric));
        assert_eq!(counts, [1, 1]);
    }
}

#[test]
fn a_release_counts_at_its_last_publication() {
    let world = world_of(|repo| {
        let release = |id, created: &str, changes: Vec<_>| Release {
            id,
            tag: format!("v{id}"),
            author: ann(),
            created_at: at(created),
            changes,
        };
        let published = ReleaseChange::Published;
        repo.releases = vec![
            release(1, "2024-01-02", vec![(at("2024-01-03"), published)]),
            release(
                2,
                "2024-01-04",
                vec![
                    (at("2024-01-05"), published),
                    (at("2024-01-15"), ReleaseChange::Drafted),
                    (at("2024-01-25"), published),
                ],
            ),
            release(
                3,
                "2024-01-06",
                vec![(at("2024-01-06"), published), (at("2024-01-16"), ReleaseChange::Drafted)],
            ),
            // A draft that is deleted: only the length of the list shows that it has changed.
            release(4, "2024-01-08", vec![(at("2024-01-16"), ReleaseChange::Deleted)]),
        ];
        let push = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 1, 1]));
        repo.push(at("2024-01-24"), &push);
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-01-20", "2024-01-30"]);
    assert_eq!(org_metric(&sandbox, "releases"), 2);
}

#[test]
fn a_publication_that_a_stopped_run_wrote_is_retracted_later() {
    let world = world_of(|repo| {
        let published = ReleaseChange::Published;
        repo.releases = (1..=110)
            .map(|id| {
                let created_at = at("2024-01-02") + TimeDelta::hours(id);
                let mut changes = vec![(created_at, published)];
                if id == 110 {
                    changes.push((at("2024-02-01"), ReleaseChange::Drafted));
                    changes.push((at("2024-02-10"), published));
                }
                Release { id, tag: format!("v{id}"), author: ann(), created_at, changes }
            })
            .collect();
    });
    let double = Double::start(world.clone(), at("2024-01-20"));
    let sandbox = Sandbox::with_github(&double);
    // The first page is written, and the run ends before the second.
    double.plan_fault("Releases", 1, 1, Fault::RateLimited(36_000));
    sandbox.run(&["collect", "acme", "--since", SINCE, "--max-wait", "1s"]).expect_status(75);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_eq!(org_metric(&sandbox, "releases"), 100);
    double.set_now(at("2024-02-15"));
    collect_and_aggregate(&sandbox, "acme");
    assert_eq!(org_metric(&sandbox, "releases"), 110);
    assert_matches_reference(sandbox.serve().address(), &world, at("2024-02-15"), &full_range());
}

#[test]
fn deleted_nightlies_stay_counted() {
    let nightly = |night: i64| {
        let created_at = at("2024-01-02") + TimeDelta::days(night);
        let (published, deleted) = (created_at + TimeDelta::hours(1), created_at + TimeDelta::days(5));
        let changes = vec![(published, ReleaseChange::Published), (deleted, ReleaseChange::Deleted)];
        Release { id: night, tag: format!("nightly-{night}"), author: ann(), created_at, changes }
    };
    let world = world_of(|repo| repo.releases = (1..=20).map(nightly).collect());
    let double = Double::start(world, at("2024-01-02"));
    let sandbox = Sandbox::with_github(&double);
    for days in [3, 7, 11, 15, 19, 22, 60] {
        double.set_now(at("2024-01-02") + TimeDelta::days(days));
        collect_and_aggregate(&sandbox, "acme");
    }
    assert_eq!(org_metric(&sandbox, "releases"), 20);
    sandbox.run(&["collect", "acme", "--reconcile"]).expect_status(0);
    assert_eq!(org_metric(&sandbox, "releases"), 20);
}

#[test]
fn a_draft_can_be_published_long_after_a_newer_release() {
    let world = world_of(|repo| {
        let release = |id, created: &str, published: &str| Release {
            id,
            tag: format!("v{id}"),
            author: ann(),
            created_at: at(created),
            changes: vec![(at(published), ReleaseChange::Published)],
        };
        repo.releases =
            vec![release(1, "2024-01-02", "2024-03-03"), release(2, "2024-01-04", "2024-01-04T01:00:00Z")];
    });
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-02-10", "2024-03-05"]);
    assert_eq!(org_metric(&sandbox, "releases"), 2);
}

#[test]
fn a_renamed_repository_stays_the_same() {
    let mut world = world_of(|repo| {
        let one = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 1, 1]));
        repo.push(at("2024-01-02"), &one);
        let two = repo.commit(&[&one], at("2024-02-02"), &signed_by(ann()), Some([1, 1, 1]));
        repo.push(at("2024-02-02"), &two);
        repo.names.push((at("2024-01-20"), "Web-Site".to_owned()));
    });
    // Another repository takes the old name.
    let mut successor = Repo::new(8, "site", at("2024-02-03"));
    let only = successor.commit(&[], at("2024-02-04"), &signed_by(ann()), Some([1, 1, 1]));
    successor.push(at("2024-02-04"), &only);
    world.repos.push(successor);
    let sandbox = collect_in_steps(&world, &["2024-01-10", "2024-01-30", "2024-02-10"]);
    let server = sandbox.serve();
    for (requested, name, commits) in [("web-site", "Web-Site", 2), ("SITE", "site", 1)] {
        let target = format!("/api/v1/orgs/acme/repos/{requested}/metrics?since={SINCE}&until=2024-05-01");
        let answer = get(server.address(), &target).json();
        assert_eq!(
            (answer["repo"].as_str(), answer["metrics"]["commits"].as_u64()),
            (Some(name), Some(commits))
        );
    }
}

#[test]
fn a_first_run_reads_90_days_by_default() {
    let world = world_of(|repo| {
        let one = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 1, 1]));
        repo.push(at("2024-01-02"), &one);
    });
    let double = Double::start(world, at("2024-01-10"));
    let sandbox = Sandbox::with_github(&double);
    // Without --since it reads 90 days, and everything in this world is older.
    sandbox.run(&["collect", "acme"]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/ACME/metrics?since={SINCE}&until=2024-05-01");
    assert_eq!(get(server.address(), &target).json()["metrics"]["commits"], 0);
    drop(server);
    sandbox.run(&["collect", "Acme", "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_eq!(org_metric(&sandbox, "commits"), 1);
}
