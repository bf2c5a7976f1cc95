//! The environment and the file of variables, before the command line is parsed.
//!
//! An empty variable counts as unset. A file sets variables that the environment does not set. It may
//! belong to another program, so a malformed line is an error only if it sets a variable of this program.
//!
//! `.env` in the current directory is read without being named, and whoever cloned a repository did not
//! write it. It may set tokens, paths and formats, but never where a token or data is sent or who may read it:
//! addresses, proxies, the settings of AWS, the token that lets an administrator in and the directories of coding agents
//! come from the environment, from an option, or from the file that `--env-file` names.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Arg, Command};

use crate::error::usage_error;
use crate::terminal_text::escaped;

/// The file that is read if `--env-file` is not given.
const DEFAULT_PATH: &str = ".env";

/// The variable that names the data directory.
const DATA_DIR_VARIABLE: &str = "GITHUB_METRICS_DATA_DIR";

/// The variables that the command line does not know, but the logs and HTTP clients read.
const LIBRARY_VARIABLES: [&str; 5] = ["RUST_LOG", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The variables that `.env` may set: tokens, paths and formats.
const ALLOWED_IN_DEFAULT_FILE: [&str; 22] = [
    "GITHUB_TOKEN",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_WRITE_TOKEN",
    "GITHUB_WRITE_APP_ID",
    "GITHUB_WRITE_APP_PRIVATE_KEY",
    "GITHUB_OWNER",
    "GITHUB_METRICS_TOKEN",
    DATA_DIR_VARIABLE,
    "GITHUB_METRICS_LAKE",
    "GITHUB_METRICS_STORE",
    "GITHUB_METRICS_CONFIG",
    "GITHUB_METRICS_FORMAT",
    "GITHUB_METRICS_QUIET",
    "GITHUB_METRICS_LOG_FORMAT",
    "STORAGE_TYPE",
    "SQLITE_PATH",
    "API_HOST",
    "API_PORT",
    "NO_COLOR",
    "CLICOLOR_FORCE",
    "RUST_LOG",
];

/// The variables that `.env` must not set, in upper case. All names that begin with `AWS_` belong to them.
const REPORTED_IF_IGNORED: [&str; 27] = [
    "GITHUB_METRICS_AUDIT_LOG",
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GITHUB_API_URL",
    "API_ENDPOINT",
    "API_ALLOW_HOST",
    "API_ALLOW_ORIGIN",
    "GITHUB_METRICS_ADMIN_TOKEN",
    "GITHUB_METRICS_ADMIN_TOKEN_FILE",
    "GITHUB_METRICS_TOKEN_FILE",
    "GITHUB_WRITE_TOKEN_FILE",
    "GITHUB_METRICS_ORIGIN_KEY",
    "GITHUB_METRICS_ORIGIN_KEY_FILE",
    "GITHUB_METRICS_LINK_KEY",
    "GITHUB_METRICS_LINK_KEY_FILE",
    "GITHUB_METRICS_PUBLIC_URL",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_WEBHOOK_SECRET_FILE",
    "GITHUB_WEBHOOK_SECRET_PREVIOUS",
    "GITHUB_WEBHOOK_SECRET_PREVIOUS_FILE",
    "POSTGRES_URL",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

const AWS_PREFIX: &str = "AWS_";

/// The variables of a file.
#[derive(Default)]
pub(crate) struct EnvFile {
    path: PathBuf,
    /// The variables that the file may set, by name.
    variables: HashMap<String, String>,
    /// The names of variables that the file sets, but must not set, in the order of the file.
    ignored: Vec<String>,
}

impl EnvFile {
    /// Reads the file that `--env-file` names, or `.env` if it exists, and sets the variables that the
    /// environment does not set. `known` are the variables of this program. Must be called before the first
    /// thread starts.
    ///
    /// # Errors
    /// If the file cannot be read, or a line that sets a known variable is malformed. The message contains
    /// no value, because it may be a secret.
    pub(crate) fn load(named: Option<&Path>, known: &[String]) -> anyhow::Result<Self> {
        let path = named.unwrap_or(Path::new(DEFAULT_PATH));
        let display = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            // Some directories have that name, such as virtual environments of Python.
            Err(error)
                if named.is_none()
                    && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) =>
            {
                return Ok(EnvFile::default());
            }
            Err(error) => {
                let advice = match named {
                    Some(_) => "name a readable text file with --env-file",
                    None => "make it a readable text file, or remove it",
                };
                return Err(usage_error(format!("cannot read {display} ({error}): {advice}")));
            }
        };
        let well_formed = well_formed_lines(&text, known).map_err(|(number, name)| {
            usage_error(format!(
                "line {number} of {display} is malformed: expected {name}=value, with quotes around spaces"
            ))
        })?;
        let mut file = EnvFile { path: path.to_owned(), ..EnvFile::default() };
        for (name, value) in parse(&well_formed) {
            if named.is_some() || is_allowed(&name, &value) {
                file.variables.insert(name, value);
            } else if is_reported(&name) && !value.is_empty() {
                file.ignored.push(name);
            }
        }
        // Variables of the environment stay as they are. No line can fail, because all are well-formed.
        let _ = dotenvy::from_read(file.as_text().as_bytes());
        Ok(file)
    }

    /// Returns the variables as a file that sets them to exactly these values.
    fn as_text(&self) -> String {
        let line = |(name, value): (&String, &String)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{name}=\"{}\"\n", value.replace('$', "\\$").replace('\n', "\\n"))
        };
        self.variables.iter().map(line).collect()
    }

    /// Says which variables of the file are ignored, and how to set them. `None` if there are none. Those
    /// of AWS matter only if the run uses AWS.
    pub(crate) fn ignored_notice(&self, uses_aws: bool) -> Option<String> {
        let is_relevant = |name: &&String| {
            (uses_aws || !name.to_ascii_uppercase().starts_with(AWS_PREFIX)) && !is_set(OsStr::new(name))
        };
        let names: Vec<String> = self.ignored.iter().filter(is_relevant).map(|name| escaped(name)).collect();
        if names.is_empty() {
            return None;
        }
        let file = self.path.display();
        Some(format!(
            "ignored in {file}: {}; a file in the current directory must not choose where tokens and data are \
             sent; set it in the environment, or run with --env-file {file}",
            names.join(", ")
        ))
    }

    /// Returns whether the file holds the token or the app together with an address of GitHub that is
    /// ignored. Such a token does not belong to the default address.
    pub(crate) fn has_token_for_ignored_address(&self) -> bool {
        let is_ignored = |name: &str| self.ignored.iter().any(|it| it == name) && !is_set(OsStr::new(name));
        let sets = |name: &str| self.variables.get(name).is_some_and(|value| is_value_of(name, value));
        is_ignored("GITHUB_API_URL")
            && [
                "GITHUB_TOKEN",
                "GITHUB_APP_PRIVATE_KEY",
                "GITHUB_WRITE_TOKEN",
                "GITHUB_WRITE_APP_PRIVATE_KEY",
            ]
            .into_iter()
            .any(sets)
    }

    /// Replaces empty variables of the environment by those of the file, or unsets them.
    pub(crate) fn fill(&self, command: Command) -> Command {
        let fill = |arg: Arg| match arg.get_env().map(OsStr::to_owned) {
            Some(name) if is_empty(&name) => self.replace_env(arg.env(Resettable::Reset), &name),
            _ => arg,
        };
        command.mut_args(fill).mut_subcommands(|command| command.mut_args(fill))
    }

    fn replace_env(&self, arg: Arg, name: &OsStr) -> Arg {
        match name.to_str().and_then(|name| self.variables.get(name)).filter(|value| !value.is_empty()) {
            Some(value) => arg.default_value(value.clone()),
            None => arg,
        }
    }
}

