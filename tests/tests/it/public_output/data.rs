//! `show` and `export`: tables, CSV and JSON.

use super::{check, collected, transcripts};

const DAYS: [&str; 4] = ["--since", "2024-03-01", "--until", "2024-03-11"];

#[test]
fn show_as_table() {
    let (_double, sandbox) = collected();
    let table = ["--format", "table"];
    let runs = [
        [&["show", "acme"][..], &DAYS, &table].concat(),
        [&["show", "member", "ACME", "ann"][..], &DAYS, &table, &["--metric", "cycle_time_hours"]].concat(),
        [&["show", "repos", "acme"][..], &DAYS, &table].concat(),
        [&["show", "members", "acme", "--metric", "reviews"][..], &DAYS, &table].concat(),
        // Without a terminal, and without --format.
        [&["show", "acme"][..], &DAYS].concat(),
        [&["show", "acme", "--bots", "only"][..], &["--since", "2024-01-01", "--until", "2024-01-02"]]
            .concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("show_table", &transcripts(&sandbox, &runs));
}

#[test]
fn show_as_csv() {
    let (_double, sandbox) = collected();
    let csv = ["--format", "csv"];
    let runs = [
        [&["show", "acme"][..], &DAYS, &csv].concat(),
        [&["show", "acme"][..], &DAYS, &csv, &["--metric", "cycle_time_hours", "--granularity", "month"]]
            .concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("show_csv", &transcripts(&sandbox, &runs));
}

#[test]
fn show_as_json() {
    let (_double, sandbox) = collected();
    let week = ["--granularity", "week", "--format", "json"];
    let runs = [
        [&["show", "acme"][..], &DAYS, &week].concat(),
        [&["show", "member", "acme", "bob"][..], &DAYS, &week, &["--metric", "reviews"]].concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("show_json", &transcripts(&sandbox, &runs));
}

/// Numbers that do not cover the whole range, or not all that was collected, come with a note.
#[test]
fn show_of_incomplete_numbers() {
    let (_double, sandbox) = collected();
    let early = ["--since", "2023-12-01", "--until", "2024-01-01"];
    sandbox.run(&["collect", "acme", "--since", "2023-06-01"]).expect_status(0);
    let runs = [
        [&["show", "acme"][..], &early].concat(),
        [
            &["show", "repo", "acme", "site"][..],
            &early,
            &["--format", "csv", "--quiet", "--granularity", "month"],
        ]
        .concat(),
        [&["export", "acme"][..], &early, &["--granularity", "month"]].concat(),
    ];
    let runs: Vec<&[&str]> = runs.iter().map(Vec::as_slice).collect();
    check("show_incomplete", &transcripts(&sandbox, &runs));
}

#[test]
fn export_as_csv() {
    let (_double, sandbox) = collected();
    let runs: [&[&str]; 3] = [
        &["export", "acme", "--granularity", "month"],
        &["export", "acme", "--since", "2024-03-01", "--until", "2024-03-03", "--bots", "only"],
        &["export", "acme", "--out", "acme.csv"],
    ];
    check("export_csv", &transcripts(&sandbox, &runs));
}

#[test]
fn export_as_json() {
    let (_double, sandbox) = collected();
    let run = ["export", "acme", "--format", "json", "--granularity", "month", "--since", "2024-03-01"];
    check("export_json", &transcripts(&sandbox, &[&run]));
}

/// The columns of the Parquet file that `export` writes.
#[test]
fn export_as_parquet() {
    let (_double, sandbox) = collected();
    let args = ["export", "acme", "--format", "parquet", "--out", "acme.parquet"];
    let text = transcripts(&sandbox, &[&args]);
    let file = std::fs::File::open(sandbox.dir().join("acme.parquet")).expect("the file");
    let reader = parquet::file::reader::SerializedFileReader::new(file).expect("it is Parquet");
    let metadata = parquet::file::reader::FileReader::metadata(&reader).file_metadata();
    let mut schema = Vec::new();
    parquet::schema::printer::print_schema(&mut schema, metadata.schema());
    let schema = String::from_utf8(schema).expect("it is text");
    check("export_parquet", &format!("{text}\n{schema}"));
}
