//! Session logs of coding agents become rows of a table of their own, and nothing of what was said is stored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use gam_tests::program::{Sandbox, run_to_end};
use gam_tests::support::{backfilled, files, runtime, wait_for};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::{Value, json};

use crate::secrets::{parquet_text, store_text};

/// Everything that was said in the logs contains it.
const SECRET: &str = "hunter2-secret";

/// Makes a checkout of the repository `site` and one of somebody else.
pub(crate) fn make_checkouts(sandbox: &Sandbox, org: &str) -> (PathBuf, PathBuf) {
    let checkout = |name: &str, url: &str| {
        let root = sandbox.dir().join(name);
        fs::create_dir_all(root.join(".git")).expect("a directory");
        fs::write(root.join(".git/config"), format!("[remote \"origin\"]\n\turl = {url}\n")).expect("a file");
        root
    };
    (
        checkout("site", &format!("git@work:{org}/site.git")),
        checkout("other", "https://github.com/somebody/other.git"),
    )
}

/// Returns a response, with a tool call and its result, and the prompt before it.
pub(crate) fn turn(session: &str, number: u32, directory: &Path, day: &str) -> String {
    let envelope = |record_type: &str, second: u32, fields: Value| {
        let mut record = json!({
            "type": record_type, "sessionId": session, "uuid": format!("{session}-{number}-{second}"),
            "timestamp": format!("{day}T10:{number:02}:{second:02}.000Z"), "cwd": directory, "gitBranch": "secret-plan",
            "version": "2.1.39", "isSidechain": false,
        });
        record.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        format!("{record}\n")
    };
    let call = json!({
        "type": "tool_use", "id": format!("toolu_{session}_{number}"), "name": "mcp__customer__read",
        "input": { "path": SECRET },
    });
    let message = json!({
        "id": format!("msg_{session}_{number}"), "model": "claude-opus-4-6", "role": "assistant",
        "content": [{ "type": "text", "text": SECRET }, call],
        "usage": { "input_tokens": 3, "output_tokens": 10, "cache_read_input_tokens": 100 },
    });
    let result = json!({
        "type": "tool_result", "tool_use_id": format!("toolu_{session}_{number}"), "content": SECRET,
        "is_error": number.is_multiple_of(2),
    });
    [
        envelope("user", 0, json!({ "message": { "role": "user", "content": SECRET } })),
        envelope("assistant", 5, json!({ "requestId": "req", "message": message })),
        envelope("user", 9, json!({ "message": { "role": "user", "content": [result] } })),
    ]
    .concat()
}

/// Writes a log of Claude Code in the home directory.
pub(crate) fn write_log(sandbox: &Sandbox, session: &str, text: &str) -> PathBuf {
    let directory = sandbox.dir().join(".claude/projects/-work");
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join(format!("{session}.jsonl"));
    fs::write(&path, text).expect("a file");
    path
}

/// Returns the rows of the table `sessions`: the values of each as texts, by column.
pub(crate) fn session_rows(sandbox: &Sandbox) -> Vec<BTreeMap<String, String>> {
    let lake = sandbox.lake_dir().join("sessions");
    let mut rows = Vec::new();
    for path in files(&lake) {
        let file = fs::File::open(lake.join(&path)).expect("a file");
        let reader = SerializedFileReader::new(file).expect("a Parquet file");
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            let values = row.get_column_iter().map(|(name, value)| (name.clone(), value.to_string()));
            rows.push(values.collect::<BTreeMap<_, _>>());
        }
    }
    rows
}

fn count_kind(rows: &[BTreeMap<String, String>], kind: &str) -> usize {
    rows.iter().filter(|row| row["kind"].trim_matches('"') == kind).count()
}

/// Returns the content of all files of the table `events`.
fn event_files(sandbox: &Sandbox) -> Vec<(PathBuf, Vec<u8>)> {
    let lake = sandbox.lake_dir().join("events");
    files(&lake).into_iter().map(|path| (path.clone(), fs::read(lake.join(path)).expect("a file"))).collect()
}

