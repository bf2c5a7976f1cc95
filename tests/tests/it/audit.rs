//! The audit log of the real program: from a change to a segment, and what is found when somebody changes it.

use std::path::{Path, PathBuf};

use gam_tests::http::{HttpResponse, send_request};
use gam_tests::program::{Sandbox, run_to_end};
use serde_json::Value;

use crate::common::issues::store_tasks;

const ORG: &str = "octo-demo";

/// Returns a sample with a task that a worker has completed, and the token of an auditor.
fn audited() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    store_tasks(&sandbox.data_dir().join("store.sqlite"), 1);
    let token = |name: &str, role: &str| {
        sandbox.run(&["token", "new", name, "--role", role]).expect_status(0).text().trim().to_owned()
    };
    let (worker, auditor) = (token("worker", "worker"), token("auditor", "auditor"));
    let server = sandbox.serve();
    let api = format!("http://{}", server.address());
    let mut command = sandbox.command(&["worker", "--run", "true", "--once", "--api", &api]);
    command.env("GITHUB_METRICS_TOKEN", &worker);
    run_to_end(command).expect_status(0);
    drop(server);
    (sandbox, auditor)
}

fn segment(sandbox: &Sandbox, log: &str, number: u64) -> PathBuf {
    sandbox.lake_dir().join(format!("audit/org={log}/block=000000/segment={number:010}.parquet"))
}

fn get_with(address: &str, target: &str, token: &str) -> HttpResponse {
    send_request(address, "GET", target, &[("authorization", &format!("Bearer {token}"))])
}

/// Returns the kinds of the rows of an export.
pub(crate) fn exported(sandbox: &Sandbox, org: &str) -> Vec<String> {
    let rows = sandbox.run(&["audit", "export", org, "--format", "json"]).expect_status(0).json();
    let rows = rows.as_array().expect("rows").clone();
    rows.iter().map(|row| row["kind"].as_str().expect("a kind").to_owned()).collect()
}

/// Changes a file that nobody may write.
fn overwrite(path: &Path, bytes: &[u8]) {
    assert!(std::fs::metadata(path).expect("the segment").permissions().readonly());
    std::fs::remove_file(path).expect("the directory can be changed");
    std::fs::write(path, bytes).expect("the file is written");
}

#[test]
fn a_change_is_in_the_log_and_a_changed_byte_is_found() {
    let (sandbox, _) = audited();
    sandbox.run(&["audit", "drain"]).expect_status(0);
    assert_eq!(sandbox.run(&["audit", "drain", "--format", "json"]).expect_status(0).json()["rows"], 0);
    assert_eq!(exported(&sandbox, ORG), ["task_queued", "task_claimed", "task_completed"]);
    assert_eq!(exported(&sandbox, "_"), ["token_created", "token_created"]);
    let intact = sandbox.run(&["audit", "verify"]).expect_status(0).text();
    assert!(intact.contains("octo-demo: ") && intact.contains(": intact"), "{intact}");

    let path = segment(&sandbox, ORG, 1);
    let original = std::fs::read(&path).expect("the segment");
    for position in [4, original.len() / 2, original.len() - 20] {
        let mut changed = original.clone();
        changed[position] ^= 0x20;
        overwrite(&path, &changed);
        let found = sandbox.run(&["audit", "verify", "octo-demo", "--format", "json"]).expect_status(1);
        let report: Value = found.json();
        assert_eq!(report["intact"], false, "{report}");
        let fault = &report["logs"][0]["faults"][0];
        assert_eq!(fault["segment"], 1, "byte {position}: {report}");
        assert!(fault["path"].as_str().expect("a path").ends_with("segment=0000000001.parquet"), "{fault}");
        assert!(found.stderr.contains("is not as it was written"), "{}", found.stderr);
        let mut read_only = std::fs::metadata(&path).expect("the segment").permissions();
        read_only.set_readonly(true);
        std::fs::set_permissions(&path, read_only).expect("the permissions are set");
    }
    overwrite(&path, &original);
    sandbox.run(&["audit", "verify"]).expect_status(0);
}

