//! An organization that is renamed on GitHub goes on with its history, and is never mixed with the one that takes its
//! old name.

use gam_tests::answers::{assert_matches_reference, assert_same_answers, without_coverage};
use gam_tests::github::{Double, World, generated};
use gam_tests::http::get;
use gam_tests::program::{Sandbox, run_to_end};
use gam_tests::support::{
    backfilled, batches, collect_and_aggregate, fetch_answers, files, full_range, settled_at,
};
use serde_json::Value;

const NEW: &str = "Acme-Holding";

fn renamed(world: &World) -> World {
    let mut renamed = world.clone();
    renamed.rename_org(NEW);
    renamed
}

/// Returns an answer of the sandbox's API below `/api/v1`.
fn answer(sandbox: &Sandbox, target: &str) -> Value {
    let server = sandbox.serve();
    let answer = get(server.address(), &format!("/api/v1/{target}"));
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

fn metrics(sandbox: &Sandbox, org: &str) -> Value {
    answer(sandbox, &format!("orgs/{org}/metrics?since=2023-01-01&until=2025-01-01"))
}

/// Returns the names of the organizations that the API lists.
fn listed_orgs(sandbox: &Sandbox) -> Vec<String> {
    let orgs = answer(sandbox, "orgs")["orgs"].as_array().cloned().unwrap_or_default();
    orgs.iter().filter_map(|org| org["org"].as_str().map(str::to_owned)).collect()
}

/// Returns the storage keys in the paths of the lake.
fn storage_keys(sandbox: &Sandbox) -> Vec<String> {
    let paths = files(&sandbox.lake_dir());
    let mut keys: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            path.to_str()?.split('/').find_map(|part| part.strip_prefix("org=")).map(str::to_owned)
        })
        // The audit log of rows that belong to no organization.
        .filter(|key| key != "_")
        .collect();
    keys.dedup();
    keys
}

fn remove_registry(sandbox: &Sandbox) {
    std::fs::remove_file(sandbox.lake_dir().join("config/registry.json")).expect("there is a registry");
}

