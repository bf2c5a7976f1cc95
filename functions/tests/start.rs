//! The real binaries. Without their variables they stop at once, and name the first one that is missing.

use std::process::Command;

#[test]
fn a_missing_variable_stops_the_start_with_its_name() {
    let binaries =
        [env!("CARGO_BIN_EXE_collect"), env!("CARGO_BIN_EXE_aggregate"), env!("CARGO_BIN_EXE_api")];
    for binary in binaries {
        let output = Command::new(binary).env_clear().output().expect("the binary starts");
        assert!(!output.status.success(), "{binary}");
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(text.concat().contains("GITHUB_METRICS_LAKE"), "{binary}: {text:?}");
    }
}
