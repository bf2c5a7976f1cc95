//! What `show` and the other commands print: widths, colours, locales, pipes, lists, inputs from outside.

use std::fs::File;
use std::process::Command;

use gam_tests::program::{RunResult, Sandbox, run_to_end};

const ORG: &str = "octo-demo";
const DAYS: [&str; 4] = ["--since", "2026-10-01", "--until", "2026-11-01"];

fn demo() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "40", "--until", "2026-11-05"]).expect_status(0);
    sandbox
}

fn show(sandbox: &Sandbox, args: &[&str], variables: &[(&str, &str)]) -> RunResult {
    let mut command: Command = sandbox.command(&[&["show"][..], args, &DAYS].concat());
    command.envs(variables.iter().copied());
    run_to_end(command).expect_status(0)
}

#[test]
fn tables_and_charts_fit_the_width() {
    let sandbox = demo();
    let subjects: [&[&str]; 5] = [
        &[ORG],
        &["repo", ORG, "web-app", "--granularity", "week"],
        &["member", ORG, "ada-lind", "--metric", "cycle_time_hours"],
        &["repos", ORG],
        &["members", ORG, "--metric", "reviews"],
    ];
    for columns in ["40", "60", "80", "120"] {
        let width: usize = columns.parse().expect("a number");
        for subject in subjects {
            let args = [subject, &["--format", "table"]].concat();
            let text = show(&sandbox, &args, &[("COLUMNS", columns)]).text();
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
            assert!(widest <= width, "{widest} of {columns} columns: {subject:?}\n{text}");
            assert!(widest > width / 2, "{columns} columns are used: {subject:?}\n{text}");
        }
    }
    let text = |columns| show(&sandbox, &[ORG, "--format", "table"], &[("COLUMNS", columns)]).text();
    assert!(text("80").contains("p90") && text("80").contains("┆ detail"), "{}", text("80"));
    assert!(!text("60").contains("p90") && text("60").contains("median hours"), "{}", text("60"));
    assert!(text("40").contains("hours are medians"), "{}", text("40"));
}

#[test]
fn the_heading_can_be_pasted_back() {
    let sandbox = demo();
    let text = show(&sandbox, &[ORG, "--format", "table"], &[]).text();
    let heading = text.lines().nth(1).expect("a second line");
    assert!(heading.starts_with("31 days: --since 2026-10-01 --until 2026-11-01"), "{heading}");
}

