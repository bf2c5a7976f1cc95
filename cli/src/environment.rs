//! The process environment and the `.env` file, before the command line is read.
//!
//! A variable that is empty counts as unset. A `.env` file in the current directory fills in what the
//! environment does not set.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::exit::usage;

/// The variables of a `.env` file.
#[derive(Default)]
pub(crate) struct DotEnv(HashMap<String, String>);

impl DotEnv {
    /// Reads the file, where there is one, and sets what the environment does not set. This happens
    /// before the first thread starts.
    ///
    /// # Errors
    /// Where the file cannot be read or understood. The text never shows a value: it may be a secret.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DotEnv::default()),
            Err(error) => {
                return Err(usage(format!(
                    "{shown} cannot be read ({error}): make it a readable text file or remove it"
                )));
            }
        };
        let variables = Self::parse(&text).map_err(|place| {
            usage(format!(
                "{shown} is malformed{place}: write each line as NAME=value, with quotes around spaces"
            ))
        })?;
        // What is set already stays; every line was understood just now.
        let _ = dotenvy::from_read(text.as_bytes());
        Ok(variables)
    }

    /// The variables, or where the text is malformed.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut variables = HashMap::new();
        for pair in dotenvy::from_read_iter(text.as_bytes()) {
            match pair {
                Ok((name, value)) => _ = variables.entry(name).or_insert(value),
                Err(dotenvy::Error::LineParse(line, _)) => {
                    let first = line.lines().next().unwrap_or_default().trim();
                    let number =
                        text.lines().position(|it| !first.is_empty() && it.trim().starts_with(first));
                    return Err(number.map_or_else(String::new, |number| format!(" in line {}", number + 1)));
                }
                Err(_) => return Err(String::new()),
            }
        }
        Ok(DotEnv(variables))
    }

    /// Makes arguments whose variable is empty forget it, or take the file's value for it.
    pub(crate) fn fill(&self, command: Command) -> Command {
        command.mut_args(|arg| match arg.get_env().map(OsStr::to_owned) {
            Some(name) if is_empty(&name) => self.instead(arg.env(Resettable::Reset), &name),
            _ => arg,
        })
    }

    fn instead(&self, arg: Arg, name: &OsStr) -> Arg {
        match name.to_str().and_then(|name| self.0.get(name)).filter(|value| !value.is_empty()) {
            Some(value) => arg.default_value(value.clone()),
            None => arg,
        }
    }
}

/// Whether the variable is set, but to nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "clap cannot tell an empty variable from one that says something"
)]
fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        DotEnv::parse(text).err().expect("it is malformed")
    }

    #[test]
    fn a_file_is_read_as_shells_do() {
        let text = "\u{feff}# a comment\n\nA=1\nexport B=\"two words\"\nC='#3'\nA=2\n";
        let variables = DotEnv::parse(text).unwrap().0;
        assert_eq!(variables["A"], "1");
        assert_eq!(variables["B"], "two words");
        assert_eq!(variables["C"], "#3");
    }

    #[test]
    fn a_malformed_line_is_found_without_showing_it() {
        assert_eq!(problem("A=1\nGITHUB TOKEN=secret\n"), " in line 2");
        assert_eq!(problem("just words\n"), " in line 1");
        let text = format!("{:#}", DotEnv::load(Path::new("/dev/null/.env")).err().expect("it is no file"));
        assert!(text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn a_missing_file_is_no_error() {
        assert!(DotEnv::load(Path::new("/nonexistent/.env")).unwrap().0.is_empty());
    }
}
