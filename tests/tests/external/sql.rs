//! `query` runs SQL over the lake on DuckDB's program.

use std::collections::BTreeMap;
use std::process::Command;

use gam_tests::http::get;
use gam_tests::program::{Sandbox, run_to_end};
use gam_tests::support::backfilled;
use serde_json::{Value, json};

use crate::saved_queries::{QueryRow, QueryRows, assert_rows_match_api, saved_queries};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::DuckDbProgram];

/// Returns a command that runs `query` with DuckDB on the PATH.
fn query(sandbox: &Sandbox, args: &[&str]) -> Command {
    let mut command = sandbox.command(&[&["query"], args].concat());
    command.env("PATH", Tool::DuckDbProgram.path());
    command
}

/// Returns the rows of a query over the lake of the sandbox.
pub(crate) fn rows(sandbox: &Sandbox, sql: &str) -> Vec<Value> {
    let run = run_to_end(query(sandbox, &["--format", "json", sql])).expect_status(0);
    assert_eq!(run.stderr, "", "{sql}");
    run.json().as_array().expect("rows").clone()
}

fn as_text(row: &Value) -> QueryRow {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    row.as_object().expect("a row").iter().map(|(column, value)| (column.clone(), text(value))).collect()
}

fn saved_queries_return_the_numbers_of_the_api() {
    let (world, _double, sandbox) = backfilled(77);
    let mut queries = saved_queries();
    // There are no sessions here, and not every change of the audit log is compared.
    queries.retain(|_, sql| !sql.contains("FROM sessions") && !sql.contains("FROM audit"));
    assert_eq!(queries.len(), 8, "{:?}", queries.keys());
    let run = |sql: &str| -> QueryRows { rows(&sandbox, sql).iter().map(as_text).collect() };
    let results: BTreeMap<String, QueryRows> =
        queries.iter().map(|(name, sql)| (name.clone(), run(sql))).collect();
    let server = sandbox.serve();
    let compared =
        assert_rows_match_api(&|target| get(server.address(), target).json(), &world.org, &results);
    assert!(compared > 200, "only {compared} numbers were compared against the API");
}

fn saved_queries_about_agents_return_the_sessions_of_the_demo() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "40"]).expect_status(0);
    let queries = saved_queries();
    let sum = |name: &str, column: &str| -> u64 {
        rows(&sandbox, &queries[name]).iter().map(|row| row[column].as_u64().expect("a number")).sum()
    };
    let count = |kind: &str| {
        let sql = format!("SELECT count(*) AS n FROM sessions WHERE kind = '{kind}' AND NOT retracted");
        rows(&sandbox, &sql)[0]["n"].as_u64().expect("a number")
    };
    assert!(count("agent_response") > 0 && count("agent_tool_call") > 0);
    assert_eq!(sum("AgentTokensQuery", "responses"), count("agent_response"));
    assert_eq!(sum("FailingToolsQuery", "calls"), count("agent_tool_call"));
}

fn every_format_has_the_same_rows() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "40", "--until", "2026-11-05"]).expect_status(0);
    let sql = "SELECT kind, count(*) AS n, NULL AS none FROM events WHERE NOT retracted GROUP BY kind ORDER BY kind";
    let text = |args: &[&str]| run_to_end(query(&sandbox, args)).expect_status(0).text();
    let json = rows(&sandbox, sql);
    assert!(json.len() > 5, "{json:?}");
    let line = |separator: &str| {
        let lines = json.iter().map(|row| {
            format!("{}{separator}{}{separator}\n", row["kind"].as_str().expect("a kind"), row["n"])
        });
        format!("kind{separator}n{separator}none\n{}", lines.collect::<String>())
    };
    assert_eq!(text(&["--format", "csv", sql]), line(","));
    assert_eq!(text(&[sql]), line("\t"), "a pipe gets tab-separated values");
    let table = text(&["--format", "table", sql]);
    assert!(json.iter().all(|row| table.contains(row["kind"].as_str().expect("a kind"))), "{table}");
    let mut ascii = query(&sandbox, &["--format", "table", sql]);
    ascii.env("LC_ALL", "C");
    assert!(run_to_end(ascii).expect_status(0).text().is_ascii());
    let file = sandbox.dir().join("query.sql");
    std::fs::write(&file, format!("-- from a file\n{sql}\n-- the end")).expect("a file");
    let mut from_stdin = query(&sandbox, &["--format", "json", "-"]);
    from_stdin.stdin(std::fs::File::open(&file).expect("the file"));
    assert_eq!(run_to_end(from_stdin).expect_status(0).json(), Value::Array(json));
    assert!(rows(&sandbox, "SELECT 1 WHERE false").is_empty());
    assert!(sandbox.run(&["query", "--views"]).expect_status(0).text().contains("VIEW events"));
}

