//! The real binaries. Without their variables they stop at once, and name the first one that is missing.

use std::process::Command;

#[test]
fn a_missing_variable_stops_the_start_with_its_name() {
    let binaries = [
        (env!("CARGO_BIN_EXE_collect"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_aggregate"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_webhook"), "WEBHOOK_SECRET"),
        (env!("CARGO_BIN_EXE_work"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_api"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_gate"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_sessions"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_act"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_audit"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_log"), "GITHUB_METRICS_LAKE"),
        (env!("CARGO_BIN_EXE_notify"), "GITHUB_METRICS_LAKE"),
    ];
    for (binary, variable) in binaries {
        let output = Command::new(binary).env_clear().output().expect("the binary starts");
        assert!(!output.status.success(), "{binary}");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(text.concat().contains(variable), "{binary}: {text:?}");
    }
}
