//! Queries without pause while months are folded again under another configuration, and after a kill in between.
//!
//! Today the answers dip: a rollup that is replaced does not count until its month's marker moves. This test
//! holds that fact fast. Once the store keeps both generations apart, every answer is the old or the new one, and
//! the assertions turn around.

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

/// Starts an aggregation under the other configuration, and kills it as soon as the numbers are neither the old
/// nor the new ones. Returns those numbers, or `None` if it ended before.
fn kill_at_a_dip(sandbox: &Sandbox, address: &str, expected: [(u64, u64); 2]) -> Option<(u64, u64)> {
    let mut child = sandbox.spawn(&["aggregate", "--config", "bots.toml"]);
    while child.try_wait().expect("its status").is_none() {
        let numbers = numbers(address);
        if !expected.contains(&numbers) && numbers.0 < expected[0].0 {
            child.kill().expect("it can be killed");
            child.wait().expect("its status");
            return Some(numbers);
        }
    }
    None
}

#[test]
fn answers_dip_while_months_are_folded_again_and_after_a_kill() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "200"]).expect_status(0);
    let config = "[aliases]\n\"bo-tanaka\" = \"clara-weiss\"\n";
    std::fs::write(sandbox.dir().join("bots.toml"), config).expect("the configuration is written");
    let server = sandbox.serve();
    let old = numbers(server.address());
    let new = (old.0, old.1 - 1);
    let mut frozen = None;
    // A kill can come just after the month was finished. Then the next month is next.
    while frozen.is_none() {
        let dip = kill_at_a_dip(&sandbox, server.address(), [old, new]);
        let dip = dip.expect("no dip: invert this test, and write it down in the changelog");
        assert!(dip.0 <= old.0 && dip.1 <= old.1, "numbers are too low, never too high: {dip:?} {old:?}");
        frozen = Some(numbers(server.address())).filter(|numbers| numbers.0 < old.0);
    }
    assert_eq!(Some(numbers(server.address())), frozen, "the kill keeps the dip");
    sandbox.run(&["aggregate", "--config", "bots.toml"]).expect_status(0);
    assert_eq!(numbers(server.address()), new, "the next aggregation repairs it");
}
