//! `query` reads a lake on S3, with DuckDB's extension for it and the credentials of the environment.

use std::process::Command;

use gam_tests::program::{Sandbox, run_to_end};
use gam_tests::support::{backfilled, collect_and_aggregate};
use serde_json::{Value, json};

use super::emulator::Emulator;
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::DuckDbProgram, Tool::DuckDbHttpfs];

const COUNTS: &str = "SELECT org_name, month, kind, count(*) AS events FROM events GROUP BY ALL ORDER BY ALL";

fn query(sandbox: &Sandbox, sql: &str) -> Command {
    let mut command = sandbox.command(&["query", "--format", "json", sql]);
    command.env("PATH", Tool::DuckDbProgram.path());
    command
}

/// Installs DuckDB's extension from its file into the home directory of a sandbox, as somebody without a network does.
fn install_extension(sandbox: &Sandbox) {
    let file = Tool::DuckDbHttpfs.path();
    let mut command = Command::new(Tool::DuckDbProgram.path().join("duckdb"));
    command.args(["-c", &format!("INSTALL '{}'", file.display())]);
    run_to_end(sandbox.isolate(command)).expect_status(0);
}

fn a_lake_on_s3_has_the_rows_of_one_in_a_directory() {
    let aws = Emulator::from_environment_or_start();
    let bucket = "github-metrics-query";
    aws.call("s3", "create_bucket", json!({ "Bucket": bucket }));
    let (world, double, local) = backfilled(77);
    let on_s3 = Sandbox::with_github(&double)
        .with_variable("AWS_ENDPOINT_URL", aws.endpoint())
        .with_variable("AWS_REGION", "us-east-1")
        .with_variable("AWS_ACCESS_KEY_ID", "test")
        .with_variable("AWS_SECRET_ACCESS_KEY", "it's secret")
        .with_variable("GITHUB_METRICS_LAKE", &format!("s3://{bucket}/a lake"));
    collect_and_aggregate(&on_s3, &world.org);

    // There is no place for extensions.
    let mut without_home = query(&on_s3, COUNTS);
    without_home.env("HOME", "/dev/null");
    let error = run_to_end(without_home).expect_error(1);
    assert!(error.contains("extension httpfs") && error.contains("cannot be installed"), "{error}");
    assert!(error.contains("INSTALL httpfs") && error.contains("https://duckdb.org/docs"), "{error}");

    install_extension(&on_s3);
    let rows = |sandbox: &Sandbox| -> Value {
        let run = run_to_end(query(sandbox, COUNTS)).expect_status(0);
        assert_eq!(run.stderr, "");
        run.json()
    };
    let expected = rows(&local);
    assert!(expected.as_array().is_some_and(|rows| rows.len() > 20), "{expected}");
    assert_eq!(rows(&on_s3), expected);
    let run = run_to_end(query(&on_s3, "SELECT * FROM duckdb_secrets()")).expect_status(0);
    assert!(!run.text().contains("it's secret"), "{}", run.text());
    let mut views = on_s3.command(&["query", "--views"]);
    views.env("PATH", Tool::DuckDbProgram.path());
    let views = run_to_end(views).expect_status(0).text();
    assert!(
        views.contains(&format!("'s3://{bucket}/a lake/events/")) && !views.contains("SECRET"),
        "{views}"
    );
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, a_lake_on_s3_has_the_rows_of_one_in_a_directory)]
}
