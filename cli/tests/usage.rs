//! What the program prints about its usage.

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
fn the_help_lists_every_command() {
    for option in ["--help", "-h"] {
        let help = run(&[option]);
        assert!(help.status.success());
        let text = String::from_utf8(help.stdout).expect("help is text");
        for command in ["demo", "up", "collect", "aggregate", "serve", "show", "export", "doctor"] {
            assert!(text.lines().any(|line| line.trim_start().starts_with(command)), "{command}: {text}");
        }
    }
}

#[test]
fn invalid_arguments_exit_with_2() {
    for args in [&["fetch"][..], &["collect"], &["show", "acme", "--since", "yesterday"]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn only_malformed_known_variables_in_env_files_are_errors() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |text: &str| std::fs::write(dir.path().join(".env"), text).expect("a file");
    write("APP_NAME=My company app\nTOKEN=$(gh auth token)\n");
    let output = run_in(dir.path(), &["show", "acme"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && stderr.contains("there is no store"), "{stderr}");

    write("APP_NAME=My company app\nGITHUB_TOKEN=a secret\n");
    let output = run_in(dir.path(), &["show", "acme"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("line 2") && stderr.contains("GITHUB_TOKEN"), "{stderr}");
    assert!(!stderr.contains("secret"), "{stderr}");
    for option in ["--help", "--version"] {
        assert!(run_in(dir.path(), &[option]).status.success(), "{option}");
    }
}
