//! The environment and the `.env` file, before the command line is parsed.
//!
//! An empty variable counts as unset. A `.env` file in the current directory sets variables that the
//! environment does not set. The file may belong to another program, so a malformed line is an error only
//! if it sets a variable of this program.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::error::usage_error;

/// The variables that the command line does not know, but the logs and HTTP clients read.
const LIBRARY_VARIABLES: [&str; 5] = ["RUST_LOG", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The variables of a `.env` file.
#[derive(Default)]
pub(crate) struct DotEnv(HashMap<String, String>);

impl DotEnv {
    /// Reads the file, if it exists, and sets the variables that the environment does not set. `known` are
    /// the variables of this program. Must be called before the first thread starts.
    ///
    /// # Errors
    /// If the file cannot be read, or a line that sets a known variable is malformed. The message contains
    /// no value, because it may be a secret.
    pub(crate) fn load(path: &Path, known: &[String]) -> anyhow::Result<Self> {
        let display = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // Some directories have that name, such as virtual environments of Python.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                return Ok(DotEnv::default());
            }
            Err(error) => {
                return Err(usage_error(format!(
                    "cannot read {display} ({error}): make it a readable text file, or remove it"
                )));
            }
        };
        let well_formed = well_formed_lines(&text, known).map_err(|(number, name)| {
            usage_error(format!(
                "line {number} of {display} is malformed: expected {name}=value, with quotes around spaces"
            ))
        })?;
        let variables = Self::parse(&well_formed);
        // Variables of the environment stay as they are. No line can fail, because all are well-formed.
        let _ = dotenvy::from_read(well_formed.as_bytes());
        Ok(variables)
    }

    /// Parses well-formed lines. The first value of a name counts.
    fn parse(text: &str) -> Self {
        let mut variables = HashMap::new();
        for (name, value) in dotenvy::from_read_iter(text.as_bytes()).flatten() {
            variables.entry(name).or_insert(value);
        }
        DotEnv(variables)
    }

    /// Replaces empty variables of the environment by those of the file, or unsets them.
    pub(crate) fn fill(&self, command: Command) -> Command {
        command.mut_args(|arg| match arg.get_env().map(OsStr::to_owned) {
            Some(name) if is_empty(&name) => self.replace_env(arg.env(Resettable::Reset), &name),
            _ => arg,
        })
    }

    fn replace_env(&self, arg: Arg, name: &OsStr) -> Arg {
        match name.to_str().and_then(|name| self.0.get(name)).filter(|value| !value.is_empty()) {
            Some(value) => arg.default_value(value.clone()),
            None => arg,
        }
    }
}

/// Returns the text without malformed lines. Fails with the number and the variable of the first malformed
/// line that sets a known variable.
fn well_formed_lines<'a>(text: &'a str, known: &[String]) -> Result<String, (usize, &'a str)> {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    let mut well_formed = String::new();
    let mut at = 0;
    while at < lines.len() {
        let name = variable_name(lines[at]);
        match entry_length(&lines[at..]) {
            Some(length) => {
                for line in &lines[at..at + length] {
                    well_formed.push_str(line);
                    well_formed.push('\n');
                }
                at += length;
            }
            None if is_known(name, known) => return Err((at + 1, name)),
            None => at += 1,
        }
    }
    Ok(well_formed)
}

/// Returns the number of lines of the first entry, or `None` if it is malformed. Only a value that begins
/// with a quote may continue on the next line: otherwise a single apostrophe would hide the lines after it.
fn entry_length(lines: &[&str]) -> Option<usize> {
    let value = lines[0].split_once('=').map(|(_, value)| value.trim_start());
    let is_quoted = value.is_some_and(|value| value.starts_with(['"', '\'']));
    let max_length = if is_quoted { lines.len() } else { 1 };
    (1..=max_length).find(|&length| {
        let text = lines[..length].join("\n") + "\n";
        dotenvy::from_read_iter(text.as_bytes()).next().is_none_or(|pair| pair.is_ok())
    })
}

/// Returns the name of the variable that a line sets.
fn variable_name(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
    &line[..end]
}

fn is_known(name: &str, known: &[String]) -> bool {
    known.iter().any(|variable| variable == name)
        || LIBRARY_VARIABLES.iter().any(|variable| variable.eq_ignore_ascii_case(name))
}

/// Returns whether the variable is set to an empty value.
#[expect(clippy::disallowed_methods, reason = "clap does not distinguish an empty variable from a set one")]
fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<String, String>, (usize, &str)> {
        well_formed_lines(text, &crate::cli::variables()).map(|text| DotEnv::parse(&text).0)
    }

    #[test]
    fn a_file_is_read_as_shells_do() {
        let text = "\u{feff}# a comment\n\nA=1\nexport B=\"two words\"\nC='#3'\nA=2\nD=\"1\n2\"\nE=5 ";
        let variables = read(text).unwrap();
        assert_eq!(variables["A"], "1");
        assert_eq!(variables["B"], "two words");
        assert_eq!(variables["C"], "#3");
        assert_eq!(variables["D"], "1\n2");
        assert_eq!(variables["E"], "5");
    }

    #[test]
    fn malformed_lines_of_other_programs_are_ignored() {
        let text = "APP_NAME=My company app\nTOKEN=$(gh auth token)\njust words\nA=it's\nGITHUB_TOKEN=x\n\
                    B=that's\nC='open\nAPI_PORT=1\n";
        let variables = read(text).unwrap();
        assert_eq!(variables.len(), 2, "{variables:?}");
        assert_eq!((variables["GITHUB_TOKEN"].as_str(), variables["API_PORT"].as_str()), ("x", "1"));
    }

    #[test]
    fn a_malformed_line_is_named_without_its_value() {
        assert_eq!(read("A=1\nGITHUB_TOKEN=a secret\n"), Err((2, "GITHUB_TOKEN")));
        assert_eq!(read("A=b c\n\nexport API_PORT: 1\n"), Err((3, "API_PORT")));
        assert_eq!(read("GITHUB_APP_PRIVATE_KEY=\"begin\nend\n"), Err((1, "GITHUB_APP_PRIVATE_KEY")));
        assert_eq!(read("https_proxy=a b\n"), Err((1, "https_proxy")));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "\nGITHUB_TOKEN=a secret\n").unwrap();
        let error = DotEnv::load(&path, &crate::cli::variables()).err().expect("it is malformed");
        let text = error.to_string();
        assert!(text.starts_with("line 2 of ") && text.contains("expected GITHUB_TOKEN="), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn an_unreadable_file_is_an_error() {
        let error = DotEnv::load(Path::new("/dev/null/.env"), &[]).err().expect("it is no file");
        assert!(error.to_string().contains("cannot read /dev/null/.env"), "{error}");
    }

    #[test]
    fn a_missing_file_or_a_directory_is_no_error() {
        for path in ["/nonexistent/.env", "/"] {
            assert!(DotEnv::load(Path::new(path), &[]).unwrap().0.is_empty());
        }
    }
}
