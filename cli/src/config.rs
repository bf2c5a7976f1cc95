//! The configuration file that a person writes, and setting it as the configuration of an organization.

use std::path::Path;

use gam_lake::ObjectStore;
use gam_lake::configuration::{self, Revision};
use gam_model::configuration::Configuration;
use gam_model::{Clock, SystemClock};

use crate::error::usage_error;
use crate::format::count;

/// The file that older versions read from the current directory.
const FORMER_DEFAULT_PATH: &str = "github-metrics.toml";
/// How often setting a configuration is attempted while other processes set one.
const MAX_ATTEMPTS: usize = 10;

/// Reads a configuration file, with the mailmap that it names.
///
/// # Errors
/// If a file cannot be read or is malformed.
pub(crate) fn load(path: &Path) -> anyhow::Result<Configuration> {
    let display = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        usage_error(format!("cannot read the configuration {display} ({error}): name a readable file"))
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    Configuration::parse(&text, |mailmap| {
        let path = directory.join(mailmap);
        let text = std::fs::read_to_string(&path);
        text.map_err(|error| {
            format!("cannot read the mailmap {} ({error}): name a readable file", path.display())
        })
    })
    .map_err(|why| usage_error(format!("the configuration {display} is malformed: {why}")))
}

/// Returns the warning about lines of the mailmap that map nothing; `None` if there are none.
pub(crate) fn mailmap_warning(configuration: &Configuration) -> Option<String> {
    let lines = configuration.identity.mailmap().ignored_lines();
    (lines > 0).then(|| {
        let lines = count(lines, "line", "lines");
        format!("{lines} of the mailmap map nothing and are ignored")
    })
}

/// The outcome of setting a configuration.
pub(crate) struct ConfigurationChange {
    /// The revision that applied before.
    pub(crate) before: Revision,
    /// The number of the new revision; that of `before` if nothing changed.
    pub(crate) number: u32,
    /// What the new revision configures.
    pub(crate) configuration: Configuration,
}

impl ConfigurationChange {
    /// Returns whether a revision was added.
    pub(crate) fn is_new(&self) -> bool {
        self.number != self.before.number
    }

    /// Returns a sentence about the change, and what it recounts.
    pub(crate) fn sentence(&self, org: &str) -> String {
        let (number, summary) = (self.number, self.configuration.summary());
        if !self.is_new() {
            return format!("{org}: the configuration is unchanged (revision {number}: {summary})");
        }
        let effect = if self.configuration.folds_like(&self.before.configuration) {
            "no month is recounted"
        } else {
            "the next aggregation recounts every month"
        };
        let has_other_tasks = self.configuration.task_rules != self.before.configuration.task_rules;
        let tasks =
            if has_other_tasks { ", and servers apply the rules of tasks within a minute" } else { "" };
        let before = self.before.configuration.summary();
        format!("{org}: configuration revision {number}: {summary} (before: {before}); {effect}{tasks}")
    }
}

/// Sets the configuration of an organization, unless it is configured so already. What was erased stays erased.
///
/// # Errors
/// If the lake fails, or other processes keep setting configurations.
pub(crate) async fn set(
    objects: &dyn ObjectStore,
    org: &str,
    configuration: &Configuration,
) -> anyhow::Result<ConfigurationChange> {
    for _ in 0..MAX_ATTEMPTS {
        let before = configuration::latest(objects, org).await?;
        let configuration = &configuration.clone().with_erasures_of(&before.configuration);
        // A mailmap that was read again may differ in lines that map nothing.
        if before.number > 0 && before.configuration.to_toml() == configuration.to_toml() {
            let number = before.number;
            return Ok(ConfigurationChange { before, number, configuration: configuration.clone() });
        }
        let added = configuration::add(objects, org, before.number, configuration, SystemClock.now()).await?;
        if let Some(number) = added {
            return Ok(ConfigurationChange { before, number, configuration: configuration.clone() });
        }
    }
    anyhow::bail!("other processes keep setting the configuration of {org}: try again")
}

/// Returns a hint for people who relied on the file in the current directory; `None` if there is none, or the
/// organization has a configuration of its own. `latest` is the organization's newest revision.
pub(crate) fn unread_file_hint(org: &str, latest: &Revision) -> Option<String> {
    (latest.number == 0 && Path::new(FORMER_DEFAULT_PATH).is_file()).then(|| {
        format!(
            "./{FORMER_DEFAULT_PATH} is not read: the configuration belongs to the data; set it with \
             `github-metrics config set {FORMER_DEFAULT_PATH} {org}`"
        )
    })
}

#[cfg(test)]
mod tests {
    use gam_lake::MemoryObjects;

    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let text = load(Path::new("/nonexistent.toml")).unwrap_err().to_string();
        assert!(text.contains("/nonexistent.toml"), "{text}");
    }

    #[tokio::test]
    async fn a_configuration_without_erasures_keeps_them() {
        let objects = MemoryObjects::new();
        let configuration = |text: &str| Configuration::parse_stored(text).unwrap();
        let erased = format!("[sessions]\nerased = [\"{}\"]", "ab".repeat(32));
        set(&objects, "acme", &configuration(&erased)).await.unwrap();
        let change = set(&objects, "acme", &configuration("bots = [\"ci\"]")).await.unwrap();
        assert_eq!(change.configuration.summary(), "1 bot, 1 erased session");
        let again = set(&objects, "acme", &configuration("bots = [\"ci\"]")).await.unwrap();
        assert!(!again.is_new(), "{}", again.sentence("acme"));
    }

    #[tokio::test]
    async fn a_configuration_is_set_once_and_says_what_it_recounts() {
        let objects = MemoryObjects::new();
        let configuration = |text: &str| Configuration::parse_stored(text).unwrap();
        let bot = configuration("bots = [\"ci\"]");
        let first = set(&objects, "acme", &bot).await.unwrap();
        assert!(first.is_new() && first.sentence("acme").contains("revision 1: 1 bot (before: empty)"));
        assert!(first.sentence("acme").ends_with("the next aggregation recounts every month"));
        let again = set(&objects, "acme", &bot).await.unwrap();
        assert!(!again.is_new() && again.sentence("acme").contains("unchanged (revision 1"));
        let with_deploys = configuration("bots = [\"ci\"]\n[deploys]\nworkflows = [\"d.yml\"]");
        let second = set(&objects, "acme", &with_deploys).await.unwrap();
        assert!(second.sentence("acme").ends_with("no month is recounted"));
        let with_tasks = configuration("bots = [\"ci\"]\n[tasks]\nmax_attempts = 5");
        let third = set(&objects, "acme", &with_tasks).await.unwrap();
        assert!(
            third
                .sentence("acme")
                .ends_with("recounted, and servers apply the rules of tasks within a minute")
        );
    }
}
