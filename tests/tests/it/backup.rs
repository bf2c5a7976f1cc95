//! `backup` and `restore`, and `forget-org`.

use std::path::Path;

use gam_tests::http::{get, send_request};
use gam_tests::program::Sandbox;
use gam_tests::support::{backfilled, collect_and_aggregate, fetch_answers, files, kill_when, settled_at};

const ORG: &str = "octo-demo";

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_restored_backup_gives_the_same_answers() {
    let (world, _double, sandbox) = backfilled(31);
    sandbox.run(&["token", "new", "dash", "--role", "viewer"]).expect_status(0);
    sandbox.run(&["token", "revoke", "dash"]).expect_status(0);
    let token = sandbox.run(&["token", "new", "dash", "--role", "viewer"]).expect_status(0).text();
    let bearer = format!("Bearer {}", token.trim());
    let answers = |sandbox: &Sandbox| {
        let server = sandbox.serve();
        let org = &world.org;
        ["metrics", "metrics/timeseries?metric=commits", "repos?limit=1000", "members?limit=1000", "export"]
            .map(|target| {
                let separator = if target.contains('?') { '&' } else { '?' };
                let target =
                    format!("/api/v1/orgs/{org}/{target}{separator}since=2023-11-01&until=2024-05-01");
                let answer = send_request(server.address(), "GET", &target, &[("authorization", &bearer)]);
                assert_eq!(answer.status, 200, "{target}");
                answer.body
            })
    };
    let before = answers(&sandbox);

    let backup = sandbox.dir().join("backups/one");
    let done = sandbox.run(&["backup", text(&backup)]).expect_status(0).text();
    assert!(done.contains("backed up to") && done.contains("of the lake"), "{done}");
    let error = sandbox.run(&["backup", text(&backup)]).expect_error(2);
    assert!(error.contains("nothing is overwritten"), "{error}");
    assert_eq!(
        std::fs::read_dir(sandbox.dir().join("backups")).expect("it exists").count(),
        1,
        "no part stays"
    );
    let error = sandbox.run(&["restore", text(&backup)]).expect_error(2);
    assert!(error.contains("store.sqlite\" exists, and nothing is overwritten"), "{error}");

    let other = Sandbox::new();
    other.run(&["restore", text(&backup)]).expect_status(0);
    assert_eq!(answers(&other), before);
    let objects = |sandbox: &Sandbox| {
        let files = files(&sandbox.lake_dir()).into_iter();
        let path =
            |file: std::path::PathBuf| file.strip_prefix(sandbox.lake_dir()).expect("below it").to_owned();
        files.map(path).filter(|path| !path.starts_with(".lock")).collect::<Vec<_>>()
    };
    assert_eq!(objects(&other), objects(&sandbox));
    let error = other.run(&["restore", text(&other.dir().join("none"))]).expect_error(2);
    assert!(error.contains("is no backup"), "{error}");

    // The backup is a data directory itself, and the data can be collected on.
    let shown = sandbox.run(&["show", &world.org, "--format", "json", "--data-dir", text(&backup)]);
    assert_eq!(shown.expect_status(0).json()["metrics"]["org"], world.org.as_str());
    let aggregated = other.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert_eq!(answers(&other), before, "{}", aggregated.text());
}

#[test]
fn a_backup_of_a_running_collection_can_be_completed() {
    let (world, double, sandbox) = backfilled(32);
    let expected = fetch_answers(&sandbox, &world, settled_at());
    let source = Sandbox::with_github(&double);
    // Killed while there are batches and checkpoints of a part.
    let inbox = source.lake_dir().join("inbox");
    let collecting = source.spawn(&["collect", &world.org, "--since", "2023-11-01"]);
    kill_when(collecting, || files(&inbox).len() > 2);
    let backup = source.dir().join("backup");
    source.run(&["backup", text(&backup)]).expect_status(0);
    let restored = Sandbox::with_github(&double);
    restored.run(&["restore", text(&backup)]).expect_status(0);
    collect_and_aggregate(&restored, &world.org);
    assert_eq!(fetch_answers(&restored, &world, settled_at()), expected);
}

#[test]
fn a_forgotten_organization_is_gone_and_can_be_collected_again() {
    let (world, double, sandbox) = backfilled(33);
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let org = world.org.as_str();
    let targets = [format!("/api/v1/orgs/{org}/metrics"), format!("/api/v1/orgs/{ORG}/metrics")];
    let server = sandbox.serve();
    let status = |target: &String| get(server.address(), target).status;
    assert_eq!(targets.each_ref().map(status), [200, 200]);
    let expected = fetch_answers(&sandbox, &world, settled_at());

    let error = sandbox.run(&["forget-org", &format!("{org}x")]).expect_error(1);
    assert!(error.contains(&format!("did you mean \"{}\"?", org)), "{error}");
    let shown = sandbox.run(&["forget-org", org]).expect_status(2);
    assert!(shown.text().contains("would remove") && shown.text().contains("months of events"), "{shown:?}");
    assert!(shown.stderr.contains("--yes"), "{}", shown.stderr);
    assert_eq!(targets.each_ref().map(status), [200, 200], "nothing was removed");

    // Killed in the middle, and repeated.
    let folder = sandbox.lake_dir().join(format!("events/org={}", org.to_lowercase()));
    let all = files(&folder).len();
    kill_when(sandbox.spawn(&["forget-org", org, "--yes"]), || files(&folder).len() < all);
    let run = sandbox.run(&["forget-org", org, "--yes", "--format", "json"]);
    // The killed one may have finished.
    assert!(matches!(run.status, Some(0 | 1)), "{run:?}");
    assert_eq!(targets.each_ref().map(status), [404, 200]);
    let named =
        files(&sandbox.lake_dir()).into_iter().filter(|file| text(file).contains(&org.to_lowercase()));
    assert_eq!(named.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    let registry = std::fs::read_to_string(sandbox.lake_dir().join("config/registry.json"));
    assert!(!registry.is_ok_and(|registry| registry.contains(&format!("\"{org}\""))));
    sandbox.run(&["forget-org", org, "--yes"]).expect_error(1);
    let orgs = get(server.address(), "/api/v1/orgs").json();
    assert_eq!(orgs["orgs"].as_array().map(Vec::len), Some(1), "{orgs}");
    drop(server);

    let again = Sandbox::with_github(&double);
    std::fs::rename(sandbox.data_dir(), again.data_dir()).expect("it is moved");
    collect_and_aggregate(&again, org);
    assert_eq!(fetch_answers(&again, &world, settled_at()), expected, "it was read from the beginning");
}
