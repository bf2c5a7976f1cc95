//! What the program says of itself.

use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_github-metrics"));
    program.args(args).env_clear().output().expect("the program can be started")
}

#[test]
fn the_help_names_every_command() {
    let help = run(&["--help"]);
    assert!(help.status.success());
    let text = String::from_utf8(help.stdout).expect("help is text");
    for command in ["demo", "up", "collect", "aggregate", "serve", "show", "export", "doctor"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {text}");
    }
}

#[test]
fn what_is_no_command_is_a_matter_of_usage() {
    for args in [&["fetch"][..], &["collect"], &["show", "acme", "--since", "yesterday"]] {
        let refused = run(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(refused.stdout.is_empty() && !refused.stderr.is_empty(), "{args:?}");
    }
}
