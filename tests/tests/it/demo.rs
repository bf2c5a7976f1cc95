//! `demo`, and `show` and `export` compared with the API.

use std::collections::BTreeMap;

use gam_tests::http::{encode_segment, get};
use gam_tests::program::Sandbox;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;

use gam_tests::support::{batches, files};

const ORG: &str = "octo-demo";

fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "70"]).expect_status(0);
    sandbox
}

/// Returns `since` and `until` of the sample, as query parameters.
fn range(address: &str) -> (String, String) {
    let org = get(address, "/api/v1/orgs").json()["orgs"][0].clone();
    assert_eq!(org["org"], ORG);
    let day = |name: &str| org[name].as_str().map(|at| at[..10].to_owned()).expect("a timestamp");
    let until: chrono::NaiveDate = day("last_event").parse().expect("a day");
    (day("first_event"), (until + chrono::Days::new(1)).to_string())
}

#[test]
fn a_second_demo_changes_nothing() {
    let sandbox = demo();
    let read_snapshots = |sandbox: &Sandbox| -> BTreeMap<_, _> {
        let snapshots = files(&sandbox.lake_dir().join("events"));
        snapshots.into_iter().map(|path| (path.clone(), std::fs::read(path).expect("a snapshot"))).collect()
    };
    let before = read_snapshots(&sandbox);
    assert!(before.len() >= 3 && batches(&sandbox).is_empty());
    sandbox.run(&["demo", "--no-serve", "--days", "70"]).expect_status(0);
    // Around midnight the second sample may contain one day more, but never less.
    let after = read_snapshots(&sandbox);
    assert!(before.keys().all(|path| after.contains_key(path)));
    assert!(batches(&sandbox).is_empty());
    let unchanged = before.iter().filter(|(path, bytes)| after.get(*path) == Some(bytes)).count();
    assert!(unchanged + 1 >= before.len(), "only the last month may have changed");
    let error = sandbox.run(&["demo", "--no-serve", "--seed", "7"]).expect_error(2);
    assert!(error.contains("seed"), "{error}");
}

#[test]
fn show_agrees_with_the_api() {
    let sandbox = demo();
    let server = sandbox.serve();
    let (since, until) = range(server.address());
    let repos =
        get(server.address(), &format!("/api/v1/orgs/{ORG}/repos?since={since}&until={until}")).json();
    let members =
        get(server.address(), &format!("/api/v1/orgs/{ORG}/members?since={since}&until={until}")).json();
    let repo = repos["repos"][0]["repo"].as_str().expect("a repository").to_owned();
    let member = members["members"][0]["member"].as_str().expect("a member").to_owned();
    for (subject, path) in [
        (vec![ORG], format!("/api/v1/orgs/{ORG}/metrics")),
        (vec!["repo", ORG, &repo], format!("/api/v1/orgs/{ORG}/repos/{}/metrics", encode_segment(&repo))),
        (
            vec!["member", ORG, &member],
            format!("/api/v1/orgs/{ORG}/members/{}/metrics", encode_segment(&member)),
        ),
    ] {
        let args = [&["show"], &subject[..], &["--since", &since, "--until", &until]].concat();
        let series_args = ["--metric", "reviews", "--granularity", "week"];
        let expected =
            get(server.address(), &format!("{path}?since={since}&until={until}&bots=auto&compare=previous"))
                .json();
        let series = format!("{path}/timeseries?metric=reviews&granularity=week&since={since}&until={until}");
        let series = get(server.address(), &series).json();
        let shown =
            sandbox.run(&[&args[..], &series_args, &["--format", "json"]].concat()).expect_status(0).json();
        assert_eq!(shown["metrics"], expected);
        assert_eq!(shown["timeseries"], series);

        let csv =
            sandbox.run(&[&args[..], &series_args, &["--format", "csv"]].concat()).expect_status(0).text();
        let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let points = series["points"].as_array().expect("points");
        assert_eq!(rows.len(), points.len());
        for (row, point) in rows.iter().zip(points) {
            assert_eq!(point["start"], row[0]);
            assert_eq!(point["value"].to_string(), row[3]);
        }
        let table = sandbox.run(&args).expect_status(0).text();
        assert!(
            table.contains("prs_merged") && table.contains(&expected["metrics"]["prs_merged"].to_string())
        );

        // `--api` prints the same.
        let api = format!("http://{}", server.address());
        let remote = Sandbox::new().with_variable("API_ENDPOINT", &api);
        assert_eq!(
            remote.run(&[&args[..], &series_args, &["--format", "json"]].concat()).expect_status(0).json(),
            shown
        );
    }
}

#[test]
fn export_agrees_with_the_api() {
    let sandbox = demo();
    let server = sandbox.serve();
    let (since, until) = range(server.address());
    let export = |format: &str, granularity: &str| {
        sandbox.run(&["export", ORG, "--format", format, "--granularity", granularity]).expect_status(0)
    };
    let json = export("json", "month").json();
    let rows = json.as_array().expect("rows");
    for row in rows {
        let (name, level) = (row["name"].as_str().expect("a name"), row["level"].as_str().expect("a level"));
        // A month that the range cuts contains only what lies in the range.
        let from = row["start"].as_str().expect("a day").max(since.as_str());
        let to = row["end"].as_str().expect("a day").min(until.as_str());
        let path = match level {
            "org" => String::new(),
            level => format!("/{level}s/{}", encode_segment(name)),
        };
        let answer =
            get(server.address(), &format!("/api/v1/orgs/{ORG}{path}/metrics?since={from}&until={to}"))
                .json();
        for (metric, value) in answer["metrics"].as_object().expect("metrics") {
            if !metric.starts_with("total_") {
                assert_eq!(&row[metric], value, "{level} {name} {from}: {metric}");
            }
        }
    }
    let levels = |level: &str| rows.iter().filter(|row| row["level"] == level).count();
    assert!(levels("org") >= 3 && levels("repo") > 3 && levels("member") > 3);

    let csv = export("csv", "month").text();
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let commits = names.iter().position(|name| *name == "commits").expect("a column");
    let lines: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(rows) {
        assert_eq!((row["level"].as_str(), row["name"].as_str()), (Some(line[0]), Some(line[1])));
        assert_eq!(row["commits"].to_string(), line[commits]);
    }

    let file = sandbox.dir().join("export.parquet");
    let path = file.to_string_lossy().into_owned();
    sandbox
        .run(&["export", ORG, "--format", "parquet", "--granularity", "month", "--out", &path])
        .expect_status(0);
    let reader = SerializedFileReader::new(std::fs::File::open(&file).expect("a file")).expect("Parquet");
    let table: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    assert_eq!(table.len(), rows.len());
    for (stored, row) in table.iter().zip(rows) {
        assert_eq!(row["name"], stored.get_string(1).expect("a name").as_str());
        for (name, field) in stored.get_column_iter() {
            if let (Field::Long(stored), Some(value)) = (field, row.get(name)) {
                assert_eq!(value, &Value::from(*stored), "{name}");
            }
        }
        assert!(
            stored
                .get_column_iter()
                .any(|(name, field)| name == "commits" && matches!(field, Field::Long(_)))
        );
    }
}