/// Returns the data directory that the environment names.
#[expect(clippy::disallowed_methods, reason = "the command line could not be parsed")]
pub(crate) fn data_dir() -> Option<String> {
    std::env::var(DATA_DIR_VARIABLE).ok().filter(|dir| !dir.is_empty())
}

/// Returns the value of `--env-file` on a command line, before it is parsed. clap takes no value that begins
/// with `-`, so what looks like this option is not the value of another one.
pub(crate) fn env_file_option(args: impl IntoIterator<Item = OsString>) -> Option<PathBuf> {
    let mut args = args.into_iter().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--") => return None,
            Some("--env-file") => return args.next().map(PathBuf::from),
            Some(text) => {
                if let Some(path) = text.strip_prefix("--env-file=") {
                    return Some(path.into());
                }
            }
            None => {}
        }
    }
    None
}

/// Returns whether `.env` may set the variable to the value. A lake or a store elsewhere is an address.
fn is_allowed(name: &str, value: &str) -> bool {
    match name {
        "GITHUB_METRICS_LAKE" => value.starts_with("file:"),
        "GITHUB_METRICS_STORE" => value.starts_with("sqlite:"),
        name => ALLOWED_IN_DEFAULT_FILE.contains(&name),
    }
}

fn is_reported(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    REPORTED_IF_IGNORED.contains(&upper.as_str())
        || upper.starts_with(AWS_PREFIX)
        || ALLOWED_IN_DEFAULT_FILE.contains(&name)
}

