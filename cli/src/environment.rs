//! The process environment and the `.env` file, before the command line is read.
//!
//! A variable that is empty counts as unset. A `.env` file in the current directory fills in what the
//! environment does not set. It may be another program's: of lines that cannot be understood only those
//! matter that set a variable of this one.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::exit::usage;

/// What is read beside the variables that the command line knows: by the logs, and by clients of HTTP.
const BESIDE: [&str; 5] = ["RUST_LOG", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The variables of a `.env` file.
#[derive(Default)]
pub(crate) struct DotEnv(HashMap<String, String>);

impl DotEnv {
    /// Reads the file, where there is one, and sets what the environment does not set. `ours` are the
    /// variables of this program. This happens before the first thread starts.
    ///
    /// # Errors
    /// Where the file cannot be read, or a line of ours cannot be understood. The text never shows a value:
    /// it may be a secret.
    pub(crate) fn load(path: &Path, ours: &[String]) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // Some keep a directory of that name, such as Python's virtual environments.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                return Ok(DotEnv::default());
            }
            Err(error) => {
                return Err(usage(format!(
                    "{shown} cannot be read ({error}): make it a readable text file or remove it"
                )));
            }
        };
        let understood = understood(&text, ours).map_err(|(number, name)| {
            usage(format!(
                "{shown} is malformed in line {number}: write {name}=value, with quotes around spaces"
            ))
        })?;
        let variables = Self::parse(&understood);
        // What is set already stays; every line was understood just now.
        let _ = dotenvy::from_read(understood.as_bytes());
        Ok(variables)
    }

    /// The variables of a text that was understood; the first of a name counts.
    fn parse(text: &str) -> Self {
        let mut variables = HashMap::new();
        for (name, value) in dotenvy::from_read_iter(text.as_bytes()).flatten() {
            variables.entry(name).or_insert(value);
        }
        DotEnv(variables)
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

/// The text without the lines that cannot be understood; or the number and the name of the first such line
/// that sets one of our variables.
fn understood<'a>(text: &'a str, ours: &[String]) -> Result<String, (usize, &'a str)> {
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    let mut understood = String::new();
    let mut at = 0;
    while at < lines.len() {
        let name = name(lines[at]);
        match entry(&lines[at..]) {
            Some(length) => {
                for line in &lines[at..at + length] {
                    understood.push_str(line);
                    understood.push('\n');
                }
                at += length;
            }
            None if is_ours(name, ours) => return Err((at + 1, name)),
            None => at += 1,
        }
    }
    Ok(understood)
}

/// How many of the lines the first entry takes; nothing where it cannot be understood. Only a value that
/// begins with a quote goes on in the next line: else one apostrophe would hide what follows.
fn entry(lines: &[&str]) -> Option<usize> {
    let value = lines[0].split_once('=').map(|(_, value)| value.trim_start());
    let is_quoted = value.is_some_and(|value| value.starts_with(['"', '\'']));
    let most = if is_quoted { lines.len() } else { 1 };
    (1..=most).find(|&length| {
        let text = lines[..length].join("\n") + "\n";
        dotenvy::from_read_iter(text.as_bytes()).next().is_none_or(|pair| pair.is_ok())
    })
}

/// The name that a line begins with.
fn name(line: &str) -> &str {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
    &line[..end]
}

fn is_ours(name: &str, ours: &[String]) -> bool {
    ours.iter().any(|known| known == name) || BESIDE.iter().any(|known| known.eq_ignore_ascii_case(name))
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

    fn read(text: &str) -> Result<HashMap<String, String>, (usize, &str)> {
        understood(text, &crate::args::variables()).map(|text| DotEnv::parse(&text).0)
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
    fn lines_of_other_programs_do_not_matter() {
        let text = "APP_NAME=My company app\nTOKEN=$(gh auth token)\njust words\nA=it's\nGITHUB_TOKEN=x\n\
                    B=that's\nC='open\nAPI_PORT=1\n";
        let variables = read(text).unwrap();
        assert_eq!(variables.len(), 2, "{variables:?}");
        assert_eq!((variables["GITHUB_TOKEN"].as_str(), variables["API_PORT"].as_str()), ("x", "1"));
    }

    #[test]
    fn a_malformed_line_of_ours_is_named_without_showing_it() {
        assert_eq!(read("A=1\nGITHUB_TOKEN=a secret\n"), Err((2, "GITHUB_TOKEN")));
        assert_eq!(read("A=b c\n\nexport API_PORT: 1\n"), Err((3, "API_PORT")));
        assert_eq!(read("GITHUB_APP_PRIVATE_KEY=\"begin\nend\n"), Err((1, "GITHUB_APP_PRIVATE_KEY")));
        assert_eq!(read("https_proxy=a b\n"), Err((1, "https_proxy")));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "\nGITHUB_TOKEN=a secret\n").unwrap();
        let error = DotEnv::load(&path, &crate::args::variables()).err().expect("it is malformed");
        let text = error.to_string();
        assert!(text.contains("in line 2: write GITHUB_TOKEN=") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let text =
            format!("{:#}", DotEnv::load(Path::new("/dev/null/.env"), &[]).err().expect("it is no file"));
        assert!(text.contains("cannot be read"), "{text}");
    }

    #[test]
    fn a_missing_file_and_a_directory_are_no_error() {
        for path in ["/nonexistent/.env", "/"] {
            assert!(DotEnv::load(Path::new(path), &[]).unwrap().0.is_empty());
        }
    }
}
