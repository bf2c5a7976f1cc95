use std::path::Path;

use clap::Parser;
use gam_client::SubjectRef;
use gam_model::Grain;
use gam_query::{MetricValue, RowSubject};

use super::{demo, export, show};
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
