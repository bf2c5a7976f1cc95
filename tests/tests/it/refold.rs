//! Queries without pause while two configurations alternate and folds are killed: every answer is wholly of the old
//! rules or wholly of the new ones.

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
fn answers_are_old_or_new_while_configurations_alternate_and_folds_are_killed() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "200"]).expect_status(0);
    let alias = "[aliases]\n\"bo-tanaka\" = \"clara-weiss\"\n";
    for (name, text) in [("alias.toml", alias), ("empty.toml", "")] {
        std::fs::write(sandbox.dir().join(name), text).expect("the configuration is written");
    }
    let server = sandbox.serve();
    let plain = numbers(server.address());
    let joined = (plain.0, plain.1 - 1);
    let mut answers = 0;
    // Kills come at different points of a fold. The last folds end by themselves.
    for (round, kill_after) in
        [Some(1), Some(3), Some(6), Some(2), Some(9), None, None].into_iter().enumerate()
    {
        let file = if round % 2 == 0 { "alias.toml" } else { "empty.toml" };
        let mut child = sandbox.spawn(&["aggregate", "--config", file]);
        let mut in_round = 0;
        while child.try_wait().expect("its status").is_none() {
            let answer = numbers(server.address());
            assert!(
                [plain, joined].contains(&answer),
                "round {round}: {answer:?}, not {plain:?} or {joined:?}"
            );
            in_round += 1;
            if Some(in_round) == kill_after {
                child.kill().expect("it can be killed");
            }
        }
        let after = numbers(server.address());
        assert!([plain, joined].contains(&after), "after round {round}: {after:?}");
        answers += in_round;
    }
    assert!(answers > 10, "only {answers} queries during folds");
    assert_eq!(numbers(server.address()), joined, "the last configuration that was folded completely");
}
