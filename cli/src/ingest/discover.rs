//! Finds the log files of coding agents.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use gam_model::CodingAgent;

use crate::settings::CliSettings;

/// Directories inside those of Claude Code that hold no logs of sessions.
const OTHER_DIRECTORIES: [&str; 2] = ["tool-results", "memory"];
/// Files that are no logs of sessions, or are replaced ones.
const OTHER_FILES: [&str; 3] = [".orphaned-", ".superseded-", "journal.jsonl"];

/// A log file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The agent that wrote it.
    pub(crate) agent: CodingAgent,
}

/// Where agents write their logs.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogDirectories {
    /// The home directory.
    pub(crate) home: Option<PathBuf>,
    /// `CLAUDE_CONFIG_DIR`: directories of Claude Code, separated by commas.
    pub(crate) claude_config_dir: Option<String>,
    /// `CODEX_HOME`: the directory of Codex.
    pub(crate) codex_home: Option<PathBuf>,
}

impl LogDirectories {
    /// Returns those of the user, or those that variables name.
    pub(crate) fn of_settings(settings: &CliSettings) -> Self {
        LogDirectories {
            home: env::home_dir(),
            claude_config_dir: settings.claude_config_dir.clone(),
            codex_home: settings.codex_home.clone(),
        }
    }

    /// Returns the directories in which an agent writes logs. They need not exist.
    pub(crate) fn of(&self, agent: CodingAgent) -> Vec<PathBuf> {
        let in_home = |path: &str| self.home.iter().map(|home| home.join(path)).collect::<Vec<_>>();
        match (agent, &self.claude_config_dir, &self.codex_home) {
            (CodingAgent::Claude, Some(list), _) => {
                list.split(',').map(|dir| Path::new(dir.trim()).join("projects")).collect()
            }
            (CodingAgent::Claude, None, _) => {
                [in_home(".claude/projects"), in_home(".config/claude/projects")].concat()
            }
            (CodingAgent::Codex, _, Some(home)) => {
                vec![home.join("sessions"), home.join("archived_sessions")]
            }
            (CodingAgent::Codex, _, None) => {
                [in_home(".codex/sessions"), in_home(".codex/archived_sessions")].concat()
            }
        }
    }
}

/// Finds the log files in the directories of the agents, sorted by path.
///
/// # Errors
/// If a directory exists and cannot be read.
pub(crate) fn find_in_homes(
    directories: &LogDirectories,
    agent: Option<CodingAgent>,
) -> io::Result<Vec<LogFile>> {
    let mut files = BTreeSet::new();
    for candidate in CodingAgent::ALL.into_iter().filter(|one| agent.is_none_or(|agent| agent == *one)) {
        for directory in directories.of(candidate).iter().filter(|directory| directory.is_dir()) {
            walk(directory, Some(candidate), &mut files)?;
        }
    }
    Ok(files.into_iter().collect())
}

/// Finds the log files at these paths: files, and all files below directories, sorted by path. The name of a file shows
/// who wrote it. With an agent, a file is read as that agent's log, and of a directory only the files of that agent.
///
/// # Errors
/// If a path does not exist or cannot be read.
pub(crate) fn find_at(paths: &[PathBuf], agent: Option<CodingAgent>) -> io::Result<Vec<LogFile>> {
    let mut files = BTreeSet::new();
    for path in paths {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if fs::metadata(path).map_err(named)?.is_dir() {
            let mut below = BTreeSet::new();
            walk(path, None, &mut below).map_err(named)?;
            files.extend(below.into_iter().filter(|file| agent.is_none_or(|agent| agent == file.agent)));
        } else {
            let agent = agent.unwrap_or_else(|| agent_of(path));
            files.insert(LogFile { path: path.clone(), agent });
        }
    }
    Ok(files.into_iter().collect())
}

fn walk(directory: &Path, agent: Option<CodingAgent>, files: &mut BTreeSet<LogFile>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        // Agents delete old logs. This one was there a moment ago.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // A link is not followed: it could lead back.
        let file_type = match entry.file_type() {
            Ok(file_type) => file_type,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if file_type.is_dir() {
            if !OTHER_DIRECTORIES.contains(&&*name) {
                walk(&path, agent, files)?;
            }
        } else if file_type.is_file()
            && name.ends_with(".jsonl")
            && !OTHER_FILES.iter().any(|other| name.contains(other))
        {
            let agent = agent.unwrap_or_else(|| agent_of(&path));
            files.insert(LogFile { path, agent });
        }
    }
    Ok(())
}

fn agent_of(path: &Path) -> CodingAgent {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("rollout-") { CodingAgent::Codex } else { CodingAgent::Claude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_found_in_the_directories_of_the_agents() {
        let home = tempfile::tempdir().unwrap();
        let paths = [
            ".claude/projects/-work-site/s1.jsonl",
            ".claude/projects/-work-site/s1/subagents/agent-a.jsonl",
            ".claude/projects/-work-site/s1/subagents/journal.jsonl",
            ".claude/projects/-work-site/s1/tool-results/x.jsonl",
            ".claude/projects/-work-site/s1.jsonl.orphaned-1.jsonl",
            ".claude/projects/-work-site/notes.txt",
            ".codex/sessions/2026/03/01/rollout-x.jsonl",
        ];
        for path in paths {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let directories = LogDirectories { home: Some(home.path().to_owned()), ..LogDirectories::default() };
        let names = |files: Vec<LogFile>| -> Vec<(String, CodingAgent)> {
            let name = |file: &LogFile| file.path.file_name().unwrap().to_string_lossy().into_owned();
            files.iter().map(|file| (name(file), file.agent)).collect()
        };
        let all = names(find_in_homes(&directories, None).unwrap());
        assert_eq!(
            all,
            [
                ("agent-a.jsonl".to_owned(), CodingAgent::Claude),
                ("s1.jsonl".to_owned(), CodingAgent::Claude),
                ("rollout-x.jsonl".to_owned(), CodingAgent::Codex),
            ]
        );
        assert_eq!(names(find_at(&[home.path().to_owned()], None).unwrap()), all);
        assert_eq!(find_in_homes(&directories, Some(CodingAgent::Codex)).unwrap().len(), 1);
        let of_codex = names(find_at(&[home.path().to_owned()], Some(CodingAgent::Codex)).unwrap());
        assert_eq!(of_codex, all[2..]);
        assert!(find_at(&[home.path().join("missing")], None).is_err());
    }

    #[test]
    fn variables_name_other_directories() {
        let directories = LogDirectories {
            home: Some("/home/ann".into()),
            claude_config_dir: Some("/a, /b".to_owned()),
            codex_home: Some("/c".into()),
        };
        assert_eq!(directories.of(CodingAgent::Claude), [Path::new("/a/projects"), Path::new("/b/projects")]);
        assert_eq!(
            directories.of(CodingAgent::Codex),
            [Path::new("/c/sessions"), Path::new("/c/archived_sessions")]
        );
    }
}