fn sessions_are_a_view_once_there_are_some() {
    let (world, _double, sandbox) = backfilled(77);
    assert!(!sandbox.run(&["query", "--views"]).expect_status(0).text().contains("VIEW sessions"));
    let checkout = sandbox.dir().join("site");
    std::fs::create_dir_all(checkout.join(".git")).expect("a directory");
    let remote = format!("[remote \"origin\"]\n\turl = git@work:{}/site.git\n", world.org);
    std::fs::write(checkout.join(".git/config"), remote).expect("a file");
    let line = |number: u32| {
        let record = json!({
            "type": "assistant", "sessionId": "s", "uuid": format!("u{number}"), "cwd": checkout, "version": "2.1.39",
            "timestamp": format!("2026-02-03T10:00:{number:02}.000Z"), "isSidechain": false, "requestId": "r",
            "message": {
                "id": format!("msg_{number}"), "model": "claude-opus-4-6", "role": "assistant",
                "content": [{ "type": "text", "text": "Done." }],
                "usage": { "input_tokens": 3, "output_tokens": 10 + number },
            },
        });
        format!("{record}\n")
    };
    let logs = sandbox.dir().join(".claude/projects/-work");
    std::fs::create_dir_all(&logs).expect("a directory");
    std::fs::write(logs.join("s.jsonl"), [1, 2, 3].map(line).concat()).expect("a file");
    sandbox.run(&["ingest", "sessions", "--org", &world.org, "--member", "ann"]).expect_status(0);
    let sql = "SELECT repo, model, count(*) AS responses, sum(output_tokens) AS tokens FROM sessions \
               WHERE kind = 'agent_response' AND NOT retracted GROUP BY ALL";
    let expected = json!([{ "repo": "site", "model": "claude-opus-4-6", "responses": 3, "tokens": 36 }]);
    let found: Vec<QueryRow> = rows(&sandbox, sql).iter().map(as_text).collect();
    let expected: Vec<QueryRow> = expected.as_array().expect("rows").iter().map(as_text).collect();
    assert_eq!(found, expected);
}

fn a_failed_query_says_why() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3", "--until", "2026-11-05"]).expect_status(0);
    let run = run_to_end(query(&sandbox, &["SELECT nothing FROM events"]));
    assert!(run.stderr.contains("Binder Error") && run.stderr.contains("nothing"), "{}", run.stderr);
    assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains("Loading resources"), "{}", run.stderr);
    let error = run.expect_error(1);
    assert!(error.contains("FROM events LIMIT 1"), "{error}");
}

fn names_paths_and_secrets_are_safe() {
    let sandbox = Sandbox::new();
    let odd = sandbox.dir().join("it's [a] lake*");
    let odd = odd.to_str().expect("a path in UTF-8");
    sandbox
        .run(&["demo", "--no-serve", "--days", "3", "--until", "2026-11-05", "--data-dir", odd])
        .expect_status(0);
    sandbox.run(&["rename-org", "octo-demo", "New-Demo", "--data-dir", odd]).expect_status(0);
    let mut command = query(
        &sandbox,
        &[
            "--data-dir",
            odd,
            "--format",
            "json",
            "SELECT DISTINCT org, org_name, getenv('GITHUB_TOKEN') AS token, current_setting('TimeZone') AS zone \
             FROM events",
        ],
    );
    command.env("GITHUB_TOKEN", "ghp_secret").env("TZ", "Asia/Tokyo");
    let rows = run_to_end(command).expect_status(0).json();
    let expected = serde_json::json!([
        { "org": "octo-demo", "org_name": "New-Demo", "token": "", "zone": "UTC" }
    ]);
    assert_eq!(rows, expected);
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![
        external_test!(NEEDS, saved_queries_return_the_numbers_of_the_api),
        external_test!(NEEDS, saved_queries_about_agents_return_the_sessions_of_the_demo),
        external_test!(NEEDS, every_format_has_the_same_rows),
        external_test!(NEEDS, sessions_are_a_view_once_there_are_some),
        external_test!(NEEDS, a_failed_query_says_why),
        external_test!(NEEDS, names_paths_and_secrets_are_safe),
    ]
}
