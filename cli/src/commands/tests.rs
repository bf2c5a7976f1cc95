use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Parser;
use gam_access::{NewToken, Role, Scope};
use gam_aggregate::aggregate_sessions;
use gam_client::SubjectRef;
use gam_lake::FileStore;
use gam_model::Grain;
use gam_query::{MetricValue, RowSubject};

use super::{demo, export, ingest, serve, show};
use crate::api::ApiClient;
use crate::cli::{Cli, CliCommand};
use crate::console::Console;
use crate::error::exit_status;
use crate::exit::Exit;
use crate::open::{OpenData, OpenStore};
use crate::sample::{ORG, SampleRange};
use crate::session::CliSession;
use crate::settings::CliSettings;

fn session(dir: &Path, args: &[&str]) -> (CliSession, CliCommand) {
    let dir = dir.to_str().unwrap();
    let words = ["github-metrics", "--quiet", "--data-dir", dir].into_iter().chain(args.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap();
    let console = Console::new(&cli.globals, &cli.variables, cli.command.is_server());
    let settings = CliSettings::new(cli.globals, cli.variables, cli.command.data_use()).unwrap();
    (CliSession { settings, console }, cli.command)
}

async fn generate_sample(dir: &Path) {
    let (session, _) = session(dir, &["demo"]);
    let data = OpenData::open(&session.settings).await.unwrap();
    let range =
        SampleRange { seed: 42, since: "2026-03-02".parse().unwrap(), until: "2026-04-13".parse().unwrap() };
    for _ in 0..2 {
        assert_eq!(demo::generate(&session, &data, range).await.unwrap(), Exit::Success);
    }
    data.close().await;
}

async fn query_view(dir: &Path, args: &[&str]) -> anyhow::Result<show::MetricsView> {
    let (session, CliCommand::Show(args)) = session(dir, args) else { panic!("{args:?} is not show") };
    let client = ApiClient::new(&session.settings).await?;
    let view = show::query(&client, ORG, &SubjectRef::Org, &args).await;
    client.close().await;
    view
}

#[tokio::test]
async fn the_sample_is_shown_and_exported_through_the_api() {
    let dir = tempfile::tempdir().unwrap();
    generate_sample(dir.path()).await;

    let days = ["--since", "2026-03-02", "--until", "2026-04-13"];
    let view = query_view(dir.path(), &[&["show", ORG][..], &days].concat()).await.unwrap();
    let total = view.metrics.value.metrics.count("commits");
    assert!(total > 200);
    assert_eq!((view.grain, view.points().len()), (Grain::Day, 42));
    let counts = view.points().iter().map(|point| match point.value {
        MetricValue::Count(count) => count,
        MetricValue::Distribution { .. } => panic!("commits are counted"),
    });
    assert_eq!(counts.sum::<u64>(), total);

    for grain in ["day", "week", "month"] {
        let args = [&["export", "OCTO-demo", "--granularity", grain][..], &days].concat();
        let (session, CliCommand::Export(args)) = session(dir.path(), &args) else {
            panic!("{args:?} is not export")
        };
        let client = ApiClient::new(&session.settings).await.unwrap();
        let (rows, warnings) = export::export_rows(&client, &args).await.unwrap();
        assert!(warnings.is_empty(), "a sample is complete");
        client.close().await;
        for level in [RowSubject::Org, RowSubject::Repo, RowSubject::Member] {
            let of_level = rows.iter().filter(|row| row.level == level);
            let sum: u64 = of_level.map(|row| row.metrics.count("commits")).sum();
            assert_eq!(sum, total, "{grain} {level:?}");
        }
        assert!(rows.iter().all(|row| row.name != "dependabot[bot]"), "bots are excluded by default");
    }
}

#[tokio::test]
async fn sessions_of_the_sample_are_exported_with_the_numbers_of_show() {
    let dir = tempfile::tempdir().unwrap();
    generate_sample(dir.path()).await;
    let file = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for name in ["x.json", "x.csv", "x.parquet"] {
        let words = ["export", ORG, "--agents", "--granularity", "week", "--out", &file(name)];
        let (session, CliCommand::Export(args)) = session(dir.path(), &words) else { panic!("{words:?}") };
        assert_eq!(export::run(&session, args).await.unwrap(), Exit::Success);
    }
    let text = |name: &str| std::fs::read_to_string(file(name)).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text("x.json")).unwrap();
    assert_eq!(text("x.csv").lines().count(), rows.len() + 1);
    assert_eq!(&std::fs::read(file("x.parquet")).unwrap()[..4], b"PAR1");
    let of_level = |level: &str| -> Vec<&serde_json::Value> {
        rows.iter().filter(|row| row["level"] == level).collect()
    };
    let sum = |level: &str, metric: &str| -> u64 {
        of_level(level).iter().filter_map(|row| row[metric].as_u64()).sum()
    };
    assert!(sum("org", "agent_responses") > 0);
    for level in ["repo", "member"] {
        assert_eq!(sum(level, "agent_responses"), sum("org", "agent_responses"), "{level}");
    }

    // The default range has all sessions.
    let range = ["--since", "2026-01-01", "--until", "2026-12-31", "--granularity", "week"];
    for metric in ["agent_cost_usd", "agent_tool_error_rate", "agent_session_hours"] {
        let words = [&["show", "agents", ORG, "--metric", metric, "--format", "json"][..], &range].concat();
        let (session, CliCommand::Show(args)) = session(dir.path(), &words) else { panic!("{words:?}") };
        let client = ApiClient::new(&session.settings).await.unwrap();
        let shown = show::agents_text(&session, &client, ORG, &args).await.unwrap();
        client.close().await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["metrics"]["metrics"]["agent_responses"], sum("org", "agent_responses"));
        let points = shown["timeseries"]["points"].as_array().unwrap();
        for row in of_level("org") {
            let point = points.iter().find(|point| point["start"] == row["start"]).unwrap();
            assert_eq!(point["value"], row[metric], "{metric}");
        }
    }
}

