//! DuckDB reads the snapshots, and plain SQL returns the same totals as the API.

use std::process::Command;

use gam_tests::http::{encode_segment, get};
use serde_json::Value;

use crate::tools::Tool;
use crate::{ExternalTest, external_test};
use gam_tests::support::{SINCE, backfilled};

const NEEDS: &[Tool] = &[Tool::DuckDb];

const QUERY: &str = r#"
import duckdb, json, sys
rows = duckdb.sql("""
    WITH live AS (
        SELECT * FROM read_parquet($FILES, hive_partitioning = true) WHERE NOT retracted
    ), counted AS (
        SELECT *, kind = 'review' AND lower(pr_member) = lower(member) AS own,
            kind = 'commit' AND coalesce(parents, 0) <= 1 AS plain
        FROM live
    )
    SELECT repo_id, member,
        count(*) FILTER (plain) AS commits,
        count(*) FILTER (kind = 'commit' AND NOT plain) AS merge_commits,
        coalesce(sum(additions) FILTER (plain), 0) AS additions,
        coalesce(sum(deletions) FILTER (plain), 0) AS deletions,
        coalesce(sum(files_changed) FILTER (plain), 0) AS files_changed,
        coalesce(sum(additions + deletions) FILTER (plain), 0) AS lines_changed,
        count(*) FILTER (kind = 'pr_opened') AS prs_opened,
        count(*) FILTER (kind = 'pr_merged') AS prs_merged,
        count(*) FILTER (kind = 'pr_closed') AS prs_closed,
        count(*) FILTER (kind = 'review' AND NOT own) AS reviews,
        count(*) FILTER (kind = 'issue_opened') AS issues_opened,
        count(*) FILTER (kind = 'issue_closed') AS issues_closed,
        count(*) FILTER (kind = 'release') AS releases,
        count(*) FILTER (kind = 'deployment_success') AS deploys,
        count(*) FILTER (kind = 'deployment_failure') AS deploy_failures,
        count(DISTINCT member) FILTER (NOT own AND member_kind <> 'unknown') AS active_members
    FROM counted GROUP BY GROUPING SETS ((), (repo_id), (member)) HAVING coalesce(member, '') <> 'unknown'
""".replace("$FILES", "'" + sys.argv[1] + "'"))
names = rows.columns
totals = [dict(zip(names, map(lambda v: v if isinstance(v, str) or v is None else int(v), row))) for row in rows.fetchall()]
checks = duckdb.sql("""
    SELECT count(*), count(DISTINCT event_id),
        count(*) FILTER (strftime(occurred_at AT TIME ZONE 'UTC', '%Y-%m') <> month), count(DISTINCT org)
    FROM read_parquet($FILES, hive_partitioning = true, hive_types_autocast = false)
""".replace("$FILES", "'" + sys.argv[1] + "'")).fetchone()
types = {row[0]: row[1] for row in duckdb.sql("DESCRIBE SELECT * FROM read_parquet('" + sys.argv[1] + "')").fetchall()}
print(json.dumps({"totals": totals, "checks": checks, "types": types}))
"#;

fn sql_over_the_snapshots_returns_the_totals_of_the_api() {
    let (world, _double, sandbox) = backfilled(50);
    let pattern = sandbox.lake_dir().join("events/org=*/month=*/snapshot.parquet");
    let mut python = Command::new("python3");
    python.arg("-c").arg(QUERY).arg(&pattern).env("PYTHONPATH", Tool::DuckDb.path());
    let run = gam_tests::program::run_to_end(python);
    let output: Value = run.expect_status(0).json();

    let checks: Vec<i64> =
        output["checks"].as_array().expect("checks").iter().filter_map(Value::as_i64).collect();
    assert!(checks[0] > 1000 && checks[0] == checks[1], "one row an event: {checks:?}");
    assert_eq!(checks[2..], [0, 1], "every row lies in its month, and all are of one organization");
    for (column, kind) in [
        ("event_id", "VARCHAR"),
        ("version", "BIGINT"),
        ("occurred_at", "TIMESTAMP WITH TIME ZONE"),
        ("retracted", "BOOLEAN"),
        ("co_authors", "VARCHAR[]"),
    ] {
        assert_eq!(output["types"][column], kind, "{column}");
    }

    let server = sandbox.serve();
    let totals = output["totals"].as_array().expect("totals");
    assert!(totals.len() > 12, "the organization, repositories and members: {}", totals.len());
    for total in totals {
        let org = format!("/api/v1/orgs/{}", world.org);
        let path = match (total["repo_id"].as_i64(), total["member"].as_str()) {
            (Some(id), _) => {
                let repo = world.repos.iter().find(|repo| repo.id == id).expect("a repository of the world");
                format!("{org}/repos/{}/metrics", encode_segment(repo.name(gam_tests::support::settled_at())))
            }
            (None, Some(member)) => format!("{org}/members/{}/metrics", encode_segment(member)),
            (None, None) => format!("{org}/metrics"),
        };
        let target = format!("{path}?since={SINCE}&until=2024-05-01&bots=include");
        let answer = get(server.address(), &target).json();
        for (name, value) in total.as_object().expect("a row").iter().filter(|(_, value)| value.is_i64()) {
            if name != "repo_id" {
                assert_eq!(&answer["metrics"][name], value, "{target}: {name}");
            }
        }
    }
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, sql_over_the_snapshots_returns_the_totals_of_the_api)]
}
