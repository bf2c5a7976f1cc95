//! Answers as CSV have the values of the same answers as JSON.

use axum::Router;
use axum::http::Method;
use serde_json::Value;

use crate::support::{acme, get, get_json, send};

/// Returns the header and the records of a CSV answer.
async fn table(api: &Router, path: &str) -> (Vec<String>, Vec<Vec<String>>) {
    let accepted = send(api, Method::GET, path, &[("accept", "text/csv")]).await;
    assert_eq!(accepted.header("content-type"), "text/csv; charset=utf-8; header=present", "{path}");
    assert!(!accepted.headers.contains_key("content-disposition"), "{path}");
    let (route, query) = path.split_once('?').unwrap_or((path, ""));
    let file = get(api, &format!("{route}.csv?{query}")).await;
    assert_eq!((file.status.as_u16(), file.header("content-disposition")), (200, "attachment"), "{path}");
    assert_eq!((&file.body, file.header("etag")), (&accepted.body, accepted.header("etag")), "{path}");
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let mut lines = accepted.text().lines().map(cells);
    (lines.next().expect("a header"), lines.collect())
}

/// Returns the value of a column in an object: `cycle_time_hours_p50` is in `cycle_time_hours`.
fn value_of(values: &Value, column: &str) -> String {
    let value = match values.get(column) {
        Some(value) => value,
        None => {
            let (metric, statistic) = column.rsplit_once('_').expect("a metric and a statistic");
            &values[metric][statistic]
        }
    };
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Checks the cells of the columns, the first of which is at `from`.
fn check_cells(header: &[String], record: &[String], from: usize, count: usize, values: &Value) {
    for (column, cell) in header[from..].iter().zip(&record[from..]).take(count) {
        assert_eq!(*cell, value_of(values, column), "{column}");
    }
}

/// Number of columns of the values of all metrics: four for each of the two distributions.
const VALUE_COLUMNS: usize = gam_model::metric::CATALOGUE.len() + 6;

#[tokio::test]
async fn csv_of_metrics_is_one_record() {
    let api = acme::api().await;
    for subject in ["", "/repos/site", "/members/ann"] {
        let path = format!("/api/v1/orgs/acme{subject}/metrics");
        let (header, records) = table(&api, &path).await;
        let answer = get_json(&api, &path).await;
        assert_eq!((records.len(), header.len()), (1, records[0].len()));
        for (column, cell) in header.iter().zip(&records[0]).take(11) {
            // Null and a missing field are empty cells.
            let expected = answer.get(column).map(|_| value_of(&answer, column)).unwrap_or_default();
            assert_eq!(*cell, expected, "{column}");
        }
        check_cells(&header, &records[0], 11, header.len(), &answer["metrics"]);
        let totals = if subject.is_empty() { 2 } else { 0 };
        assert_eq!(header.len(), 11 + VALUE_COLUMNS + totals, "{subject}");
    }
}

#[tokio::test]
async fn csv_of_lists_has_a_record_for_each_entry() {
    let api = acme::api().await;
    for (path, list, columns) in [
        ("members?bots=include", "members", ["member", "kind"]),
        ("repos", "repos", ["repo", "id"]),
        ("repos/site/members", "members", ["member", "kind"]),
        ("members/ann/repos", "repos", ["repo", "id"]),
        ("members?since=2022-01-01&until=2022-02-01", "members", ["member", "kind"]),
    ] {
        let path = format!("/api/v1/orgs/acme/{path}");
        let (header, records) = table(&api, &path).await;
        let answer = get_json(&api, &path).await;
        let entries = answer[list].as_array().expect("entries");
        assert_eq!((header.len(), records.len()), (2 + VALUE_COLUMNS, entries.len()), "{path}");
        for (record, entry) in records.iter().zip(entries) {
            assert_eq!(record[..2], columns.map(|column| value_of(entry, column)), "{path}");
            check_cells(&header, record, 2, VALUE_COLUMNS, &entry["metrics"]);
        }
    }
}

#[tokio::test]
async fn csv_of_a_comparison_has_three_more_columns_for_each_number() {
    let api = acme::api().await;
    let path = "/api/v1/orgs/acme/members?since=2024-03-03&until=2024-03-05&compare=previous";
    let (header, records) = table(&api, path).await;
    let answer = get_json(&api, path).await;
    assert_eq!(header.len(), 2 + 4 * VALUE_COLUMNS);
    let entry = &answer["members"][0];
    for (column, cells) in
        header[2..].iter().zip(records[0][2 + VALUE_COLUMNS..].chunks(3)).take(VALUE_COLUMNS)
    {
        let change = |kind: &str| match entry["change"].get(column) {
            Some(change) => value_of(change, kind),
            None => {
                let (metric, statistic) = column.rsplit_once('_').expect("a metric and a statistic");
                value_of(&entry["change"][metric][statistic], kind)
            }
        };
        let previous = value_of(&entry["previous"]["metrics"], column);
        assert_eq!(cells, [previous, change("difference"), change("relative")], "{column}");
    }
    let path = "/api/v1/orgs/acme/metrics?since=1970-01-01&compare=previous";
    let (header, records) = table(&api, path).await;
    let empty = header.iter().zip(&records[0]).filter(|(column, _)| column.ends_with("_relative"));
    assert!(empty.clone().count() == VALUE_COLUMNS && empty.into_iter().all(|(_, cell)| cell.is_empty()));
}

#[tokio::test]
async fn csv_of_series_and_histograms_has_a_record_for_each_bucket_and_bin() {
    let api = acme::api().await;
    let range = "granularity=week&since=2024-02-28&until=2024-03-09";
    for query in ["metric=commits", "metric=cycle_time_hours", "metric=reviews&metric=first_review_hours"] {
        let path = format!("/api/v1/orgs/acme/metrics/timeseries?{query}&{range}");
        let (header, records) = table(&api, &path).await;
        let answer = get_json(&api, &path).await;
        let points = answer["points"].as_array().expect("points");
        assert_eq!(records.len(), points.len());
        for (record, point) in records.iter().zip(points) {
            let partial = point.get("partial").map_or("false".to_owned(), Value::to_string);
            assert_eq!(record[..3], [value_of(point, "start"), value_of(point, "end"), partial]);
            let values = match answer["metric"].as_str() {
                Some(metric) => serde_json::json!({ metric: point["value"] }),
                None => point["values"].clone(),
            };
            check_cells(&header, record, 3, header.len(), &values);
        }
    }
    let path = "/api/v1/orgs/acme/metrics/histogram";
    let (header, records) = table(&api, path).await;
    assert_eq!(header, ["from", "to", "count"]);
    let answer = get_json(&api, path).await;
    for (record, bin) in records.iter().zip(answer["bins"].as_array().expect("bins")) {
        assert_eq!(record[..], ["from", "to", "count"].map(|column| value_of(bin, column)));
    }
    let (header, records) = table(&api, "/api/v1/orgs").await;
    assert_eq!(header, ["org", "repos", "members", "first_event", "last_event"]);
    let summary = &get_json(&api, "/api/v1/orgs").await["orgs"][0];
    check_cells(&header, &records[0], 0, 5, summary);
}

#[tokio::test]
async fn the_next_page_is_linked_in_both_formats() {
    let api = acme::api().await;
    let mut names = Vec::new();
    let mut query = "?limit=1&q=b".to_owned();
    loop {
        let json = get(&api, &format!("/api/v1/orgs/acme/members{query}")).await;
        let csv = get(&api, &format!("/api/v1/orgs/acme/members.csv{query}")).await;
        assert_eq!(json.header("link"), csv.header("link"));
        names.extend(
            csv.text().lines().nth(1).map(|line| line.split(',').next().unwrap_or_default().to_owned()),
        );
        match json.header("link").strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")) {
            Some(next) => {
                let cursor = json.json()["next"].as_str().expect("a cursor").to_owned();
                assert_eq!(next, format!("?limit=1&q=b&cursor={cursor}"));
                query = next.to_owned();
            }
            None => break,
        }
    }
    assert_eq!(names, ["bob", "~0123456789ab"]);
}

#[tokio::test]
async fn an_error_is_a_problem_document_whatever_is_accepted() {
    let api = acme::api().await;
    let csv = [("accept", "text/csv")];
    send(&api, Method::GET, "/api/v1/orgs/nobody/metrics", &csv).await.problem(404, "NOT_FOUND");
    get(&api, "/api/v1/orgs/acme/metrics.csv?bots=x").await.problem(400, "INVALID_ARGUMENT");
    let html = [("accept", "text/html, image/*;q=0.5")];
    let refused = send(&api, Method::GET, "/api/v1/orgs/acme/metrics", &html).await;
    assert!(refused.problem(406, "INVALID_ARGUMENT").contains("application/json or text/csv"));
    let json = [("accept", "application/json")];
    send(&api, Method::GET, "/api/v1/orgs/acme/members.csv", &json).await.problem(406, "INVALID_ARGUMENT");
    assert_eq!(send(&api, Method::GET, "/healthz", &html).await.status, 200, "a probe accepts anything");
}