#[tokio::test]
async fn missing_data_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = query_view(dir.path(), &["show", ORG]).await.err().expect("there is no store");
    assert!(error.to_string().contains("github-metrics up ORG"), "{error}");
    assert!(!dir.path().join("store.sqlite").exists(), "a query creates nothing");

    let (session, _) = session(dir.path(), &["serve"]);
    OpenStore::open(&session.settings).await.unwrap().close().await;
    let error = query_view(dir.path(), &["show", ORG]).await.err().expect("nothing was collected");
    assert!(error.to_string().contains(ORG), "{error}");
    assert_eq!(exit_status(&error), Exit::Failed);
    let days = ["show", ORG, "--since", "2026-03-02", "--until", "2026-03-02"];
    let error = query_view(dir.path(), &days).await.err().expect("the range is empty");
    assert_eq!(exit_status(&error), Exit::Usage);
}

/// Returns a line of a log of Claude Code: a response of the first of March 2026.
fn response_line(number: u32) -> String {
    let id = format!("msg_watch_{number}");
    let message = serde_json::json!({
        "id": id, "model": "claude-opus-4-6", "role": "assistant", "content": [],
        "usage": { "input_tokens": 1, "output_tokens": 2 },
    });
    let record = serde_json::json!({
        "type": "assistant", "sessionId": "s1", "uuid": id, "timestamp": format!("2026-03-01T10:00:{number:02}.000Z"),
        "cwd": "/nowhere", "version": "2.1.39", "message": message,
    });
    format!("{record}\n")
}

/// Returns how many of the first responses are in the lake.
async fn ingested_responses(dir: &Path) -> usize {
    let ids: BTreeSet<String> =
        (0..60).map(|number| format!("agent:claude:response:msg_watch_{number}")).collect();
    let lake = FileStore::open_for_reading(dir.join("lake"));
    let month = gam_model::Month::parse("2026-03").unwrap();
    gam_lake::sessions::rows_by_id(&lake, ORG, month, ids).await.map_or(0, |rows| rows.len())
}

async fn wait_for_responses(dir: &Path, expected: usize) {
    let arrived = async {
        while ingested_responses(dir).await != expected {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), arrived)
        .await
        .unwrap_or_else(|_| panic!("not {expected} responses in time"));
}

fn ingest_args(dir: &Path, more: &[&str]) -> (CliSession, ingest::IngestArgs) {
    let logs = dir.join("logs");
    let args = ["ingest", "sessions", logs.to_str().unwrap(), "--org", ORG, "--member", "ann"];
    let (session, CliCommand::Ingest(args)) =
        session(dir, &[&args[..], &["--repo", "web-app"], more].concat())
    else {
        panic!("it is not ingest")
    };
    (session, args)
}

