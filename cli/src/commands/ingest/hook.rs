//! `ingest hook`: has Claude Code run `ingest sessions --auto` by itself.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::push;
use crate::args;
use crate::error::failure;
use crate::exit::Exit;
use crate::replace_file::replace_file;
use crate::session::CliSession;
use crate::settings::CliSettings;

const EXAMPLES: &str = "\
Examples:
  github-metrics ingest hook install --org acme
  github-metrics ingest hook remove

Claude Code does not run the hook in every case. The next run makes up for what was missed.";

/// When Claude Code runs the hook. The end of a session is not reliable, so the next beginning makes up for it.
const EVENTS: [&str; 2] = ["SessionEnd", "SessionStart"];
/// How long Claude Code waits for the hook, in seconds.
const TIMEOUT_SECONDS: u64 = 60;
/// The part of a command by which the program knows its own hook.
const MARK: &str = " ingest sessions --auto ";

/// Arguments of `ingest hook`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HookArgs {
    #[command(subcommand)]
    action: HookAction,
}

#[derive(Subcommand)]
enum HookAction {
    /// Add the hook to the settings of Claude Code, and keep everything else there
    Install {
        /// Organization whose repositories the sessions worked in
        #[arg(long, value_name = "ORG", value_parser = args::org)]
        org: String,
        /// Login of the person whose sessions they are [default: the member with git's e-mail address]
        #[arg(long, value_name = "LOGIN")]
        member: Option<String>,
        /// Have the hook send the events to this server. It finds the token in GITHUB_METRICS_TOKEN_FILE
        #[arg(long, value_name = "URL")]
        push: Option<String>,
        /// Settings to change [default: settings.json of Claude Code]
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
    /// Remove the hook from the settings of Claude Code, and keep everything else there
    Remove {
        /// Settings to change [default: settings.json of Claude Code]
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
    },
}

/// What concerns session logs in the settings of Claude Code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClaudeSettings {
    /// Where they are. The file need not exist.
    pub(crate) path: PathBuf,
    /// After how many days Claude Code deletes logs; `None` if the settings do not say.
    pub(crate) retention_days: Option<u64>,
    /// The programs that the hooks of this program run.
    pub(crate) hook_programs: Vec<String>,
}

/// Reads the settings of the user.
///
/// # Errors
/// If there is no home directory, or the file cannot be read.
pub(crate) fn read_claude_settings(settings: &CliSettings) -> anyhow::Result<ClaudeSettings> {
    let path = default_settings(settings)?;
    let document = read(&path)?;
    Ok(parse_claude_settings(path, &document))
}

fn parse_claude_settings(path: PathBuf, document: &Map<String, Value>) -> ClaudeSettings {
    let entries = document.get("hooks").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let hooks = entries.filter_map(Value::as_array).flatten().filter_map(|entry| entry.get("hooks"));
    let own = hooks.filter_map(Value::as_array).flatten().filter(|hook| is_own(hook));
    let commands = own.filter_map(|hook| hook.get("command").and_then(Value::as_str));
    let mut hook_programs: Vec<String> =
        commands.filter_map(|command| shlex::split(command)?.into_iter().next()).collect();
    hook_programs.sort();
    hook_programs.dedup();
    let retention_days = document.get("cleanupPeriodDays").and_then(Value::as_u64);
    ClaudeSettings { path, retention_days, hook_programs }
}

/// Adds or removes the hook.
pub(super) fn run(session: &CliSession, args: &HookArgs) -> anyhow::Result<Exit> {
    let (HookAction::Install { settings, .. } | HookAction::Remove { settings }) = &args.action;
    let path = match settings {
        Some(path) => path.clone(),
        None => default_settings(&session.settings)?,
    };
    let mut document = read(&path)?;
    let before = document.clone();
    let text = match &args.action {
        HookAction::Install { org, member, push, .. } => {
            remove(&mut document);
            add(&mut document, &command(session, org, (member.as_deref(), push.as_deref()))?)?;
            "Claude Code reads its session logs whenever a session starts or ends"
        }
        HookAction::Remove { .. } => {
            remove(&mut document);
            "Claude Code does not read its session logs by itself"
        }
    };
    if document != before {
        write(&path, &document)?;
    }
    session.console.write_summary(format!("{text}: {}", path.display()))?;
    Ok(Exit::Success)
}

/// Returns the settings of the user.
fn default_settings(settings: &CliSettings) -> anyhow::Result<PathBuf> {
    let configured = settings.claude_config_dir.as_deref();
    let first = configured.and_then(|list| list.split(',').next()).map(|dir| PathBuf::from(dir.trim()));
    let directory = first.or_else(|| env::home_dir().map(|home| home.join(".claude")));
    directory
        .map(|directory| directory.join("settings.json"))
        .ok_or_else(|| failure("there is no home directory: name the file with --settings"))
}

