use std::path::Path;

use clap::Parser;
use gam_model::Grain;
use serde_json::Value;

use super::{Session, demo, export, show};
use crate::api::ApiClient;
use crate::args::{Cli, Command};
use crate::console::Console;
use crate::exit::{Exit, status};
use crate::open::{OpenData, OpenStore};
use crate::rows::Level;
use crate::sample::{ORG, Span};
use crate::settings::Settings;

fn session(dir: &Path, args: &[&str]) -> (Session, Command) {
    let dir = dir.to_str().unwrap();
    let words = ["github-metrics", "--quiet", "--data-dir", dir].into_iter().chain(args.iter().copied());
    let cli = Cli::try_parse_from(words).unwrap();
    let console = Console::new(&cli.globals, &cli.variables);
    let settings = Settings::new(cli.globals, cli.variables, &cli.command).unwrap();
    (Session { settings, console }, cli.command)
}

async fn fill(dir: &Path) {
    let (session, _) = session(dir, &["demo"]);
    let data = OpenData::open(&session.settings).await.unwrap();
    let span = Span { seed: 42, since: "2026-03-02".parse().unwrap(), until: "2026-04-13".parse().unwrap() };
    for _ in 0..2 {
        assert_eq!(demo::fill(&session, &data, span).await.unwrap(), Exit::Done);
    }
    data.close().await;
}

async fn view(dir: &Path, args: &[&str]) -> anyhow::Result<show::View> {
    let (session, Command::Show(args)) = session(dir, args) else { panic!("{args:?} shows nothing") };
    let client = ApiClient::new(&session.settings).await?;
    let view = show::ask(&client, &["orgs", ORG, "metrics"], &args).await;
    client.close().await;
    view
}

fn commits(values: &Value) -> u64 {
    values["commits"].as_u64().unwrap()
}

#[tokio::test]
async fn the_sample_is_shown_and_exported_through_the_api() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path()).await;

    let days = ["--since", "2026-03-02", "--until", "2026-04-13"];
    let view = view(dir.path(), &[&["show", ORG][..], &days].concat()).await.unwrap();
    let total = commits(&view.metrics.json["metrics"]);
    assert!(total > 200);
    assert_eq!((view.grain, view.points.len()), (Grain::Day, 42));
    assert_eq!(view.points.iter().filter_map(|point| point.value.as_u64()).sum::<u64>(), total);

    for grain in ["day", "week", "month"] {
        let args = [&["export", "OCTO-demo", "--granularity", grain][..], &days].concat();
        let (session, Command::Export(args)) = session(dir.path(), &args) else {
            panic!("it exports nothing")
        };
        let client = ApiClient::new(&session.settings).await.unwrap();
        let (rows, gap) = export::rows(&client, &args).await.unwrap();
        assert_eq!(gap, None, "a sample is whole");
        client.close().await;
        for level in [Level::Org, Level::Repo, Level::Member] {
            let of_level = rows.iter().filter(|row| row.level == level);
            let sum: u64 = of_level.map(|row| commits(&Value::Object(row.metrics.clone()))).sum();
            assert_eq!(sum, total, "{grain} {level:?}");
        }
        assert!(rows.iter().all(|row| row.name != "dependabot[bot]"), "bots are left out by default");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let error = view(dir.path(), &["show", ORG]).await.err().expect("there is no store");
    assert!(error.to_string().contains("github-metrics up ORG"), "{error}");
    assert!(!dir.path().join("store.sqlite").exists(), "asking makes nothing");

    let (session, _) = session(dir.path(), &["serve"]);
    OpenStore::open(&session.settings).await.unwrap().close().await;
    let error = view(dir.path(), &["show", ORG]).await.err().expect("nothing was collected");
    assert!(error.to_string().contains(ORG), "{error}");
    assert_eq!(status(&error), Exit::Failed);
    let days = ["show", ORG, "--since", "2026-03-02", "--until", "2026-03-02"];
    let error = view(dir.path(), &days).await.err().expect("the range is empty");
    assert_eq!(status(&error), Exit::Usage);
}