/// Parses well-formed lines. The first value of a name counts.
fn parse(text: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for (name, value) in dotenvy::from_read_iter(text.as_bytes()).flatten() {
        if !variables.iter().any(|(earlier, _)| *earlier == name) {
            variables.push((name, value));
        }
    }
    variables
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

/// Returns whether the variable is set to a value that is not empty.
#[expect(clippy::disallowed_methods, reason = "the notice on ignored variables depends on the environment")]
fn is_set(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Returns whether the program uses this value for the variable: the environment has no other.
#[expect(clippy::disallowed_methods, reason = "a variable of the environment wins over the file's")]
fn is_value_of(name: &str, value: &str) -> bool {
    !value.is_empty() && std::env::var_os(name).is_none_or(|set| set.is_empty() || set == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HashMap<String, String>, (usize, &str)> {
        well_formed_lines(text, &crate::cli::variables()).map(|text| parse(&text).into_iter().collect())
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
        let error = EnvFile::load(Some(&path), &crate::cli::variables()).err().expect("it is malformed");
        let text = error.to_string();
        assert!(text.starts_with("line 2 of ") && text.contains("expected GITHUB_TOKEN="), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn a_named_file_must_be_readable() {
        for path in ["/dev/null/.env", "/nonexistent/.env"] {
            let error = EnvFile::load(Some(Path::new(path)), &[]).err().expect("it is no file");
            assert!(error.to_string().contains(&format!("cannot read {path}")), "{error}");
        }
    }

    #[test]
    fn only_tokens_paths_and_formats_are_allowed_in_the_default_file() {
        for (name, value) in [
            ("GITHUB_TOKEN", "x"),
            ("GITHUB_METRICS_DATA_DIR", "data"),
            ("GITHUB_METRICS_LAKE", "file:lake"),
            ("GITHUB_METRICS_STORE", "sqlite:s.db"),
            ("GITHUB_METRICS_FORMAT", "json"),
        ] {
            assert!(is_allowed(name, value), "{name}");
        }
        for (name, value) in [
            ("GITHUB_API_URL", "https://h"),
            ("API_ENDPOINT", "https://h"),
            ("https_proxy", "http://h"),
            ("AWS_ENDPOINT_URL_DYNAMODB", "https://h"),
            ("AWS_CONFIG_FILE", "aws"),
            ("SSL_CERT_FILE", "ca.pem"),
            ("GITHUB_METRICS_LAKE", "s3://b"),
            ("GITHUB_METRICS_STORE", "dynamodb:t"),
        ] {
            assert!(!is_allowed(name, value) && is_reported(name), "{name}");
        }
        assert!(!is_allowed("LD_PRELOAD", "x.so") && !is_reported("LD_PRELOAD"), "it is set for nobody");
    }

    #[test]
    fn the_program_reads_no_variable_that_the_lists_forget() {
        let of_terminal = ["TERM", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"];
        for name in crate::cli::variables() {
            let is_listed = is_reported(&name) || of_terminal.contains(&name.as_str());
            assert!(is_listed, "may .env set {name}?");
        }
    }

    #[test]
    fn values_are_set_exactly() {
        let value = "a\\b \"c\" $HOME 'd'\ne#f";
        let mut file = EnvFile::default();
        file.variables.insert("A".to_owned(), value.to_owned());
        assert_eq!(parse(&file.as_text()), [("A".to_owned(), value.to_owned())]);
    }

    #[test]
    fn the_option_is_found_before_the_command_line_is_parsed() {
        let found = |words: &[&str]| {
            env_file_option(words.iter().map(|word| OsString::from(*word)))
                .map(|path| path.display().to_string())
        };
        assert_eq!(found(&["x", "doctor", "--env-file", "a"]).as_deref(), Some("a"));
        assert_eq!(found(&["x", "--env-file=b", "doctor"]).as_deref(), Some("b"));
        assert_eq!(found(&["x", "show", "--", "--env-file", "a"]), None);
        assert_eq!(found(&["x", "doctor"]), None);
    }
}