#[test]
fn a_renamed_organization_goes_on_with_its_history() {
    let world = generated::world(121);
    let times = generated::times(121, 4);
    let double = Double::start(world.clone(), times[0]);
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    std::fs::write(sandbox.dir().join("c.toml"), "[repositories]\nexclude = [\"none-such\"]\n")
        .expect("a file");
    sandbox.run(&["config", "set", "c.toml", &world.org]).expect_status(0);

    // It is renamed on GitHub.
    let new_world = renamed(&world);
    double.set_world(new_world.clone());
    double.set_now(times[1]);
    let advice = format!("`github-metrics rename-org {} {NEW}`", world.org);
    let requests = double.request_count();
    for args in [&["collect", NEW][..], &["collect", NEW, "--dry-run"], &["collect", NEW, "--reconcile"]] {
        let error = sandbox.run(args).expect_error(1);
        assert!(error.contains(&advice), "{args:?}: {error}");
    }
    assert_eq!(double.request_count() - requests, 3, "the probe shows it");
    let up = sandbox.run(&["up", NEW, "--listen", "127.0.0.1:0"]).expect_error(1);
    assert!(up.contains(&advice), "{up}");
    let error = sandbox.run(&["collect", &world.org]).expect_error(1);
    let advice = format!("if it was renamed on GitHub, run `github-metrics rename-org {} NEW`", world.org);
    assert!(error.contains("not found") && error.contains(&advice), "{error}");
    assert!(batches(&sandbox).is_empty(), "nothing was collected under either name");

    let said = sandbox.run(&["rename-org", &world.org, NEW]).expect_status(0).text();
    assert!(said.contains(&format!("is called {NEW} now")), "{said}");
    let again = sandbox.run(&["rename-org", &world.org, NEW, "--format", "json"]).expect_status(0).json();
    assert_eq!(again["renamed"], false);
    for now in &times[1..] {
        double.set_now(*now);
        collect_and_aggregate(&sandbox, NEW);
        assert_matches_reference(sandbox.serve().address(), &new_world, *now, &full_range());
    }
    let now = times[times.len() - 1];
    let backfill = Sandbox::with_github(&double);
    collect_and_aggregate(&backfill, NEW);
    let expected = fetch_answers(&backfill, &new_world, now);
    assert_same_answers(&expected, &fetch_answers(&sandbox, &new_world, now));
    assert_eq!(
        (storage_keys(&sandbox), storage_keys(&backfill)),
        (vec!["acme-works".into()], vec!["acme-holding".into()])
    );

    // The old name finds the same answers, which have the new name.
    assert_eq!(listed_orgs(&sandbox), [NEW]);
    assert_eq!(metrics(&sandbox, &world.org), metrics(&sandbox, NEW));
    assert_eq!(metrics(&sandbox, &world.org)["org"], NEW);
    let page = "members?since=2024-01-01&until=2024-02-01&limit=1";
    let first = answer(&sandbox, &format!("orgs/{}/{page}", world.org));
    let cursor = first["next"].as_str().expect("there is a second page");
    let second = answer(&sandbox, &format!("orgs/{NEW}/{page}&cursor={cursor}"));
    assert_ne!(first["members"][0]["member"], second["members"][0]["member"]);
    let export = |org: &str| sandbox.run(&["export", org, "--format", "csv"]).expect_status(0).text();
    assert_eq!(export(&world.org), export(NEW));
    let shown =
        sandbox.run(&["show", &world.org, "--since", "2024-01-01", "--format", "json"]).expect_status(0);
    assert_eq!(shown.json()["metrics"]["org"], NEW);
    for org in [world.org.as_str(), NEW] {
        let history = sandbox.run(&["config", "history", org, "--format", "json"]).expect_status(0).json();
        assert_eq!((&history["org"], &history["revisions"][0]["revision"]), (&NEW.into(), &1.into()));
    }
    let reconciled = sandbox.run(&["collect", NEW, "--reconcile"]).expect_status(0);
    assert!(reconciled.text().contains("nothing differs"), "{reconciled:?}");

    // Neither older rows nor a new store bring the old name back.
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert_same_answers(&expected, &fetch_answers(&sandbox, &new_world, now));
    let doctor = sandbox.run(&["doctor", &world.org]).text();
    assert!(doctor.contains(&format!("everything in {NEW} can be read")), "{doctor}");
    assert!(doctor.contains(&format!("{NEW}: revision 1")), "{doctor}");
    let counted = without_coverage(&metrics(&sandbox, NEW).to_string());
    std::fs::remove_file(sandbox.data_dir().join("store.sqlite")).expect("there is a store");
    sandbox.run(&["aggregate", &world.org]).expect_status(0);
    assert_eq!(without_coverage(&metrics(&sandbox, NEW).to_string()), counted);
    assert_eq!(listed_orgs(&sandbox), [NEW]);
}

#[test]
fn an_organization_that_takes_the_old_name_is_never_mixed_with_the_renamed_one() {
    let (world, double, sandbox) = backfilled(122);
    let before = metrics(&sandbox, &world.org);
    let mut new_world = renamed(&world);
    new_world.other_orgs.push((world.org.clone(), 77));
    double.set_world(new_world.clone());
    for args in [&["collect", &world.org][..], &["collect", &world.org, "--dry-run"]] {
        let error = sandbox.run(args).expect_error(1);
        assert!(error.contains("is another organization on GitHub now (id 77)"), "{error}");
        assert!(error.contains(&format!("`github-metrics rename-org {} NEW`", world.org)), "{error}");
    }
    assert_eq!(metrics(&sandbox, &world.org), before);

    sandbox.run(&["rename-org", &world.org, NEW]).expect_status(0);
    // Now the name is free for the other one, which has a history of its own.
    let run = sandbox.run(&["collect", &world.org]).expect_status(0);
    assert!(run.text().contains("0 repositories"), "{run:?}");
    assert!(run.stderr.contains("is another organization now"), "{run:?}");
    collect_and_aggregate(&sandbox, NEW);
    assert_eq!(listed_orgs(&sandbox), [NEW, world.org.as_str()]);
    assert_eq!(metrics(&sandbox, NEW)["metrics"], before["metrics"]);
    let other = metrics(&sandbox, &world.org);
    assert_eq!((&other["org"], &other["metrics"]["commits"]), (&world.org.as_str().into(), &0.into()));
    let registry =
        std::fs::read_to_string(sandbox.lake_dir().join("config/registry.json")).expect("a registry");
    assert!(registry.contains("\"acme-works-77\""), "{registry}");
}

