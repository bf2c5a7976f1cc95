//! Rows of sessions are deleted by age or one session at a time, and nothing brings them back.

use std::fs;

use gam_model::{Clock as _, SystemClock};
use gam_tests::program::Sandbox;
use gam_tests::support::{backfilled, files, runtime};
use serde_json::{Value, json};

use crate::audit::exported;
use crate::secrets::{parquet_text, store_text};
use crate::sessions::{make_checkouts, session_rows, turn, write_log};

/// The session that is erased.
const ERASED: &str = "5e551000-dead-4bee-8f00-0123456789ab";

/// The sessions of the stored rows, each once.
fn sessions(sandbox: &Sandbox) -> Vec<String> {
    let rows = session_rows(sandbox);
    let mut sessions: Vec<String> =
        rows.iter().map(|row| row["session"].trim_matches('"').to_owned()).collect();
    sessions.sort();
    sessions.dedup();
    sessions
}

fn agents(sandbox: &Sandbox, org: &str) -> Value {
    let shown = sandbox.run(&["show", "agents", org, "--since", "2026-01-01", "--format", "json"]);
    shown.expect_status(0).json()
}

#[test]
fn sessions_older_than_the_retention_are_deleted_and_stay_away() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    let today = SystemClock.now().date_naive().to_string();
    write_log(&sandbox, "old", &turn("old", 1, &site, "2026-01-15"));
    write_log(&sandbox, "new", &turn("new", 1, &site, &today));
    let ingest = ["ingest", "sessions", "--org", &world.org, "--member", "ann"];
    sandbox.run(&ingest).expect_status(0);
    assert_eq!(sessions(&sandbox), ["new", "old"]);
    let before = agents(&sandbox, &world.org);
    assert_eq!(before["metrics"]["metrics"]["agent_responses"], 2);
    assert_eq!(before["metrics"].get("kept_since"), None);

    let file = sandbox.dir().join("retention.toml");
    fs::write(&file, "[sessions]\nretention = \"1y\"\n").expect("a file");
    let set = ["config", "set", file.to_str().expect("UTF-8"), &world.org];
    let error = sandbox.run(&set).expect_error(2);
    assert!(error.contains("invalid retention \"1y\"") && error.contains("\"400d\""), "{error}");
    fs::write(&file, "[sessions]\nretention = \"60d\"\n").expect("a file");
    let change = sandbox.run(&set).expect_status(0).text();
    assert!(change.contains("sessions are kept for 60 days"), "{change}");
    let aggregated = sandbox.run(&["aggregate"]).expect_status(0).text();
    assert!(aggregated.contains("deleted 3 session events"), "{aggregated}");

    for _ in 0..2 {
        assert_eq!(sessions(&sandbox), ["new"]);
        let after = agents(&sandbox, &world.org);
        assert_eq!(after["metrics"]["metrics"]["agent_responses"], 1);
        let kept_since = after["metrics"]["kept_since"].as_str().expect("a day");
        assert!(
            kept_since > "2026-01-15" && kept_since.ends_with("-01") && *kept_since <= *today,
            "{kept_since}"
        );
        assert_eq!(after["prs"]["kept_since"], kept_since);
        sandbox.run(&[&ingest[..], &["--again"]].concat()).expect_status(0);
        sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    }
    let table = ["show", "agents", &world.org, "--since", "2026-01-01", "--format", "table"];
    let shown = sandbox.run(&table).expect_status(0).text();
    assert!(shown.contains("(UTC) were deleted"), "{shown}");
}

#[test]
fn an_erased_session_is_nowhere_and_does_not_come_back() {
    let (world, _double, sandbox) = backfilled(131);
    let (site, _) = make_checkouts(&sandbox, &world.org);
    let log: String = (1..=2).map(|number| turn(ERASED, number, &site, "2026-03-30")).collect();
    let log_path = write_log(&sandbox, ERASED, &log);
    write_log(&sandbox, "other", &turn("other", 3, &site, "2026-03-31"));
    let ingest = ["ingest", "sessions", "--org", &world.org, "--member", "ann"];
    sandbox.run(&ingest).expect_status(0);
    let garbage = sandbox.lake_dir().join(format!(
        "sessions-inbox/org={}/{}.parquet",
        world.org.to_lowercase(),
        "ab".repeat(32)
    ));
    fs::create_dir_all(garbage.parent().expect("a folder")).expect("the inbox");
    fs::write(&garbage, "half of a batch").expect("a batch");
    sandbox.run(&["aggregate"]).expect_status(3);
    assert_eq!(agents(&sandbox, &world.org)["metrics"]["metrics"]["agent_responses"], 3);

    let erase = ["erase", "session", ERASED, "--org", &world.org];
    let preview = sandbox.run(&erase).expect_status(2).text();
    assert!(
        preview.contains("would erase") && preview.contains("5 rows in month 2026-03, of ann"),
        "{preview}"
    );
    assert_eq!(sessions(&sandbox), [ERASED, "other"], "a preview deletes nothing");
    let error = sandbox.run(&["erase", "session", ERASED, "--org", "nobody", "--yes"]).expect_error(1);
    assert!(error.contains("there are no data of \"nobody\""), "{error}");

    let erased = sandbox.run(&[&erase[..], &["--yes", "--format", "json"]].concat()).expect_status(0).json();
    assert_eq!(
        (&erased["erased"], &erased["rows"], &erased["rejected_batches"]),
        (&json!(true), &json!(5), &json!(1))
    );
    let remains = erased["remains"].as_array().expect("a list");
    assert!(
        remains.iter().any(|entry| entry["until"].is_string())
            && remains.iter().any(|entry| entry["until"].is_null())
    );
    assert_eq!(sessions(&sandbox), ["other"]);
    assert_eq!(agents(&sandbox, &world.org)["metrics"]["metrics"]["agent_responses"], 1);

    // The log is read again, as it is and as it goes on, and the configuration is replaced.
    fs::write(&log_path, log + &turn(ERASED, 4, &site, "2026-04-01")).expect("a file");
    sandbox.run(&ingest).expect_status(0);
    sandbox.run(&[&ingest[..], &["--again"]].concat()).expect_status(0);
    let file = sandbox.dir().join("bots.toml");
    fs::write(&file, "bots = [\"ci\"]\n").expect("a file");
    sandbox.run(&["config", "set", file.to_str().expect("UTF-8"), &world.org]).expect_status(0);
    sandbox.run(&[&ingest[..], &["--again"]].concat()).expect_status(0);
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert_eq!(sessions(&sandbox), ["other"]);
    assert_eq!(agents(&sandbox, &world.org)["metrics"]["metrics"]["agent_responses"], 1);
    let again = sandbox.run(&[&erase[..], &["--yes"]].concat()).expect_status(0).text();
    assert!(again.contains("0 rows in no month") && again.contains("already has the erasure"), "{again}");

    sandbox.run(&["audit", "drain"]).expect_status(0);
    let kinds = exported(&sandbox, &world.org);
    assert_eq!(kinds.iter().filter(|kind| *kind == "session_erased").count(), 2, "{kinds:?}");
    for path in files(&sandbox.data_dir()) {
        // What this machine knows of its logs: their paths.
        if path.ends_with("ingested-sessions.json") {
            continue;
        }
        let path = sandbox.data_dir().join(path);
        let mut text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            text.push_str(&parquet_text(&path));
        }
        assert!(!text.contains(ERASED), "the id is in {}", path.display());
    }
    assert!(!runtime().block_on(store_text(&sandbox.data_dir().join("store.sqlite"))).contains(ERASED));
}