#[tokio::test]
async fn a_watch_ingests_lines_as_they_come_and_survives_a_broken_lake() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    generate_sample(dir).await;
    let logs = dir.join("logs");
    fs::create_dir(&logs).unwrap();
    let (first, second) = (response_line(1), response_line(2));
    let (start, rest) = second.split_at(second.len() / 2);
    fs::write(logs.join("s1.jsonl"), format!("{first}{start}")).unwrap();
    let (session, args) = ingest_args(dir, &["--watch"]);
    let changes = async {
        wait_for_responses(dir, 1).await;
        let append = |text: &str| {
            let mut file = fs::OpenOptions::new().append(true).open(logs.join("s1.jsonl")).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append(rest);
        wait_for_responses(dir, 2).await;
        fs::create_dir(logs.join("new")).unwrap();
        fs::write(logs.join("new/s2.jsonl"), response_line(3)).unwrap();
        wait_for_responses(dir, 3).await;
        // The lake is away for some time.
        fs::rename(dir.join("lake"), dir.join("away")).unwrap();
        fs::write(dir.join("lake"), "").unwrap();
        append(&response_line(4));
        tokio::time::sleep(Duration::from_secs(4)).await;
        fs::remove_file(dir.join("lake")).unwrap();
        fs::rename(dir.join("away"), dir.join("lake")).unwrap();
        wait_for_responses(dir, 4).await;
    };
    tokio::select! {
        ended = ingest::run(Ok(session), args) => panic!("the watch ended: {:?}", ended.map_err(|error| error.to_string())),
        () = changes => {}
    }
}

#[tokio::test]
async fn a_watch_fails_at_once_if_only_the_user_can_help() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("logs")).unwrap();
    let (session, args) = ingest_args(dir.path(), &["--watch"]);
    let error = ingest::run(Ok(session), args).await.expect_err("nothing was collected");
    assert!(error.to_string().contains("github-metrics collect"), "{error}");
    let (session, args) = ingest_args(dir.path(), &["--watch", "--dry-run"]);
    let error = ingest::run(Ok(session), args).await.expect_err("a dry run writes nothing");
    assert_eq!(exit_status(&error), Exit::Usage);
    assert!(error.to_string().contains("leave out one of them"), "{error}");
}

#[tokio::test]
async fn pruning_deletes_only_logs_of_which_everything_is_in_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    generate_sample(dir).await;
    let logs = dir.join("logs");
    fs::create_dir(&logs).unwrap();
    let unknown = "{\"type\":\"wiki\",\"version\":\"3.0.0\"}\n";
    let write_old = |name: &str, text: &str| {
        let path = logs.join(name);
        fs::write(&path, text).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        let two_days = Duration::from_secs(2 * 24 * 60 * 60);
        file.set_modified(file.metadata().unwrap().modified().unwrap() - two_days).unwrap();
    };
    let line = response_line(3);
    let foreign = line.replace("/nowhere", "/elsewhere");
    write_old("whole.jsonl", &response_line(1));
    write_old("unknown.jsonl", &format!("{}{unknown}", response_line(2)));
    write_old("torn.jsonl", &format!("{line}{}", &line[..line.len() / 2]));
    write_old("foreign.jsonl", &foreign);
    let prune = async |more: &[&str]| {
        let words = ["ingest", "prune", logs.to_str().unwrap(), "--org", ORG];
        let (session, CliCommand::Ingest(args)) = session(dir, &[&words[..], more].concat()) else {
            panic!("it is not ingest")
        };
        assert_eq!(ingest::run(Ok(session), args).await.unwrap(), Exit::Success);
        let mut names: Vec<String> = fs::read_dir(&logs)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let words = ["ingest", "prune", "--org", ORG, "--older-than", "23h", "--yes"];
    let (session_of_today, CliCommand::Ingest(args)) = session(dir, &words) else {
        panic!("it is not ingest")
    };
    let error = ingest::run(Ok(session_of_today), args).await.expect_err("sessions of today go on");
    assert_eq!(exit_status(&error), Exit::Usage);
    let all = ["foreign.jsonl", "torn.jsonl", "unknown.jsonl", "whole.jsonl"];
    assert_eq!(prune(&["--older-than", "1d", "--yes"]).await, all, "nothing was ingested");
    let ingest_sessions = async |rule: &str, more: &[&str]| {
        let words =
            ["ingest", "sessions", logs.to_str().unwrap(), "--org", ORG, "--member", "ann", "--repo", rule];
        let (session, CliCommand::Ingest(args)) = session(dir, &[&words[..], more].concat()) else {
            panic!("it is not ingest")
        };
        ingest::run(Ok(session), args).await.unwrap();
    };
    ingest_sessions("/nowhere=web-app", &[]).await;
    assert_eq!(prune(&["--older-than", "1d"]).await, all, "--yes is missing");
    assert_eq!(prune(&["--yes"]).await, all, "they are new");
    // The lake has lost the rows, and the state does not know.
    fs::rename(dir.join("lake/sessions"), dir.join("away")).unwrap();
    assert_eq!(prune(&["--older-than", "1d", "--yes"]).await, all);
    fs::rename(dir.join("away"), dir.join("lake/sessions")).unwrap();
    let archive = dir.join("archive");
    let archived = ["--older-than", "1d", "--yes", "--archive", archive.to_str().unwrap()];
    assert_eq!(prune(&archived).await, all[..3]);
    let copy = archive.join(logs.strip_prefix("/").unwrap()).join("whole.jsonl");
    assert_eq!(fs::read_to_string(&copy).unwrap(), response_line(1));
    // Another log of the same name does not replace the archived one.
    write_old("whole.jsonl", &response_line(4));
    assert_eq!(prune(&archived).await.len(), 4, "it is not ingested yet");
    ingest_sessions("/nowhere=web-app", &[]).await;
    assert_eq!(prune(&archived).await, all[..3]);
    assert_eq!(fs::read_to_string(&copy).unwrap(), response_line(1));
    assert_eq!(fs::read_to_string(copy.with_file_name("whole.jsonl.1")).unwrap(), response_line(4));
}

