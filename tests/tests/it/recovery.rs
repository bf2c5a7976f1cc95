//! A month whose snapshot was lost is read again from GitHub.

use gam_tests::answers::{assert_matches_reference, assert_same_answers};

use gam_tests::support::{backfilled, fetch_answers, full_range, settled_at};

#[test]
fn reconcile_brings_back_everything_of_a_lost_month() {
    for month in ["2024-01", "2024-02"] {
        let (world, _double, sandbox) = backfilled(91);
        let before = fetch_answers(&sandbox, &world, settled_at());
        let dir = sandbox.lake_dir().join("events/org=acme-works").join(format!("month={month}"));
        std::fs::remove_file(dir.join("snapshot.parquet")).expect("the snapshot is there");
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]);
        let run = run.expect_status(0);
        assert!(run.text().contains("differed from GitHub"), "{run:?}");
        assert_matches_reference(sandbox.serve().address(), &world, settled_at(), &full_range());
        assert_same_answers(&before, &fetch_answers(&sandbox, &world, settled_at()));
        let run = sandbox.run(&["collect", &world.org, "--reconcile"]).expect_status(0);
        assert!(run.text().contains("nothing differs"), "{run:?}");
    }
}