#[test]
fn a_witness_finds_an_end_that_was_cut_off_without_the_store() {
    let (sandbox, _) = audited();
    sandbox.run(&["audit", "drain"]).expect_status(0);
    sandbox.run(&["token", "revoke", "worker"]).expect_status(0);
    sandbox.run(&["audit", "drain"]).expect_status(0);
    let last =
        std::fs::read_dir(segment(&sandbox, "_", 1).parent().expect("a block")).expect("segments").count();
    assert!(last >= 2, "{last}");
    let witness = sandbox.dir().join("heads.jsonl");
    let witness = witness.to_str().expect("a path");
    for _ in 0..2 {
        sandbox.run(&["audit", "witness", witness]).expect_status(0);
    }
    let lines = std::fs::read_to_string(witness).expect("the witness");
    assert_eq!(lines.lines().count(), 4, "{lines}");
    sandbox.run(&["audit", "verify", "--witness", witness]).expect_status(0);

    std::fs::remove_file(segment(&sandbox, "_", last as u64)).expect("the segment is removed");
    let by_store = sandbox.run(&["audit", "verify", "_"]).expect_status(1).text();
    assert!(by_store.contains("the end was cut off: the store remembers segment"), "{by_store}");
    std::fs::remove_file(sandbox.data_dir().join("store.sqlite")).expect("the store is removed");
    for rest in ["store.sqlite-wal", "store.sqlite-shm"] {
        _ = std::fs::remove_file(sandbox.data_dir().join(rest));
    }
    sandbox.run(&["audit", "verify", "_"]).expect_status(0);
    let by_witness = sandbox.run(&["audit", "verify", "_", "--witness", witness]).expect_status(1).text();
    assert!(by_witness.contains("the end was cut off: the witness of "), "{by_witness}");
    std::fs::write(witness, "not a witness\n").expect("the file is written");
    let error = sandbox.run(&["audit", "verify", "--witness", witness]).expect_error(2);
    assert!(error.contains("line 1"), "{error}");
}

#[test]
fn an_auditor_reads_the_log_of_a_server() {
    let (sandbox, auditor) = audited();
    let server = sandbox.serve();
    let read = |query: &str| get_with(server.address(), &format!("/api/v1/log{query}"), &auditor).json();
    let answer = read("?org=octo-demo&tail=true");
    let rows = answer["rows"].as_array().expect("rows");
    let kinds: Vec<&str> = rows.iter().map(|row| row["kind"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["task_queued", "task_claimed", "task_completed"]);
    assert_eq!(
        (&rows[1]["repo"], &rows[1]["number"], &rows[1]["org"]),
        (&"web-app".into(), &1.into(), &ORG.into())
    );
    let origins: Vec<bool> = rows.iter().map(|row| row["origin"].is_string()).collect();
    assert_eq!(origins, [false, true, true], "the worker sent requests: {rows:?}");
    let page = get_with(server.address(), "/log?lang=en", &auditor);
    assert!(page.status == 200 && page.text().contains("task_completed"), "{}", page.text());
    server.stop();
    sandbox.run(&["audit", "drain"]).expect_status(0);
    let exported = exported(&sandbox, "_");
    assert!(exported.contains(&"log_read".to_owned()), "{exported:?}");
}

#[test]
fn exports_have_all_formats_and_columns() {
    let (sandbox, _) = audited();
    sandbox.run(&["audit", "drain"]).expect_status(0);
    let csv = sandbox.run(&["audit", "export"]).expect_status(0).text();
    let header = "log,segment,row,event_id,kind,org,repo,repo_id,number,principal,subject,outcome,occurred_at,count,\
                  origin,commit_id,detail";
    assert_eq!(csv.lines().next(), Some(header));
    assert_eq!(csv.lines().count(), 6, "{csv}");
    let out = |name: &str| sandbox.dir().join(name);
    for name in ["log.ndjson", "log.parquet", "log.json"] {
        sandbox.run(&["audit", "export", "--out", out(name).to_str().expect("a path")]).expect_status(0);
        sandbox.run(&["audit", "export", "--out", out(name).to_str().expect("a path")]).expect_error(2);
    }
    let lines = std::fs::read_to_string(out("log.ndjson")).expect("the export");
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let array: Vec<Value> =
        serde_json::from_slice(&std::fs::read(out("log.json")).expect("the export")).expect("JSON");
    assert_eq!((rows.len(), &rows), (5, &array));
    assert_eq!(&std::fs::read(out("log.parquet")).expect("the export")[..4], b"PAR1");
}

#[test]
fn configurations_and_names_of_organizations_are_logged() {
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let file = sandbox.dir().join("github-metrics.toml");
    std::fs::write(&file, "bots = [\"build-bot\"]\n").expect("the file is written");
    let file = file.to_str().expect("a path");
    sandbox.run(&["config", "set", file, ORG]).expect_status(0);
    sandbox.run(&["config", "set", file, ORG]).expect_status(0);
    sandbox.run(&["rename-org", ORG, "octo-new"]).expect_status(0);
    sandbox.run(&["audit", "drain"]).expect_status(0);
    let rows = sandbox.run(&["audit", "export", "octo-new", "--format", "json"]).expect_status(0).json();
    let set: Vec<&Value> =
        rows.as_array().expect("rows").iter().filter(|row| row["principal"] == "local").collect();
    assert_eq!(set.len(), 1, "{rows}");
    assert_eq!((&set[0]["kind"], &set[0]["org"]), (&"config_set".into(), &ORG.into()));
    assert_eq!(exported(&sandbox, "_"), ["org_renamed"]);
    sandbox.run(&["forget-org", "octo-new", "--yes"]).expect_status(0);
    sandbox.run(&["audit", "drain"]).expect_status(0);
    assert_eq!(exported(&sandbox, "_"), ["org_renamed", "org_forgotten"]);
    let kept = sandbox.run(&["audit", "verify"]).expect_status(0).text();
    assert!(kept.contains("octo-demo: "), "the log of a removed organization stays: {kept}");
}
