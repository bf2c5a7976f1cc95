//! `status`: what waits, and what a change of rules has left to do.

use gam_tests::github::{Double, generated};
use gam_tests::program::Sandbox;
use gam_tests::support::settled_at;
use serde_json::{Value, json};

fn status(sandbox: &Sandbox, org: &str) -> Value {
    let run = sandbox.run(&["status", org, "--format", "json"]).expect_status(0);
    run.json()["orgs"][0].clone()
}

#[test]
fn status_follows_data_from_the_inbox_to_new_rules() {
    let world = generated::world(92);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    let error = sandbox.run(&["status"]).expect_error(1);
    assert!(error.contains("there is no store"), "{error}");

    sandbox.run(&["collect", &world.org, "--since", gam_tests::support::SINCE]).expect_status(0);
    let collected = status(&sandbox, &world.org);
    assert_eq!(collected["org"], json!(world.org));
    assert!(collected["inbox"]["batches"].as_u64() > Some(0), "{collected}");
    assert!(collected["inbox"]["oldest"].is_string(), "{collected}");
    assert_eq!(collected["rules"]["has_answers"], false);

    sandbox.run(&["aggregate"]).expect_status(0);
    let aggregated = status(&sandbox, &world.org);
    assert_eq!(aggregated["inbox"], json!({ "batches": 0, "bytes": 0, "oldest": null }));
    let rules = &aggregated["rules"];
    assert_eq!((&rules["state"], &rules["months_left"]), (&json!("current"), &json!([])));
    assert_eq!(rules["months"], rules["months_done"]);
    assert!(aggregated["collection"]["complete_until"].is_string(), "{aggregated}");

    std::fs::write(sandbox.dir().join("rules.toml"), "timezone = \"Asia/Tokyo\"\n").expect("a file");
    sandbox.run(&["config", "set", "rules.toml", &world.org]).expect_status(0);
    assert_eq!(status(&sandbox, &world.org)["rules"]["state"], "pending");
    let run = sandbox.run(&["status"]).expect_status(0);
    assert!(run.text().contains("new rules wait"), "{run:?}");
    assert!(run.stderr.contains("not visible here: processes that run now"), "{run:?}");
    sandbox.run(&["aggregate"]).expect_status(0);
    assert_eq!(status(&sandbox, &world.org)["rules"]["state"], "current");

    let error = sandbox.run(&["status", "nobody"]).expect_error(1);
    assert!(error.contains("there is no data of nobody"), "{error}");
}