#[test]
fn the_old_name_goes_on_to_collect_the_renamed_organization() {
    let (world, double, sandbox) = backfilled(123);
    double.set_world(renamed(&world));
    sandbox.run(&["rename-org", &world.org, NEW]).expect_status(0);
    let cost = |org: &str| {
        let before = double.request_count();
        let run = sandbox.run(&["collect", org, "--format", "json"]).expect_status(0);
        (double.request_count() - before, run)
    };
    let (idle, _) = cost(NEW);
    let (requests, run) = cost(&world.org);
    assert_eq!(requests, idle + 1, "one more, because GitHub does not know the old name");
    assert_eq!(run.json()["org"], NEW);
    let warning = format!("{} is called {NEW} now: use that name", world.org);
    assert_eq!(run.json()["warnings"][0]["text"], warning);
    assert!(run.stderr.contains(&warning), "{run:?}");
}

#[test]
fn of_two_renamings_at_the_same_time_one_wins() {
    let (world, _double, sandbox) = backfilled(124);
    let rename = |new: &'static str| {
        let command = sandbox.command(&["rename-org", &world.org, new]);
        std::thread::spawn(move || run_to_end(command))
    };
    let (first, second) = (rename("first-name"), rename("second-name"));
    let runs = [first, second].map(|thread| thread.join().expect("it does not panic"));
    let (winner, loser) = if runs[0].status == Some(0) { (0, 1) } else { (1, 0) };
    assert_eq!((runs[winner].status, runs[loser].status), (Some(0), Some(1)), "{runs:?}");
    assert!(runs[loser].stderr.contains("was renamed to"), "{runs:?}");
    assert_eq!(listed_orgs(&sandbox), [["first-name", "second-name"][winner]]);
}

#[test]
fn a_lake_without_a_registry_is_renamed_too() {
    let (world, double, sandbox) = backfilled(125);
    let before = metrics(&sandbox, &world.org);
    remove_registry(&sandbox);
    assert_eq!(metrics(&sandbox, &world.org), before, "nothing moves");
    double.set_world(renamed(&world));
    for org in [world.org.as_str(), NEW] {
        let error = sandbox.run(&["collect", org]).expect_error(1);
        assert!(error.contains(&format!("`github-metrics rename-org {}", world.org)), "{org}: {error}");
    }
    sandbox.run(&["rename-org", &world.org, NEW]).expect_status(0);
    collect_and_aggregate(&sandbox, NEW);
    let after = metrics(&sandbox, NEW);
    assert_eq!((&after["org"], &after["metrics"]), (&NEW.into(), &before["metrics"]));
    assert_eq!(storage_keys(&sandbox), ["acme-works"]);
    let registry =
        std::fs::read_to_string(sandbox.lake_dir().join("config/registry.json")).expect("a registry");
    assert!(
        registry.contains(&format!("\"github_id\": {}", world.org_id)),
        "the collection learned it: {registry}"
    );
}

#[test]
fn renamings_that_make_no_sense_are_refused() {
    let (world, double, sandbox) = backfilled(126);
    let registry_file = sandbox.lake_dir().join("config/registry.json");
    let before = std::fs::read(&registry_file).expect("a registry");
    let mut other = generated::world(127);
    (other.org, other.org_id) = ("other-org".to_owned(), 55);
    double.set_world(other);
    collect_and_aggregate(&sandbox, "other-org");
    let error = sandbox.run(&["rename-org", &world.org, "Other-Org"]).expect_error(1);
    assert!(error.contains("two histories are not joined"), "{error}");
    let error = sandbox.run(&["rename-org", "nobody", NEW]).expect_error(1);
    assert!(error.contains("there are no data of \"nobody\""), "{error}");
    sandbox.run(&["rename-org", &world.org, &world.org.to_lowercase()]).expect_error(2);
    for invalid in ["a b", "", "acme/site", "../x"] {
        sandbox.run(&["rename-org", &world.org, invalid]).expect_error(2);
    }
    // A wrong renaming is found by the next collection, and can be undone.
    double.set_world(World { org_id: 56, ..renamed(&world) });
    sandbox.run(&["rename-org", &world.org, NEW]).expect_status(0);
    let error = sandbox.run(&["collect", NEW]).expect_error(1);
    assert!(error.contains("(id 56)"), "{error}");
    sandbox.run(&["rename-org", NEW, &world.org]).expect_status(0);
    double.set_world(world.clone());
    double.set_now(settled_at());
    sandbox.run(&["collect", &world.org]).expect_status(0);
    assert_ne!(std::fs::read(&registry_file).expect("a registry"), before);
    assert_eq!(listed_orgs(&sandbox), [world.org.as_str(), "other-org"]);
}
