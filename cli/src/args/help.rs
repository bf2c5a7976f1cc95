//! The help texts, as the program prints them where no terminal says how wide it is.

use clap::{Command, CommandFactory};

use super::Cli;

/// The width that clap takes without a terminal.
const WIDTH_COLUMNS: usize = 100;

/// What the program prints for these words, and whether to stdout.
fn printed(words: &[&str]) -> String {
    let command = Cli::command().term_width(WIDTH_COLUMNS);
    let words = std::iter::once("github-metrics").chain(words.iter().copied());
    let printed = command.try_get_matches_from(words).expect_err("help and errors end the parsing");
    assert!(!printed.use_stderr(), "help is no error");
    printed.render().to_string().replace(env!("CARGO_PKG_VERSION"), "[version]")
}

fn check(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn the_help_of_the_program() {
    check("help", &printed(&["--help"]));
    check("help_short", &printed(&["-h"]));
    check("version", &printed(&["--version"]));
    assert_eq!(printed(&["help"]), printed(&["--help"]));
}

/// A command that is added takes a snapshot of its own.
#[test]
fn the_help_of_every_command() {
    let program = Cli::command();
    let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        check(&format!("help_{name}"), &printed(&[name, "--help"]));
    }
}
