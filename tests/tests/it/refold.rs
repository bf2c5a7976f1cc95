//! Queries without pause while months are folded again under another configuration, and after a kill in between.
//!
//! Today the answers can dip meanwhile: a rollup that is replaced does not count until its month's marker moves
//! (`dips` in the aggregate crate shows it step by step). Whether a query meets a dip depends on the machine, so this
//! test asserts what holds on each: no answer is too high, and the next aggregation repairs every dip.

use gam_tests::http::get;
use gam_tests::program::Sandbox;

/// Returns how many commits and active members the API answers for the sample's whole time.
fn numbers(address: &str) -> (u64, u64) {
    let answer =
        get(address, "/api/v1/orgs/octo-demo/metrics?since=2020-01-01&until=2040-01-01&bots=include");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let metrics = answer.json()["metrics"].clone();
    let count = |name: &str| metrics[name].as_u64().expect("a count");
    (count("commits"), count("active_members"))
}

#[test]
fn a_killed_fold_of_other_rules_is_repaired_and_no_answer_is_too_high() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "200"]).expect_status(0);
    let config = "[aliases]\n\"bo-tanaka\" = \"clara-weiss\"\n";
    std::fs::write(sandbox.dir().join("bots.toml"), config).expect("the configuration is written");
    let server = sandbox.serve();
    let old = numbers(server.address());
    let new = (old.0, old.1 - 1);
    let mut child = sandbox.spawn(&["aggregate", "--config", "bots.toml"]);
    let mut answers = 0;
    while child.try_wait().expect("its status").is_none() {
        let answer = numbers(server.address());
        assert!(answer.0 <= old.0 && answer.1 <= old.1, "too high: {answer:?} {old:?}");
        answers += 1;
        // Amid the fold, or at a dip.
        if answers == 3 || answer.0 < old.0 {
            child.kill().expect("it can be killed");
        }
    }
    let after_the_kill = numbers(server.address());
    assert!(after_the_kill.0 <= old.0 && after_the_kill.1 <= old.1, "too high: {after_the_kill:?} {old:?}");
    sandbox.run(&["aggregate", "--config", "bots.toml"]).expect_status(0);
    assert_eq!(numbers(server.address()), new, "the next aggregation repairs it");
}