#[test]
fn colours_and_characters_follow_the_terminal() {
    let sandbox = demo();
    let text = |variables: &[(&str, &str)]| show(&sandbox, &[ORG, "--format", "table"], variables).text();
    assert!(!text(&[]).contains('\u{1b}'), "no terminal, no colours");
    assert!(text(&[("CLICOLOR_FORCE", "1")]).contains('\u{1b}'));
    assert!(!text(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!text(&[]).is_ascii());
    for locale in ["C", "POSIX", "en_US.ISO-8859-1"] {
        let ascii = text(&[("LC_ALL", locale)]);
        assert!(ascii.is_ascii() && ascii.contains('#'), "{locale}: {ascii}");
    }
}

#[test]
fn a_pipe_gets_tab_separated_values() {
    let sandbox = demo();
    let run = show(&sandbox, &[ORG], &[]);
    let text = run.text();
    assert!(
        text.is_ascii() && text.starts_with("metric\tvalue\tunit\tcount\tmean\tp90\tprevious\tchange\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.split('\t').count() == 8), "{text}");
    assert!(run.stderr.contains("--since 2026-10-01 --until 2026-11-01"), "{}", run.stderr);
    let json = show(&sandbox, &[ORG, "--format", "json"], &[]).json();
    let commits = json["metrics"]["metrics"]["commits"].to_string();
    assert!(text.contains(&format!("commits\t{commits}\tcommits\t")), "{text}");

    let members = show(&sandbox, &["members", ORG, "--limit", "3", "--quiet"], &[]);
    assert_eq!((members.text().lines().count(), members.stderr.as_str()), (4, ""));
    assert!(members.text().starts_with("member\tkind\tcommits\t"), "{}", members.text());
}

#[test]
fn lists_agree_with_the_api() {
    let sandbox = demo();
    let server = sandbox.serve();
    for (list, name, metric) in [("repos", "repo", "commits"), ("members", "member", "reviews")] {
        let range = "since=2026-10-01&until=2026-11-01&compare=previous";
        let target = format!("/api/v1/orgs/{ORG}/{list}?sort={metric}&{range}&limit=5");
        let expected = gam_tests::http::get(server.address(), &target).json();
        let args = [list, ORG, "--metric", metric, "--limit", "5"];
        let shown = show(&sandbox, &[&args[..], &["--format", "json"]].concat(), &[]).json();
        assert_eq!(shown[list], expected[list]);
        let csv = show(&sandbox, &[&args[..], &["--format", "csv"]].concat(), &[]).text();
        let names: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.split(',').next()).collect();
        let entries = expected[list].as_array().expect("entries");
        let expected: Vec<&str> = entries.iter().filter_map(|entry| entry[name].as_str()).collect();
        assert_eq!(names, expected);
        let table = show(&sandbox, &[&args[..], &["--format", "table"]].concat(), &[]).text();
        assert!(expected.iter().all(|name| table.contains(name)), "{table}");
    }
    let more = show(&sandbox, &["members", ORG, "--limit", "2"], &[]);
    assert!(more.stderr.contains("raise --limit"), "{}", more.stderr);
}

#[test]
fn a_range_without_activity_says_when_the_last_was() {
    let sandbox = demo();
    let args = ["show", ORG, "--format", "table", "--since", "2030-01-01", "--until", "2030-02-01"];
    let text = sandbox.run(&args).expect_status(0).text();
    assert!(text.contains("No activity in this range. The last was on 2026-11-04"), "{text}");
    assert!(text.contains("--since 2026-10-06 --until 2026-11-05"), "{text}");
    assert!(!text.contains("prs_merged"), "no table of zeros: {text}");
}

#[test]
fn words_of_the_command_line_are_not_taken_for_organizations() {
    let sandbox = demo();
    for (word, expected) in [
        ("repo", "missing organization and name: `github-metrics show repo ORG NAME`"),
        ("member", "missing organization and name: `github-metrics show member ORG NAME`"),
        ("repos", "missing organization: `github-metrics show repos ORG`"),
        ("members", "missing organization: `github-metrics show members ORG`"),
    ] {
        let error = sandbox.run(&["show", word]).expect_error(2);
        assert_eq!(error, format!("error: {expected}"));
    }
}

#[test]
fn arguments_cannot_control_the_terminal_or_the_shell() {
    let sandbox = demo();
    let long = "x".repeat(30_000);
    for args in [
        &["show", "x\u{1b}[31mRED"][..],
        &["show", "a b;rm -rf"],
        &["show", "repo", "$(id)", "x"],
        &["show", "member", ORG, "x\u{1b}[31m`id`"],
        &["show", &long],
        &["show", "member", ORG, &long],
        &["export", "x\u{1b}]0;t\u{7}"],
        &["serve", "--listen", "\u{1b}[2J"],
        &["help", "\u{1b}[2J"],
    ] {
        let run = sandbox.run(args);
        assert_ne!(run.status, Some(0), "{args:?}");
        assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n'), "{:?}", run.stderr);
        assert!(!run.stderr.contains("github-metrics up x"), "no command to paste: {}", run.stderr);
        assert!(!run.stderr.contains("rm -rf`"), "{}", run.stderr);
        assert!(run.stderr.len() < 1_000, "{} bytes", run.stderr.len());
    }
}

#[test]
fn after_the_demo_the_next_command_shows_it() {
    let sandbox = Sandbox::new();
    let run = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.env_remove("GITHUB_METRICS_DATA_DIR");
        run_to_end(command)
    };
    let error = run(&["show", ORG]).expect_error(1);
    assert!(error.contains("run `github-metrics up ORG` first"), "{error}");
    run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let shown = run(&["show", ORG]).expect_status(0);
    assert!(shown.text().contains("prs_merged"), "{}", shown.text());
}

#[test]
fn an_export_names_its_format_by_the_file_and_replaces_nothing() {
    let sandbox = demo();
    sandbox.run(&["export", ORG, "--out", "x.parquet", "--granularity", "month"]).expect_status(0);
    let file = sandbox.dir().join("x.parquet");
    let bytes = std::fs::read(&file).expect("the file");
    assert_eq!(&bytes[..4], b"PAR1");
    let error = sandbox.run(&["export", ORG, "--out", "x.parquet"]).expect_error(2);
    assert!(error.contains("x.parquet\" exists") && error.contains("--overwrite"), "{error}");
    assert_eq!(std::fs::read(&file).expect("the file"), bytes);
    sandbox.run(&["export", ORG, "--out", "x.parquet", "--overwrite", "--format", "json"]).expect_status(0);
    assert_eq!(std::fs::read(&file).expect("the file")[0], b'[');
    assert!(sandbox.run(&["export", ORG, "--out", "x.xlsx"]).expect_error(2).contains("--format"));
}

/// A reader waits for nobody and changes nothing, even while another process holds the lake.
#[test]
fn reading_neither_locks_nor_touches_the_lake() {
    let sandbox = demo();
    let inbox = sandbox.lake_dir().join("inbox/org=octo-demo");
    std::fs::create_dir_all(&inbox).expect("the inbox");
    std::fs::write(inbox.join(format!("{}.parquet", "00".repeat(32))), "x").expect("a batch");
    let lock = File::options().write(true).open(sandbox.lake_dir().join(".lock")).expect("the lock");
    lock.lock().expect("it is free");
    let modified = || std::fs::metadata(sandbox.lake_dir()).and_then(|dir| dir.modified()).expect("a time");
    let before = modified();
    let run = show(&sandbox, &[ORG], &[]);
    assert!(run.stderr.contains("1 batch is not counted yet"), "{}", run.stderr);
    sandbox.run(&["export", ORG, "--granularity", "month"]).expect_status(0);
    assert_eq!(modified(), before, "no file was created");
}

#[test]
fn show_logs_no_requests_and_usage_errors_are_json_if_logs_are() {
    let sandbox = demo();
    let run = show(&sandbox, &[ORG, "--log-format", "json", "--format", "json"], &[]);
    assert!(!run.stderr.contains("request answered"), "{}", run.stderr);
    let run = sandbox.run(&["show", ORG, "--log-format", "json", "--since", "yesterday"]).expect_status(2);
    let line: serde_json::Value = serde_json::from_str(run.stderr.trim()).expect("one JSON line");
    assert_eq!(line["level"], "ERROR");
    assert!(line["message"].as_str().is_some_and(|text| text.contains("yesterday")), "{line}");
}

#[test]
fn a_misspelled_name_suggests_the_nearest_one() {
    let sandbox = demo();
    let server = sandbox.serve();
    let api = format!("http://{}", server.address());
    for options in [&[][..], &["--api", &api]] {
        for (words, suggestion) in [
            (&["show", "octo-dmeo"][..], "octo-demo"),
            (&["show", "repo", "octo-dmeo", "web-app"], "octo-demo"),
            (&["show", "repo", ORG, "wep-app"], "web-app"),
            (&["show", "member", ORG, "ada-lnd"], "ada-lind"),
            (&["show", "members", "octodemo"], "octo-demo"),
            (&["export", "octo-demoo"], "octo-demo"),
        ] {
            let error = sandbox.run(&[words, options].concat()).expect_error(1);
            assert!(error.contains(&format!("; did you mean {suggestion:?}?")), "{words:?}: {error}");
        }
        let error = sandbox.run(&[&["show", "member", ORG, "zzzzzzzz"], options].concat()).expect_error(1);
        assert!(!error.contains("did you mean"), "{error}");
    }
    let error = sandbox.run(&["shwo", ORG]);
    assert!(error.stderr.contains("similar subcommand exists: 'show'"), "{}", error.stderr);
}

#[test]
fn show_compares_with_the_range_before() {
    let sandbox = demo();
    let server = sandbox.serve();
    let target = format!("/api/v1/orgs/{ORG}/metrics?since=2026-10-20&until=2026-11-01&compare=previous");
    let expected = gam_tests::http::get(server.address(), &target).json();
    let show = |format: &str| {
        let days = ["--since", "2026-10-20", "--until", "2026-11-01"];
        let mut command = sandbox.command(&[&["show", ORG, "--format", format][..], &days].concat());
        command.env("COLUMNS", "80");
        run_to_end(command).expect_status(0)
    };
    let json = show("json").json();
    assert_eq!(json["metrics"], expected);
    let relative = expected["change"]["commits"]["relative"].as_f64().expect("a change");
    let commits = expected["metrics"]["commits"].as_u64().expect("a count");
    let table = show("table").text();
    let row = table.lines().find(|line| line.contains(" commits ")).expect("a row").to_owned();
    let percent = format!("{:+.0}%", relative * 100.0);
    assert!(row.contains(&commits.to_string()) && row.contains(&percent), "{percent}: {table}");
    assert!(table.contains("change since 2026-10-08 to 2026-10-20"), "{table}");
}