#[test]
fn session_logs_become_rows_of_their_own_table() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, other) = make_checkouts(&sandbox, &world.org);
    let before = event_files(&sandbox);
    let march: String = (1..=3).map(|number| turn("s1", number, &site, "2026-03-31")).collect();
    let first = write_log(&sandbox, "s1", &march);
    write_log(&sandbox, "s2", &turn("s2", 1, &other, "2026-04-02"));
    let ingest = |more: &[&str]| {
        let args = ["ingest", "sessions", "--org", &world.org, "--member", "ann"];
        sandbox.run(&[&args[..], more].concat())
    };

    let shown = ingest(&["--dry-run"]).expect_status(0).text();
    assert!(shown.contains("agent_response") && shown.contains("claude-opus-4-6"), "{shown}");
    assert!(!sandbox.lake_dir().join("sessions").exists(), "a dry run writes nothing");
    let report = ingest(&["--format", "json"]).expect_status(0).json();
    assert_eq!((&report["sessions"], &report["events"]["agent_response"]), (&json!(1), &json!(3)));
    assert_eq!(report["left_out"][0]["sessions"], 1);

    let rows = session_rows(&sandbox);
    assert_eq!(rows.len(), 3 + 3 + 1);
    assert_eq!(
        ["agent_response", "agent_tool_call", "agent_session"].map(|kind| count_kind(&rows, kind)),
        [3, 3, 1]
    );
    let repo_id = world.repos.iter().find(|repo| repo.names[0].1 == "site").expect("a repository").id;
    for row in &rows {
        assert_eq!(
            (row["repo_id"].as_str(), row["member"].trim_matches('"')),
            (&*repo_id.to_string(), "ann")
        );
    }
    assert!(ingest(&[]).expect_status(0).text().contains("nothing new in 2 log files"));
    assert_eq!(ingest(&["--again", "--format", "json"]).expect_status(0).json()["changed_rows"], 0);

    // The session goes on in the next month, and then its log is deleted.
    let grown = march + &turn("s1", 4, &site, "2026-04-01");
    fs::write(&first, grown).expect("a file");
    ingest(&[]).expect_status(0);
    fs::remove_file(&first).expect("a file");
    ingest(&[]).expect_status(0);
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    let rows = session_rows(&sandbox);
    assert_eq!((count_kind(&rows, "agent_response"), count_kind(&rows, "agent_session")), (4, 2));
    assert!(rows.iter().all(|row| row["retracted"] == "false"));
    assert_eq!(files(&sandbox.lake_dir().join("sessions")).len(), 2, "one file a month");
    let unchanged: Vec<_> = event_files(&sandbox);
    assert_eq!(unchanged.len(), before.len(), "GitHub's months are not touched");
}

#[test]
fn nothing_that_was_said_is_stored() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    write_log(&sandbox, "s1", &turn("s1", 1, &site, "2026-03-31"));
    let printed =
        sandbox.run(&["ingest", "sessions", "--org", &world.org, "--member", "ann"]).expect_status(0);
    let dry_run = ["ingest", "sessions", "--org", &world.org, "--member", "ann", "--dry-run", "--again"];
    let shown = sandbox.run(&dry_run).expect_status(0);
    let mut texts = vec![printed.text(), printed.stderr.clone(), shown.text(), shown.stderr.clone()];
    let lake = sandbox.lake_dir();
    for path in files(&lake) {
        let path = lake.join(path);
        if path.extension().is_some_and(|extension| extension == "parquet") {
            texts.push(parquet_text(&path));
        } else {
            texts.push(String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned());
        }
    }
    texts.push(runtime().block_on(store_text(&sandbox.data_dir().join("store.sqlite"))));
    assert!(texts.iter().any(|text| text.contains("claude-opus-4-6")), "the rows were read");
    let directory = site.to_string_lossy().into_owned();
    for text in texts {
        for secret in [SECRET, "secret-plan", "customer", &directory] {
            let at = text.find(secret);
            assert!(at.is_none(), "{secret} in {:?}", at.map(|at| &text[at.saturating_sub(100)..at]));
        }
    }
}

