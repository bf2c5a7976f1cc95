//! The order of batches and duplicates do not matter, and rollups can be rebuilt from snapshots alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{Datelike, Days};
use fastrand::Rng;
use gam_lake::{FileStore, inbox};
use gam_model::{Event, EventBatch, MemberKind};
use gam_tests::answers::{assert_same_answers, day};
use gam_tests::github::{Double, World, generated};
use gam_tests::http::get;
use gam_tests::program::Sandbox;

use gam_tests::support::{
    SINCE, backfilled, batches, collect_and_aggregate, fetch_answers, runtime, settled_at,
};

/// Reads the events of the inbox, batch by batch.
fn read_batches(lake: &Path, org: &str) -> Vec<Vec<Event>> {
    let objects = FileStore::open(lake).expect("a lake");
    runtime().block_on(async {
        let mut batches = Vec::new();
        for batch in inbox::list::<gam_lake::Events>(&objects, org).await.expect("the inbox is listed") {
            batches.push(
                inbox::read::<gam_lake::Events>(&objects, &batch.path)
                    .await
                    .expect("a batch")
                    .expect("it is there"),
            );
        }
        batches
    })
}

fn write_batches(lake: &Path, org: &str, batches: impl IntoIterator<Item = Vec<Event>>) {
    let objects = FileStore::open(lake).expect("a lake");
    runtime().block_on(async {
        for events in batches {
            inbox::put(&objects, &EventBatch::new(org, events)).await.expect("a batch is written");
        }
    });
}

/// Writes and aggregates batches round by round, with a configuration of bots and aliases. Returns the answers
/// afterwards.
fn aggregate_rounds(
    world: &World,
    configuration: &str,
    rounds: Vec<Vec<Vec<Event>>>,
) -> BTreeMap<String, String> {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.dir().join("people.toml"), configuration).expect("it is written");
    sandbox.run(&["config", "set", "people.toml", &world.org]).expect_status(0);
    for batches in rounds {
        write_batches(&sandbox.lake_dir(), &world.org, batches);
        sandbox.run(&["aggregate"]).expect_status(0);
    }
    assert!(batches(&sandbox).is_empty());
    all_answers(&sandbox, world)
}

/// Fetches the sample answers and the listings of short ranges.
fn all_answers(sandbox: &Sandbox, world: &World) -> BTreeMap<String, String> {
    let mut answers = fetch_answers(sandbox, world, settled_at());
    answers.extend(short_listings(sandbox, &world.org));
    answers
}

/// Fetches member listings of ranges that end within weeks and months. Later events must not affect them.
fn short_listings(sandbox: &Sandbox, org: &str) -> BTreeMap<String, String> {
    let server = sandbox.serve();
    let starts = (0..20).map(|n| day("2023-12-09") + Days::new(5 * n));
    let listings = starts.map(|since| {
        let until = since + Days::new(5);
        let target =
            format!("/api/v1/orgs/{org}/members?since={since}&until={until}&bots=include&limit=1000");
        let answer = get(server.address(), &target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        (target, answer.text())
    });
    listings.collect()
}

/// Changes the case of people's logins every other day.
fn with_changing_login_case(mut batches: Vec<Vec<Event>>) -> Vec<Vec<Event>> {
    for event in batches.iter_mut().flatten() {
        if event.member.kind == MemberKind::User && event.occurred_at.day().is_multiple_of(2) {
            event.member.name = event.member.name.to_uppercase();
        }
    }
    batches
}

/// Configures aliases from two unlinked authors to accounts.
fn aliases(batches: &[Vec<Event>]) -> String {
    let unlinked = batches.iter().flatten().filter(|event| event.member.kind == MemberKind::Unlinked);
    let names: BTreeSet<&str> = unlinked.map(|event| event.member.name.as_str()).collect();
    assert!(names.len() > 2, "one author needs no alias: {names:?}");
    let lines = names.iter().zip(["ann", "bob"]).map(|(from, to)| format!("\"{from}\" = \"{to}\"\n"));
    format!("[aliases]\n{}", lines.collect::<String>())
}

/// Collects a world in several steps. Many events then have several versions.
fn collect_in_steps(seed: u64) -> (World, Vec<Vec<Event>>) {
    let world = generated::world(seed);
    let times = generated::times(seed, 5);
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double);
    for now in times {
        double.set_now(now);
        sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    }
    let batches = read_batches(&sandbox.lake_dir(), &world.org);
    (world, batches)
}

#[test]
fn order_size_and_repetition_of_batches_do_not_matter() {
    let (world, batches) = collect_in_steps(7);
    let batches = with_changing_login_case(batches);
    let aliases = aliases(&batches);
    let mut rng = Rng::with_seed(7);
    let expected = aggregate_rounds(&world, &aliases, vec![batches.clone()]);

    let mut events: Vec<Event> = batches.iter().flatten().cloned().collect();
    let repeated: Vec<Event> = events.iter().filter(|_| rng.u32(..3) == 0).cloned().collect();
    events.extend(repeated);
    rng.shuffle(&mut events);
    let split = |events: &[Event], size: usize| -> Vec<Vec<Event>> {
        events.chunks(size).map(<[Event]>::to_vec).collect()
    };
    assert_same_answers(&expected, &aggregate_rounds(&world, &aliases, vec![split(&events, 97)]));

    let mut reversed = batches.clone();
    reversed.reverse();
    let thirds = reversed.chunks(reversed.len().div_ceil(3)).map(<[_]>::to_vec);
    assert_same_answers(&expected, &aggregate_rounds(&world, &aliases, thirds.chain([batches]).collect()));

    let (first, rest) = events.split_at(events.len() / 2);
    let again = split(&events, events.len());
    assert_same_answers(
        &expected,
        &aggregate_rounds(&world, &aliases, vec![split(rest, 400), split(first, 33), again]),
    );
}

#[test]
fn a_rebuild_changes_no_answer() {
    let (world, _double, sandbox) = backfilled(8);
    let before = fetch_answers(&sandbox, &world, settled_at());
    let report =
        sandbox.run(&["aggregate", &world.org, "--rebuild", "--format", "json"]).expect_status(0).json();
    assert!(report["rollups"].as_u64().is_some_and(|rollups| rollups > 0), "{report}");
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
}

#[test]
fn a_lost_store_is_rebuilt_from_the_lake_and_github() {
    let (world, _double, sandbox) = backfilled(8);
    let before = fetch_answers(&sandbox, &world, settled_at());
    for entry in std::fs::read_dir(sandbox.data_dir()).expect("the data directory").flatten() {
        if entry.file_name().to_string_lossy().starts_with("store.sqlite") {
            std::fs::remove_file(entry.path()).expect("a file of the store");
        }
    }
    collect_and_aggregate(&sandbox, &world.org);
    assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
}

#[test]
fn parallel_aggregations_end_in_the_same_state() {
    let (world, batches) = collect_in_steps(9);
    let expected = aggregate_rounds(&world, "", vec![batches.clone()]);
    let sandbox = Sandbox::new();
    write_batches(&sandbox.lake_dir(), &world.org, batches);
    // Any of them may create the store. All process the same inbox.
    let mut children: Vec<_> = (0..4).map(|_| sandbox.spawn(&["aggregate"])).collect();
    for child in &mut children {
        child.wait().expect("it exits");
    }
    sandbox.run(&["aggregate"]).expect_status(0);
    assert!(gam_tests::support::batches(&sandbox).is_empty());
    assert_same_answers(&expected, &all_answers(&sandbox, &world));
}
