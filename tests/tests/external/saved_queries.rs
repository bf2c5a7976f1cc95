//! The saved queries of Athena, and the comparison of their rows with answers of the API.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tools::root;

/// A row of a query: the text of each value, by column. `None` for null.
pub(crate) type QueryRow = BTreeMap<String, Option<String>>;
/// The rows of a query.
pub(crate) type QueryRows = Vec<QueryRow>;

/// Returns the saved queries, by their names in the template.
pub(crate) fn saved_queries() -> BTreeMap<String, String> {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template");
    let (mut queries, mut resource, mut query) = (BTreeMap::new(), String::new(), None);
    for line in template.lines() {
        let indent = line.len() - line.trim_start().len();
        match &mut query {
            Some(text) if indent >= 8 || line.is_empty() => {
                *text += line.get(8..).unwrap_or_default();
                *text += "\n";
                continue;
            }
            Some(text) => {
                queries.insert(resource.clone(), std::mem::take(text));
                query = None;
            }
            None => {}
        }
        if indent == 2 {
            resource = line.trim().trim_end_matches(':').to_owned();
        } else if line.trim() == "QueryString: |" {
            query = Some(String::new());
        }
    }
    queries
}

/// Returns a month as the API's `since` and `until`.
fn month_range(month: &str) -> String {
    let first = gam_tests::answers::day(&format!("{month}-01"));
    let (since, until) = gam_tests::answers::bucket_bounds("month", first);
    format!("since={since}&until={until}")
}

/// Asserts that a row's columns equal the API's metrics of the same subject. Returns the number of comparisons.
fn assert_row_matches(subject: &str, metrics: &Value, row: Option<&QueryRow>, columns: &[&str]) -> usize {
    for column in columns {
        let counted = row.and_then(|row| row.get(*column)?.as_ref()).map_or("0", String::as_str);
        let answered = metrics[*column].to_string();
        assert_eq!(counted.parse::<f64>().ok(), answered.parse().ok(), "{subject}: {column}");
    }
    columns.len()
}

/// Compares the rows with the API's answers, month by month. Returns the number of comparisons.
pub(crate) fn assert_rows_match_api(
    get: &dyn Fn(&str) -> Value,
    org: &str,
    rows: &BTreeMap<String, QueryRows>,
) -> usize {
    let by_repo: [(&str, &[&str]); 4] = [
        ("CommitsQuery", &["commits", "additions", "deletions", "lines_changed", "files_changed"]),
        ("PullRequestsQuery", &["prs_opened", "prs_merged", "prs_closed"]),
        ("IssuesAndReleasesQuery", &["issues_opened", "issues_closed", "releases"]),
        ("DeploymentsQuery", &["deploys", "deploy_failures"]),
    ];
    let is = |row: &QueryRow, column: &str, value: &str| {
        row.get(column).and_then(Option::as_ref).is_some_and(|cell| cell.eq_ignore_ascii_case(value))
    };
    let months: Vec<&String> =
        rows["CycleTimeQuery"].iter().filter_map(|row| row["month"].as_ref()).collect();
    let mut compared = 0;
    for month in months {
        let range = month_range(month);
        let listing = get(&format!("/api/v1/orgs/{org}/repos?{range}&limit=1000"));
        for repo in listing["repos"].as_array().expect("repositories") {
            let name = repo["repo"].as_str().expect("a name");
            for (query, columns) in by_repo {
                let row = rows[query].iter().find(|row| is(row, "month", month) && is(row, "repo", name));
                compared += assert_row_matches(&format!("{month} {name}"), &repo["metrics"], row, columns);
            }
        }
        let listing = get(&format!("/api/v1/orgs/{org}/members?{range}&limit=1000"));
        for member in listing["members"].as_array().expect("members") {
            let name = member["member"].as_str().expect("a name");
            let row =
                rows["ReviewsQuery"].iter().find(|row| is(row, "month", month) && is(row, "reviewer", name));
            compared += assert_row_matches(&format!("{month} {name}"), &member["metrics"], row, &["reviews"]);
        }
        let answer = get(&format!("/api/v1/orgs/{org}/metrics?{range}"));
        let row = rows["CycleTimeQuery"].iter().find(|row| is(row, "month", month)).expect("its row");
        compared += assert_cycle_time_matches(month, &answer["metrics"]["cycle_time_hours"], row);
    }
    compared
}

/// Compares the cycle times of a month. The API's percentiles are estimates, so 2 % are allowed.
fn assert_cycle_time_matches(month: &str, answered: &Value, row: &QueryRow) -> usize {
    let columns =
        [("prs_merged", "count"), ("mean_hours", "mean"), ("p50_hours", "p50"), ("p90_hours", "p90")];
    for (column, name) in columns {
        let counted: f64 = row[column].as_ref().and_then(|cell| cell.parse().ok()).expect("a number");
        let answered = answered[name].as_f64().expect("a number");
        assert!(
            (counted - answered).abs() <= 0.02 * answered.abs(),
            "{month} {column}: {counted} {answered}"
        );
    }
    columns.len()
}