#[test]
fn sessions_need_a_collected_organization() {
    let sandbox = Sandbox::new();
    for args in
        [&["ingest", "sessions", "--org", "acme"][..], &["ingest", "sessions", "--org", "acme", "--dry-run"]]
    {
        let error = sandbox.run(args).expect_error(1);
        assert!(error.contains("run `github-metrics"), "{error}");
    }
}

#[test]
fn the_hook_reads_logs_and_never_fails() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    let settings = sandbox.dir().join(".claude/settings.json");
    fs::create_dir_all(settings.parent().expect("a parent")).expect("a directory");
    let own = json!({ "model": "opus", "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "x" }] }] } });
    fs::write(&settings, own.to_string()).expect("a file");
    let read = || -> Value { serde_json::from_slice(&fs::read(&settings).expect("a file")).expect("JSON") };
    for _ in 0..2 {
        sandbox.run(&["ingest", "hook", "install", "--org", &world.org, "--member", "ann"]).expect_status(0);
    }
    let installed = read();
    assert_eq!(installed["model"], "opus");
    assert_eq!(installed["hooks"]["SessionEnd"].as_array().map(Vec::len), Some(1));
    let command = installed["hooks"]["SessionEnd"][0]["hooks"][0]["command"].as_str().expect("a command");
    assert!(command.contains(" ingest sessions --auto --org "), "{command}");

    write_log(&sandbox, "s1", &turn("s1", 1, &site, "2026-03-31"));
    let run = |args: &[&str]| {
        let mut command = sandbox.command(args);
        command.stdin(Stdio::null());
        let result = run_to_end(command).expect_status(0);
        assert_eq!(result.text(), "", "what a hook prints becomes a part of the session");
    };
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--member", "ann"]);
    assert_eq!(count_kind(&session_rows(&sandbox), "agent_response"), 1);
    // stdin stays open, and nothing comes.
    let mut command =
        sandbox.command(&["ingest", "sessions", "--auto", "--org", &world.org, "--member", "ann"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program can be started");
    let stdin = child.stdin.take();
    assert!(child.wait().expect("it ends").success());
    drop(stdin);
    // Neither the organization nor the lake exists.
    run(&["ingest", "sessions", "--auto", "--org", "none-such"]);
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--lake", "file:/dev/null/lake"]);
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--lake", "nonsense"]);
    // Failures before the settings are known.
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--no-such-option"]);
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--log-format", "no-such-format"]);
    let env_file = sandbox.data_dir().join("unreadable.env");
    fs::write(&env_file, "GITHUB_TOKEN=two words\n").expect("a file");
    let env_file = env_file.to_str().expect("a path");
    run(&["ingest", "sessions", "--auto", "--org", &world.org, "--env-file", env_file]);
    let log = fs::read_to_string(sandbox.data_dir().join("ingest.log")).expect("a log");
    for text in
        ["none-such", "/dev/null/lake", "nonsense", "--no-such-option", "no-such-format", "unreadable.env"]
    {
        assert!(log.contains(text), "{text}: {log}");
    }

    sandbox.run(&["ingest", "hook", "remove"]).expect_status(0);
    assert_eq!(read(), own);
}

#[test]
fn ingested_sessions_have_metrics_lists_and_series() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    let march: String = (1..=3).map(|number| turn("s1", number, &site, "2026-03-30")).collect();
    let mut april = turn("s2", 4, &site, "2026-04-02").replace("claude-opus-4-6", "house-model");
    april.push_str(&turn("s2", 5, &site, "2026-04-02"));
    write_log(&sandbox, "s1", &march);
    write_log(&sandbox, "s2", &april);
    // A resumed session repeats everything in another file.
    write_log(&sandbox, "s1-again", &march);
    let args = ["ingest", "sessions", "--org", &world.org, "--member", "ann"];
    sandbox.run(&args).expect_status(0);

    let range = ["--since", "2026-03-01", "--until", "2026-05-01"];
    let show = |more: &[&str]| {
        let command = ["show", "agents", &world.org];
        sandbox.run(&[&command[..], &range, more].concat()).expect_status(0)
    };
    let shown = show(&["--format", "json", "--granularity", "month"]).json();
    let metrics = &shown["metrics"]["metrics"];
    let expected = json!({
        "agent_sessions": 2, "agent_prompts": 5, "agent_responses": 5, "agent_tokens_input": 15,
        "agent_tokens_output": 50, "agent_tokens_cache_read": 500, "agent_tokens_cache_write": 0,
        "agent_unpriced_tokens": 113, "agent_tool_calls": 5, "agent_tool_errors": 2, "agent_tool_error_rate": 0.4,
        "agent_tool_rejections": 0, "agent_members": 1,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&metrics[name], value, "{name}");
    }
    // Four responses of 3, 10 and 100 tokens, at 5, 25 and 0.5 dollars a million.
    assert_eq!(metrics["agent_cost_usd"], 4.0 * (3.0 * 5_000.0 + 10.0 * 25_000.0 + 100.0 * 500.0) / 1e9);
    // Lines at the seconds 0, 5 and 9 of three and of two minutes.
    assert_eq!(metrics["agent_active_hours"], (129.0 + 69.0) / 3600.0);
    assert_eq!(metrics["agent_session_hours"]["count"], 2);
    assert_eq!(shown["metrics"]["unpriced_models"], json!(["house-model"]));
    let points = shown["timeseries"]["points"].as_array().expect("points");
    assert_eq!(points.len(), 2);
    assert_eq!(points[0]["value"], 3.0 * 315_000.0 / 1e9);

    let models = show(&["--by", "model", "--format", "json"]).json();
    let entries = models["list"]["entries"].as_array().expect("entries");
    let names: Vec<_> = entries.iter().map(|entry| &entry["model"]).collect();
    assert_eq!(names, ["claude-opus-4-6", "house-model"]);
    assert_eq!(entries[1]["metrics"]["agent_unpriced_tokens"], 113);
    assert_eq!(entries[1]["metrics"]["agent_cost_usd"], Value::Null, "a model without a price is not free");
    let csv = show(&["--by", "model", "--format", "csv"]).text();
    let house = csv.lines().find(|line| line.starts_with("house-model,")).expect("a row");
    assert!(house.starts_with("house-model,1,3,10,100,0,,113"), "{csv}");
    let series = models["timeseries"]["series"].as_array().expect("series");
    let total: f64 = series
        .iter()
        .flat_map(|part| part["points"].as_array().expect("points"))
        .filter_map(|point| point["value"].as_f64())
        .sum();
    assert!((total - metrics["agent_cost_usd"].as_f64().expect("a number")).abs() < 1e-12);

    let tools = show(&["--by", "tool", "--format", "csv"]).text();
    assert_eq!(
        tools,
        "tool,agent_tool_calls,agent_tool_errors,agent_tool_error_rate,agent_tool_rejections,\
                       agent_tool_rejection_rate,agent_lines_added,agent_lines_deleted,agent_tool_calls_change\n\
                       mcp,5,2,0.4,0,0.0,0,0,\n"
    );
    let branches = show(&["--by", "branch", "--format", "json"]).json();
    let branch = branches["list"]["entries"][0]["branch"].as_str().expect("a branch");
    assert!(branch.starts_with('~') && branch.len() == 13, "{branch}");
    for (by, name) in [("repo", "site"), ("member", "ann")] {
        let listed = show(&["--by", by, "--format", "json"]).json();
        assert_eq!(listed["list"]["entries"][0][by], name);
        assert_eq!(listed["list"]["entries"][0]["metrics"]["agent_responses"], 5);
    }
    let text = show(&[]).text();
    assert!(text.contains("agent_cost_usd\t0.0013\tUS dollars\t\t\t\t\n"), "{text}");
    // Sessions are known from 30 March on, so only a range before that begins then can be compared with.
    let shown = |since: &str, until: &str, more: &[&str]| {
        let command = ["show", "agents", &world.org, "--since", since, "--until", until];
        sandbox.run(&[&command[..], more].concat()).expect_status(0).text()
    };
    let responses =
        |text: &str| text.lines().find(|line| line.starts_with("agent_responses\t")).map(str::to_owned);
    let compared = shown("2026-04-01", "2026-04-03", &[]);
    assert_eq!(
        responses(&compared).as_deref(),
        Some("agent_responses\t2\tresponses\t\t\t3\t-1"),
        "{compared}"
    );
    let compared = shown("2026-04-01", "2026-04-04", &[]);
    assert_eq!(responses(&compared).as_deref(), Some("agent_responses\t2\tresponses\t\t\t\t"), "{compared}");
    let csv = shown(
        "2026-04-01",
        "2026-04-03",
        &["--by", "member", "--metric", "agent_prompts", "--format", "csv"],
    );
    assert!(csv.ends_with(",-1\n"), "{csv}");
    sandbox.run(&["show", &world.org, "--by", "model"]).expect_status(2);
    sandbox.run(&["show", &world.org, "--metric", "agent_cost_usd"]).expect_status(2);
    sandbox.run(&["show", "agents", &world.org, "--metric", "commits"]).expect_status(2);
}

#[test]
fn a_laptop_pushes_sessions_to_a_server() {
    let (world, _double, sandbox) = backfilled(131);
    let laptop = Sandbox::new();
    let (site, _) = make_checkouts(&laptop, &world.org);
    let new = ["token", "new", "ann-laptop", "--role", "worker", "--member", "ann"];
    let token = sandbox.run(&new).expect_status(0).text().trim().to_owned();
    let laptop = laptop.with_variable("GITHUB_METRICS_TOKEN", &token);
    let log = write_log(&laptop, "s1", &turn("s1", 1, &site, "2026-03-31"));
    let server = sandbox.serve();
    let url = format!("http://{}", server.address());
    let push =
        || laptop.run(&["ingest", "sessions", "--org", &world.org, "--push", &url, "--format", "json"]);
    assert_eq!(push().expect_status(0).json()["events"]["agent_response"], 1);
    fs::write(&log, turn("s1", 1, &site, "2026-03-31") + &turn("s1", 2, &site, "2026-03-31"))
        .expect("a file");
    assert_eq!(push().expect_status(0).json()["refused"], 0);
    assert_eq!(push().expect_status(0).json()["read_files"], 0);
    server.stop();
    sandbox.run(&["aggregate"]).expect_status(0);
    let rows = session_rows(&sandbox);
    assert_eq!(count_kind(&rows, "agent_response"), 2);
    assert!(rows.iter().all(|row| row["member"].trim_matches('"') == "ann"));
    let text = rows.iter().flat_map(BTreeMap::values).cloned().collect::<String>();
    assert!(!text.contains(SECRET) && !text.contains("secret-plan"));
}

#[test]
fn a_watch_ends_cleanly() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    write_log(&sandbox, "s1", &turn("s1", 1, &site, "2026-03-31"));
    let mut command =
        sandbox.command(&["ingest", "sessions", "--org", &world.org, "--member", "ann", "--watch"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut watch = command.spawn().expect("the program can be started");
    let wait_for_rows = |responses: usize| {
        let has_all = || count_kind(&session_rows(&sandbox), "agent_response") == responses;
        wait_for("the responses", Duration::from_secs(120), || has_all().then_some(()));
    };
    wait_for_rows(1);
    write_log(&sandbox, "s2", &turn("s2", 1, &site, "2026-03-31"));
    wait_for_rows(2);
    let pid = watch.id().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
    assert!(watch.wait().expect("it ends").success());
}
