//! Snapshots of the help, as printed without a terminal.

use clap::Command;

use crate::commands::help;

/// The width that clap uses without a terminal.
const WIDTH_COLUMNS: usize = 100;

/// Returns what the program prints to stdout for these arguments.
fn printed(args: &[&str]) -> String {
    let command = super::command().term_width(WIDTH_COLUMNS);
    let args = std::iter::once("github-metrics").chain(args.iter().copied());
    let printed = command.try_get_matches_from(args).expect_err("help ends the parsing");
    assert!(!printed.use_stderr(), "help goes to stdout");
    printed.render().to_string().replace(env!("CARGO_PKG_VERSION"), "[version]")
}

fn assert_snapshot(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_help_of_the_program() {
    assert_snapshot("help", &printed(&["--help"]));
    assert_snapshot("help_short", &printed(&["-h"]));
    assert_snapshot("version", &printed(&["--version"]));
}

#[test]
fn the_topics() {
    assert_snapshot("topic_environment", help::ENVIRONMENT);
    assert_snapshot("topic_exit_codes", help::EXIT_CODES);
    assert_snapshot("topic_options", &help::options(super::command().term_width(WIDTH_COLUMNS)).to_string());
}

/// A new command needs a snapshot of its own.
#[test]
fn the_help_of_every_command() {
    let program = super::command();
    let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        assert_snapshot(&format!("help_{name}"), &printed(&[name, "--help"]));
    }
}
