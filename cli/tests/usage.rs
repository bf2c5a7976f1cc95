//! What the program says of itself.

use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    run_in(Path::new("."), args)
}

fn run_in(dir: &Path, args: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_github-metrics"));
    program.args(args).env_clear().current_dir(dir).output().expect("the program can be started")
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

#[test]
fn a_file_of_variables_that_is_not_for_it_is_no_hindrance() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |text: &str| std::fs::write(dir.path().join(".env"), text).expect("a file");
    write("APP_NAME=My company app\nTOKEN=$(gh auth token)\n");
    let shown = run_in(dir.path(), &["show", "acme"]);
    let told = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(shown.status.code() == Some(1) && told.contains("there is no store"), "{told}");

    write("APP_NAME=My company app\nGITHUB_TOKEN=a secret\n");
    let refused = run_in(dir.path(), &["show", "acme"]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(told.contains("line 2") && told.contains("GITHUB_TOKEN") && !told.contains("secret"), "{told}");
    for asked in ["--help", "--version"] {
        assert!(run_in(dir.path(), &[asked]).status.success(), "{asked}");
    }
}
