//! Deployments that never end: previews of pull requests. They cost requests while they are young.

use chrono::TimeDelta;
use gam_tests::answers::day;
use gam_tests::github::world::{Account, Deployment, Repo, Time, at};
use gam_tests::github::{Double, World};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::SINCE;

const CREATED: &str = "2024-01-10";

/// One repository with previews that were created within the two hours after [`CREATED`].
fn world(previews: i64) -> World {
    let mut world = World::new("acme");
    let mut repo = Repo::new(7, "site", at("2024-01-01"));
    let preview = |number: i64| Deployment {
        id: 1_000 + number,
        environment: format!("preview-{number}"),
        creator: Some(Account::bot("deployer", 91)),
        created_at: at(CREATED) + TimeDelta::seconds(number / 5),
        statuses: vec![(at(CREATED) + TimeDelta::hours(3), "INACTIVE")],
    };
    repo.deployments = (0..previews).map(preview).collect();
    world.repos.push(repo);
    world
}

/// Collects at a time. Returns the number of requests.
fn requests_at(double: &Double, sandbox: &Sandbox, now: Time) -> usize {
    double.set_now(now);
    let before = double.request_count();
    sandbox.run(&["collect", "acme", "--since", SINCE]).expect_status(0);
    double.request_count() - before
}

#[test]
fn previews_cost_one_request_a_hundred_until_they_are_settled() {
    let double = Double::start(world(1_000), at("2024-01-11"));
    let sandbox = Sandbox::with_github(&double);
    requests_at(&double, &sandbox, at("2024-01-11"));
    for day in ["2024-01-12", "2024-03-01"] {
        assert_eq!(requests_at(&double, &sandbox, at(day)), 1 + 10, "{day}");
    }
    // One reading after 90 days is the last.
    let settled = at(CREATED) + TimeDelta::days(91);
    assert_eq!(requests_at(&double, &sandbox, settled), 1 + 10);
    assert_eq!(requests_at(&double, &sandbox, settled + TimeDelta::minutes(1)), 1);
}

#[test]
fn previews_that_are_too_many_to_remember_are_read_by_pages() {
    let mut world = world(6_000);
    // The oldest of them and the newest succeed later.
    for number in [0, 5_999] {
        world.repos[0].deployments[number].statuses.push((at("2024-02-20"), "SUCCESS"));
    }
    let double = Double::start(world, at("2024-01-11"));
    let sandbox = Sandbox::with_github(&double);
    requests_at(&double, &sandbox, at("2024-01-11"));
    for day in ["2024-01-12", "2024-01-13", "2024-03-01"] {
        let requests = requests_at(&double, &sandbox, at(day));
        assert!(requests <= 1 + 61, "{requests} on {day}");
    }
    sandbox.run(&["aggregate"]).expect_status(0);
    let server = sandbox.serve();
    let (since, until) = (day("2024-02-20"), day("2024-02-21"));
    let target = format!("/api/v1/orgs/acme/metrics?since={since}&until={until}&bots=include");
    assert_eq!(get(server.address(), &target).json()["metrics"]["deploys"], 2);
    let settled = at(CREATED) + TimeDelta::days(91);
    assert!(requests_at(&double, &sandbox, settled) <= 1 + 61);
    assert_eq!(requests_at(&double, &sandbox, settled + TimeDelta::minutes(1)), 1);
}
