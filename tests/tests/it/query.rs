//! `query` without DuckDB. The tests with it are in `tests/external/sql.rs`.

use gam_tests::program::{Sandbox, run_to_end};

#[test]
fn without_duckdb_the_views_are_printed() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3", "--until", "2026-11-05"]).expect_status(0);
    let mut command = sandbox.command(&["query", "SELECT 1"]);
    command.env("PATH", sandbox.dir());
    let run = run_to_end(command);
    let files = sandbox.lake_dir().join("events/org=*/month=*/snapshot.parquet");
    assert!(run.text().contains("CREATE OR REPLACE VIEW events AS"), "{run:?}");
    assert!(run.text().contains(files.to_str().expect("a path in UTF-8")), "{run:?}");
    let error = run.expect_error(1);
    assert!(error.contains("duckdb.org/install") && error.contains("--duckdb PATH"), "{error}");

    let error = sandbox.run(&["query", "--duckdb", "./none", "SELECT 1"]).expect_error(2);
    assert!(error.contains("invalid --duckdb \"./none\""), "{error}");
    let run = sandbox.run(&["query", "--views"]).expect_status(0);
    assert!(run.text().contains("CREATE OR REPLACE VIEW events AS"), "{run:?}");
}

#[test]
fn an_empty_lake_is_reported() {
    let error = Sandbox::new().run(&["query", "SELECT 1"]).expect_error(1);
    assert!(error.contains("no events in the lake") && error.contains("github-metrics up ORG"), "{error}");
    let error = Sandbox::new().run(&["query", "--format", "parquet", "SELECT 1"]).expect_error(2);
    assert!(error.contains("COPY"), "{error}");
}