/// Returns the command that the hook runs, quoted for a POSIX shell.
fn command(
    session: &CliSession,
    org: &str,
    (member, push): (Option<&str>, Option<&str>),
) -> anyhow::Result<String> {
    let program = env::current_exe().context("cannot determine the path of this program")?;
    let data_dir =
        std::path::absolute(&session.settings.data_dir).context("cannot determine the data directory")?;
    let quote = |text: &str| shlex::try_quote(text).map(std::borrow::Cow::into_owned);
    let mut command = format!(
        "{}{MARK}--org {} --data-dir {}",
        quote(&program.to_string_lossy())?,
        quote(org)?,
        quote(&data_dir.to_string_lossy())?
    );
    for (option, location) in session.settings.location_options()? {
        command.push_str(&format!(" {option} {}", quote(&location)?));
    }
    if let Some(member) = member {
        command.push_str(&format!(" --member {}", quote(member)?));
    }
    if let Some(push) = push {
        push::server_url(push)?;
        command.push_str(&format!(" --push {}", quote(push)?));
    }
    Ok(command)
}

/// Reads the settings. A missing file has none.
fn read(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    serde_json::from_str(&text).map_err(|error| {
        failure(format!("{} is no JSON object ({error}): fix it first, it was not changed", path.display()))
    })
}

/// Replaces the settings, keeping the old ones next to them.
fn write(path: &Path, document: &Map<String, Value>) -> anyhow::Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(cannot_write)?;
    if path.exists() {
        fs::copy(path, path.with_extension("json.before-github-metrics")).with_context(cannot_write)?;
    }
    let text = format!("{}\n", serde_json::to_string_pretty(document)?);
    replace_file(path, text.as_bytes()).with_context(cannot_write)
}

/// Adds the hook to each event.
///
/// # Errors
/// If the settings have something else where hooks belong.
fn add(document: &mut Map<String, Value>, command: &str) -> anyhow::Result<()> {
    let unexpected = || failure("the settings have unexpected hooks: fix them first, they were not changed");
    let hooks = document.entry("hooks").or_insert_with(|| json!({}));
    let hooks = hooks.as_object_mut().ok_or_else(unexpected)?;
    for event in EVENTS {
        let entries = hooks.entry(event).or_insert_with(|| json!([]));
        let entries = entries.as_array_mut().ok_or_else(unexpected)?;
        let hook = json!({ "type": "command", "command": command, "timeout": TIMEOUT_SECONDS });
        entries.push(json!({ "hooks": [hook] }));
    }
    Ok(())
}

/// Removes the hook, and what would be empty without it.
fn remove(document: &mut Map<String, Value>) {
    let Some(hooks) = document.get_mut("hooks").and_then(Value::as_object_mut) else { return };
    for event in EVENTS {
        let Some(entries) = hooks.get_mut(event).and_then(Value::as_array_mut) else { continue };
        let count_before = entries.len();
        entries.retain_mut(|entry| {
            let Some(commands) = entry.get_mut("hooks").and_then(Value::as_array_mut) else { return true };
            let had_commands = !commands.is_empty();
            commands.retain(|hook| !is_own(hook));
            !commands.is_empty() || !had_commands
        });
        if entries.is_empty() && count_before > 0 {
            hooks.remove(event);
        }
    }
    if hooks.is_empty() {
        document.remove("hooks");
    }
}

fn is_own(hook: &Value) -> bool {
    hook.get("command").and_then(Value::as_str).is_some_and(|command| command.contains(MARK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn installing_and_removing_keeps_everything_else() {
        let other = json!({ "hooks": [{ "type": "command", "command": "notify" }] });
        let before = object(json!({ "model": "opus", "hooks": { "SessionEnd": [other], "Stop": [] } }));
        let mut document = before.clone();
        add(&mut document, &format!("/bin/github-metrics{MARK}--org acme")).unwrap();
        let events = document["hooks"].as_object().unwrap();
        assert_eq!(events["SessionEnd"].as_array().unwrap().len(), 2);
        assert_eq!(events["SessionStart"].as_array().unwrap().len(), 1);
        remove(&mut document);
        assert_eq!(document, before);
    }

    #[test]
    fn the_retention_and_the_programs_of_hooks_are_found() {
        let mut document = object(json!({ "cleanupPeriodDays": 7 }));
        add(&mut document, &format!("'/opt/my tools/github-metrics'{MARK}--org acme")).unwrap();
        let settings = parse_claude_settings("/s".into(), &document);
        assert_eq!(settings.retention_days, Some(7));
        assert_eq!(settings.hook_programs, ["/opt/my tools/github-metrics"]);
        let unusual = object(
            json!({ "cleanupPeriodDays": "x", "hooks": { "Stop": 1, "SessionEnd": [2, { "hooks": 3 }] } }),
        );
        let settings = parse_claude_settings("/s".into(), &unusual);
        assert_eq!((settings.retention_days, settings.hook_programs.len()), (None, 0));
    }

    #[test]
    fn settings_of_the_hook_alone_become_empty() {
        let mut document = Map::new();
        add(&mut document, &format!("x{MARK}--org acme")).unwrap();
        remove(&mut document);
        assert!(document.is_empty());
        remove(&mut document);
    }

    #[test]
    fn unexpected_settings_are_not_changed() {
        assert!(add(&mut object(json!({ "hooks": [] })), "x").is_err());
        assert!(add(&mut object(json!({ "hooks": { "SessionEnd": 1 } })), "x").is_err());
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("settings.json");
        fs::write(&path, "// comment\n{}").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("was not changed"));
    }
}