/// Returns a port that nobody listens on.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_laptop_pushes_sessions_to_a_server_that_is_away_at_first() {
    // It is fine if another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (server, laptop) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (server, laptop) = (server.path(), laptop.path());
    generate_sample(server).await;
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let (server_session, CliCommand::Serve(serve_args)) =
        session(server, &["serve", "--listen", &format!("127.0.0.1:{port}")])
    else {
        panic!("it is not serve")
    };
    let data = OpenData::open(&server_session.settings).await.unwrap();
    let new = NewToken {
        name: "laptop".to_owned(),
        role: Role::Worker,
        scope: Scope::All,
        member: Some("ann".to_owned()),
        expires_at: None,
    };
    let (secret, _) = data.store.tokens().create(new, "local").await.unwrap();
    let logs = laptop.join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("s1.jsonl"), format!("{}{}", response_line(1), response_line(2))).unwrap();
    let push = async |repo: &str, more: &[&str]| {
        let words = ["--github-metrics-token", secret.expose(), "ingest", "sessions", logs.to_str().unwrap()];
        let named = ["--org", ORG, "--repo", repo, "--push", &url];
        let (session, CliCommand::Ingest(args)) = session(laptop, &[&words[..], &named, more].concat())
        else {
            panic!("it is not ingest")
        };
        ingest::run(Ok(session), args).await
    };
    assert_eq!(push("web-app", &["--dry-run"]).await.unwrap(), Exit::Success, "it needs no server");
    let pushes = async {
        // The server starts while the laptop tries.
        assert_eq!(push("web-app", &[]).await.unwrap(), Exit::Success);
        fs::write(logs.join("s2.jsonl"), response_line(3)).unwrap();
        assert_eq!(push("web-app", &[]).await.unwrap(), Exit::Success);
        assert_eq!(push("web-app", &["--again"]).await.unwrap(), Exit::Success);
        fs::write(logs.join("s3.jsonl"), response_line(4)).unwrap();
        assert_eq!(push("never-collected", &[]).await.unwrap(), Exit::Success, "it says what was refused");
    };
    let serving = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        serve::run(&server_session, serve_args).await
    };
    tokio::select! {
        () = pushes => {}
        served = serving => panic!("the server ended: {:?}", served.map_err(|error| error.to_string())),
    }
    aggregate_sessions(&data.aggregate_ports(), ORG).await.unwrap();
    data.close().await;
    assert_eq!(ingested_responses(server).await, 3);
    assert!(!laptop.join("lake").exists() && !laptop.join("store.sqlite").exists());
    let state = fs::read_to_string(laptop.join("ingested-sessions.json")).unwrap();
    assert!(state.contains("read_again_at"), "what was refused is sent again: {state}");
}

#[tokio::test]
async fn a_hook_does_not_wait_for_a_server_that_is_away() {
    // It is fine if another test has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("s1.jsonl"), response_line(1)).unwrap();
    let url = format!("http://127.0.0.1:{}", free_port());
    let words = ["ingest", "sessions", logs.to_str().unwrap(), "--org", ORG, "--repo", "web-app"];
    let (session, CliCommand::Ingest(args)) =
        session(dir.path(), &[&words[..], &["--push", &url, "--auto"]].concat())
    else {
        panic!("it is not ingest")
    };
    let run = tokio::time::timeout(Duration::from_secs(15), ingest::run(Ok(session), args));
    assert_eq!(run.await.expect("it repeats nothing").unwrap(), Exit::Success);
    let log = fs::read_to_string(dir.path().join("ingest.log")).unwrap();
    assert!(log.contains("cannot reach"), "{log}");
}
