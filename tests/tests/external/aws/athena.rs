//! The saved queries of the template agree with the API, on the emulator's Athena over the deployed lake and on
//! DuckDB over the lake of one machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use gam_tests::program::run_to_end;
use serde_json::{Value, json};

use super::emulator::{Emulator, EmulatorSetup, wait_for};
use super::scenario::Scenario;
use super::stack::Stack;
use crate::saved_queries::{QueryRows, assert_rows_match_api, saved_queries};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

const DUCKDB: &str = r#"
import duckdb, json, sys
lake, queries = sys.argv[1], json.load(sys.stdin)
connection = duckdb.connect()
# Another time zone than UTC must not matter.
connection.execute("SET TimeZone = 'America/New_York'")
connection.execute(f"""CREATE VIEW events AS SELECT * FROM read_parquet('{lake}/events/*/*/*.parquet',
    hive_partitioning = true, hive_types_autocast = false)""")
def rows(query):
    found = connection.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, map(lambda v: None if v is None else str(v), row))) for row in found.fetchall()]
print(json.dumps({name: rows(query) for name, query in queries.items()}))
"#;

/// Saves a query in Athena, reads it back and runs it.
fn run_on_athena(aws: &Emulator, stack: &Stack<'_>, name: &str, query: &str) -> QueryRows {
    let (database, group) = (stack.output("GlueDatabase"), stack.output("AthenaWorkgroup"));
    let saved = json!({ "Name": name, "Database": database, "QueryString": query, "WorkGroup": group });
    let saved = aws.call("athena", "create_named_query", saved);
    let saved = aws.call("athena", "get_named_query", json!({ "NamedQueryId": saved["NamedQueryId"] }));
    let started = json!({
        "QueryString": saved["NamedQuery"]["QueryString"],
        "QueryExecutionContext": { "Database": database },
        "WorkGroup": group,
    });
    let started = aws.call("athena", "start_query_execution", started);
    let execution = json!({ "QueryExecutionId": started["QueryExecutionId"] });
    wait_for("Athena", || {
        let answer = aws.call("athena", "get_query_execution", execution.clone());
        let status = &answer["QueryExecution"]["Status"];
        assert!(status["State"] != "FAILED", "{name}: {status}");
        (status["State"] == "SUCCEEDED").then_some(())
    });
    let result = aws.list("athena", "get_query_results", "ResultSet.Rows", execution);
    let cells = |row: &Value| -> Vec<Option<String>> {
        let data = row["Data"].as_array().into_iter().flatten();
        data.map(|cell| cell["VarCharValue"].as_str().map(str::to_owned)).collect()
    };
    let mut rows = result.iter().map(cells);
    let names: Vec<String> = rows.next().expect("the names").into_iter().flatten().collect();
    rows.map(|row| names.iter().cloned().zip(row).collect()).collect()
}

/// Runs the queries on DuckDB over a copy of the lake.
fn run_on_duckdb(lake: &Path, queries: &BTreeMap<String, String>) -> BTreeMap<String, QueryRows> {
    let input = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(input.path(), json!(queries).to_string()).expect("the queries are written");
    let python = Tool::Emulator.path().join("python");
    let mut command = Command::new(python);
    command.arg("-c").arg(DUCKDB).arg(lake);
    command.stdin(std::fs::File::open(input.path()).expect("the queries"));
    serde_json::from_value(run_to_end(command).expect_status(0).json()).expect("rows")
}

/// Normalizes a value: the engines format numbers differently.
fn normalized(cell: Option<&String>) -> String {
    let text = cell.cloned().unwrap_or_default();
    text.parse::<f64>().map_or(text, |number| format!("{number:.6}"))
}

fn assert_equal(name: &str, one: &QueryRows, other: &QueryRows) {
    assert_eq!(one.len(), other.len(), "{name}");
    for (one, other) in one.iter().zip(other) {
        assert!(one.keys().eq(other.keys()), "{name}: {one:?} {other:?}");
        for column in one.keys() {
            let (a, b) =
                (one.get(column).and_then(Option::as_ref), other.get(column).and_then(Option::as_ref));
            assert_eq!(normalized(a), normalized(b), "{name}: {column} of {one:?}");
        }
    }
}

/// The saved queries whose rows are compared with the API.
const COMPARED: [&str; 6] = [
    "CommitsQuery",
    "CycleTimeQuery",
    "DeploymentsQuery",
    "IssuesAndReleasesQuery",
    "PullRequestsQuery",
    "ReviewsQuery",
];

fn the_saved_queries_agree_with_the_api() {
    let aws = EmulatorSetup::default().start();
    let scenario = Scenario::new(77, 1);
    let stack = Stack::deploy(&aws, &scenario.world, &scenario.double);
    stack.collect();
    let mut queries = saved_queries();
    // Those that have no counterpart in the API run in DuckDB only: this lake has no sessions, and no events of this week.
    queries.retain(|name, _| COMPARED.contains(&name.as_str()));
    assert_eq!(queries.len(), COMPARED.len(), "{:?}", queries.keys());
    let on_duckdb = run_on_duckdb(&scenario.lake_dir(), &queries);
    let on_athena: BTreeMap<String, QueryRows> = queries
        .iter()
        .map(|(name, query)| (name.clone(), run_on_athena(&aws, &stack, name, query)))
        .collect();
    for (name, rows) in &on_athena {
        assert!(!rows.is_empty(), "{name} returns no rows");
        assert_equal(name, rows, &on_duckdb[name]);
    }
    let compared = assert_rows_match_api(&|target| stack.get(target).json(), &scenario.world.org, &on_athena);
    assert!(compared > 200, "only {compared} numbers were compared against the API");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, the_saved_queries_agree_with_the_api)]
}
