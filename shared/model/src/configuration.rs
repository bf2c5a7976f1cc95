//! The configuration of an organization, as TOML text.
//!
//! The text that a person writes may name a mailmap file. [`Configuration::to_toml`] writes the form that is
//! stored: it needs no other file, and holds no address.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Identity;
use crate::agent_price::{ConfiguredPrice, PriceSettings};
use crate::erased_sessions::ErasedSessions;
use crate::mailmap::{self, Mailmap};
use crate::notify::NotifySettings;
use crate::policy::ActionSettings;
use crate::retention::Retention;
use crate::task_rules::TaskRules;
use crate::time_zone::TimeZone;

/// The most bytes of the text of a configuration. Larger texts are refused.
pub const MAX_BYTES: usize = 1 << 20;

/// What an organization configures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// Bots, aliases, excluded repositories and the time zone: the rules that the fold applies to all of history.
    pub identity: Identity,
    /// The file names of the GitHub Actions workflows whose runs on the default branch count as deployments.
    pub deploy_workflows: Vec<String>,
    /// Policies of actions on GitHub, and the default comment.
    pub actions: ActionSettings,
    /// Which issues are tasks for workers.
    pub task_rules: TaskRules,
    /// Where notifications and digests go.
    pub notify: NotifySettings,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigurationFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bots: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mailmap: Option<MailmapField>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    aliases: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "RepositoriesTable::is_empty")]
    repositories: RepositoriesTable,
    #[serde(default, skip_serializing_if = "DeploysTable::is_empty")]
    deploys: DeploysTable,
    #[serde(default, skip_serializing_if = "is_default")]
    tasks: TaskRules,
    #[serde(default, skip_serializing_if = "ActionSettings::is_empty")]
    actions: ActionSettings,
    #[serde(default, skip_serializing_if = "SessionsTable::is_empty")]
    sessions: SessionsTable,
    #[serde(default, skip_serializing_if = "NotifySettings::is_empty")]
    notify: NotifySettings,
}

/// What concerns the sessions of coding agents.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionsTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<String>,
    /// Hashes of the ids of erased sessions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    erased: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    prices: Vec<ConfiguredPrice>,
}

impl SessionsTable {
    fn is_empty(&self) -> bool {
        self.retention.is_none() && self.erased.is_empty() && self.models.is_empty() && self.prices.is_empty()
    }
}

fn is_default(rules: &TaskRules) -> bool {
    *rules == TaskRules::default()
}

/// A mailmap: the name of a file, or its names as they are stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum MailmapField {
    File(PathBuf),
    Names(BTreeMap<String, String>),
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RepositoriesTable {
    #[serde(default)]
    exclude: Vec<String>,
}

impl RepositoriesTable {
    fn is_empty(&self) -> bool {
        self.exclude.is_empty()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeploysTable {
    #[serde(default)]
    workflows: Vec<String>,
}

impl DeploysTable {
    fn is_empty(&self) -> bool {
        self.workflows.is_empty()
    }
}

const EXPECTED: &str = "expected bots = [\"login\"], mailmap = \"FILE\", timezone = \"Area/City\", and the tables [aliases] of \"old\" = \
                        \"new\", [repositories] with exclude = [\"name\"], [deploys] with workflows = \
                        [\"deploy.yml\"], [tasks] with labels_any, labels_none and priorities = [\"label\"], \
                         max_attempts = 3 and lease_seconds = 600, [actions] with default_comment = \"TEXT\" and \
                         [[actions.policy]], [sessions] with retention = \"400d\", \
                         [sessions.models] of \"id\" = \"model\" and [[sessions.prices]] of a model, and [notify] with [[notify.channels]], \
                         [[notify.rules]] and [[notify.digests]]";

impl Configuration {
    /// Parses the text of a configuration.
    ///
    /// The text holds `bots = ["login"]`, `mailmap = "FILE"`, `timezone = "Area/City"`, a table `[aliases]` of `"old" = "new"`,
    /// `[repositories]` with `exclude = ["name"]`, `[deploys]` with `workflows = ["deploy.yml"]`, `[tasks]` with the
    /// fields of [`TaskRules`], `[actions]` with `default_comment = "TEXT"` and rules as `[[actions.policy]]`
    /// ([`crate::PolicyRule`]), `[sessions]` with `retention = "400d"` ([`Retention`]), `[sessions.models]` of
    /// `"id" = "model"` and prices as `[[sessions.prices]]` ([`ConfiguredPrice`]), and `[notify]` with the fields of [`NotifySettings`]. `read` returns the
    /// text of the mailmap file. An alias of the table overrides the same alias of the mailmap.
    ///
    /// # Errors
    /// If the text is invalid, or the mailmap cannot be read. The message is one line and names the line that
    /// is wrong.
    pub fn parse(text: &str, read: impl Fn(&Path) -> Result<String, String>) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has {} bytes, more than {MAX_BYTES}: shorten it", text.len()));
        }
        let file: ConfigurationFile = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let location = line.map_or_else(String::new, |line| format!("line {line}: "));
            let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{location}{reason}; {EXPECTED}")
        })?;
        let is_blank = |name: &String| name.trim().is_empty();
        if file.bots.iter().any(is_blank)
            || file.aliases.iter().any(|(old, new)| is_blank(old) || is_blank(new))
        {
            return Err("a name in bots or [aliases] is empty: write a login".to_owned());
        }
        if let Some(name) = file.repositories.exclude.iter().find(|name| is_blank(name) || name.contains('/'))
        {
            return Err(format!(
                "invalid repository {name:?} in exclude: write its name without the owner, such as \"sandbox\""
            ));
        }
        if let Some(name) = file.deploys.workflows.iter().find(|name| !is_workflow_file(name)) {
            return Err(format!(
                "invalid workflow {name:?}: write the file name of a workflow, such as \"deploy.yml\""
            ));
        }
        file.actions.validate()?;
        file.tasks.validate()?;
        file.notify.validate()?;
        let time_zone = file.timezone.map_or(Ok(TimeZone::UTC), |name| {
            TimeZone::parse(&name).ok_or_else(|| {
                format!("invalid timezone {name:?}: write a name of the IANA database, such as \"Asia/Tokyo\" or \"UTC\"")
            })
        })?;
        let mailmap = match file.mailmap {
            None => Mailmap::default(),
            Some(MailmapField::File(path)) => mailmap::parse(&read(&path)?),
            Some(MailmapField::Names(names)) => Mailmap::from_pairs(names),
        };
        let identity = Identity::new(file.bots, file.aliases).map_err(|cycle| cycle.to_string())?;
        let mut deploy_workflows = file.deploys.workflows;
        deploy_workflows.sort();
        deploy_workflows.dedup();
        let retention = file.sessions.retention.as_deref().map(Retention::parse).transpose()?;
        let erased = ErasedSessions::from_hashes(file.sessions.erased)?;
        let prices = PriceSettings::new(file.sessions.prices, file.sessions.models)?;
        Ok(Configuration {
            identity: identity
                .with_prices(prices)
                .with_session_retention(retention)
                .with_erased_sessions(erased)
                .with_mailmap(mailmap)
                .with_excluded_repos(file.repositories.exclude)
                .with_time_zone(time_zone),
            deploy_workflows,
            actions: file.actions,
            task_rules: file.tasks,
            notify: file.notify,
        })
    }

    /// Parses what [`Configuration::to_toml`] returned.
    ///
    /// # Errors
    /// As [`Configuration::parse`], and if the text names a mailmap file.
    pub fn parse_stored(text: &str) -> Result<Self, String> {
        Self::parse(text, |file| {
            Err(format!("cannot read the mailmap {} here: add its names to [aliases]", file.display()))
        })
    }

    /// Returns the configuration as TOML that needs no other file and holds no address. Equal configurations
    /// have equal texts.
    pub fn to_toml(&self) -> String {
        let pair = |(from, to): (&str, &str)| (from.to_owned(), to.to_owned());
        let mailmap: BTreeMap<String, String> = self.identity.mailmap().iter().map(pair).collect();
        let time_zone = Some(self.identity.time_zone()).filter(|zone| *zone != TimeZone::UTC);
        let file = ConfigurationFile {
            timezone: time_zone.map(|zone| zone.name().to_owned()),
            bots: self.identity.bots().map(str::to_owned).collect(),
            mailmap: (!mailmap.is_empty()).then_some(MailmapField::Names(mailmap)),
            aliases: self.identity.aliases().map(pair).collect(),
            repositories: RepositoriesTable {
                exclude: self.identity.excluded_repos().map(str::to_owned).collect(),
            },
            deploys: DeploysTable { workflows: self.deploy_workflows.clone() },
            actions: self.actions.clone(),
            tasks: self.task_rules.clone(),
            sessions: SessionsTable {
                retention: self.identity.session_retention().map(|retention| retention.to_string()),
                erased: self.identity.erased_sessions().hashes().map(str::to_owned).collect(),
                models: self.identity.prices().models().clone(),
                prices: self.identity.prices().prices().to_vec(),
            },
            notify: self.notify.clone(),
        };
        toml::to_string(&file).expect("a configuration is tables of text")
    }

    /// Returns what the configuration holds, for people: `2 bots, 5 aliases`.
    pub fn summary(&self) -> String {
        let identity = &self.identity;
        let parts = [
            (identity.bots().len(), "bot", "bots"),
            (identity.aliases().len(), "alias", "aliases"),
            (identity.mailmap().iter().count(), "name of a mailmap", "names of a mailmap"),
            (identity.excluded_repos().len(), "excluded repository", "excluded repositories"),
            (self.deploy_workflows.len(), "deploy workflow", "deploy workflows"),
            (identity.prices().prices().len(), "price of a model", "prices of models"),
            (identity.prices().models().len(), "id of a model", "ids of models"),
            (identity.erased_sessions().hashes().len(), "erased session", "erased sessions"),
            (self.actions.policy.len(), "policy of actions", "policies of actions"),
            (usize::from(self.actions.default_comment.is_some()), "default comment", "default comments"),
            (self.notify.channels.len(), "channel", "channels"),
            (self.notify.digests.len(), "digest", "digests"),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let time_zone = Some(identity.time_zone()).filter(|zone| *zone != TimeZone::UTC);
        let parts: Vec<String> = parts
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .chain(time_zone.map(|zone| format!("days of {}", zone.name())))
            .chain(
                identity
                    .session_retention()
                    .map(|retention| format!("sessions are kept for {} days", retention.days())),
            )
            .chain((!is_default(&self.task_rules)).then(|| "rules of tasks".to_owned()))
            .collect();
        if parts.is_empty() { "empty".to_owned() } else { parts.join(", ") }
    }

    /// Returns the configuration with the sessions that `before` has erased, too: an erasure cannot be undone.
    #[must_use]
    pub fn with_erasures_of(mut self, before: &Configuration) -> Self {
        let mut erased = self.identity.erased_sessions().clone();
        erased.extend(before.identity.erased_sessions());
        self.identity = self.identity.with_erased_sessions(erased);
        self
    }

    /// Returns whether changing to `other` changes numbers that were computed: whether a fold differs.
    pub fn folds_like(&self, other: &Configuration) -> bool {
        self.identity.hash() == other.identity.hash()
    }

    /// Returns whether the repository with this name is excluded.
    pub fn excludes(&self, repo: &str) -> bool {
        self.identity.is_excluded_repo(repo)
    }
}

/// Returns whether the text can be the file name of a workflow.
fn is_workflow_file(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b' ');
    (name.ends_with(".yml") || name.ends_with(".yaml")) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Configuration, String> {
        Configuration::parse(text, |_| Err("there is no such file".to_owned()))
    }

    #[test]
    fn the_alias_table_overrides_the_mailmap() {
        let text = "mailmap = \"people/.mailmap\"\n[aliases]\nold-bob = \"bob\"\n";
        let read = |path: &Path| {
            assert_eq!(path, Path::new("people/.mailmap"));
            Ok("Ann <ann> <ann@example.org>\nBob <robert> <old-bob>\n".to_owned())
        };
        let identity = Configuration::parse(text, read).unwrap().identity;
        assert_eq!((identity.name("~438c4c7afe60"), identity.name("Old-Bob")), ("ann", "bob"));
        assert!(parse(text).unwrap_err().contains("no such file"));
        let odd = Configuration::parse(text, |_| Ok("ann@example.org".to_owned())).unwrap().identity;
        assert_eq!(odd.mailmap().ignored_lines(), 1);
    }

    #[test]
    fn all_parts_are_parsed() {
        let text = "bots = [\"ci-user\"]\n[aliases]\n\"~0123456789ab\" = \"ann\"\nold = \"ann\"\n\
                    [repositories]\nexclude = [\"Sandbox\"]\n[deploys]\nworkflows = [\"b.yml\", \"a.yaml\"]\n";
        let configuration = parse(text).unwrap();
        assert_eq!(configuration.identity.name("OLD"), "ann");
        assert_eq!(configuration.identity.name("~0123456789ab"), "ann");
        assert!(configuration.excludes("sandBox") && !configuration.excludes("site"));
        assert_eq!(configuration.deploy_workflows, ["a.yaml", "b.yml"]);
        assert_eq!(configuration.summary(), "1 bot, 2 aliases, 1 excluded repository, 2 deploy workflows");
        let tasks = parse("[tasks]\nlabels_none = [\"on hold\"]\nlease_seconds = 60\n").unwrap();
        assert_eq!(tasks.summary(), "rules of tasks");
        let rules = tasks.task_rules;
        assert_eq!((rules.lease_seconds, rules.max_attempts, rules.labels_none.len()), (60, 3, 1));
        assert_eq!(parse("").unwrap(), Configuration::default());
        assert_eq!(Configuration::default().summary(), "empty");
        assert!(!configuration.folds_like(&Configuration::default()));
    }

    #[test]
    fn retention_and_erased_sessions_are_stored_and_erasures_are_kept() {
        let hash = "ab".repeat(32);
        let text = format!("[sessions]\nretention = \"400d\"\nerased = [{hash:?}]\n");
        let configuration = parse(&text).unwrap();
        assert_eq!(configuration.to_toml(), text);
        assert_eq!(configuration.summary(), "1 erased session, sessions are kept for 400 days");
        let shorter = parse("[sessions]\nretention = \"90d\"\n").unwrap();
        let kept = shorter.clone().with_erasures_of(&configuration);
        assert_eq!(kept.identity.erased_sessions(), configuration.identity.erased_sessions());
        assert_eq!(kept.identity.session_retention(), shorter.identity.session_retention());
        for other in [&shorter, &Configuration::default(), &kept] {
            assert!(!configuration.folds_like(other), "{}", other.to_toml());
        }
    }

    #[test]
    fn the_stored_form_needs_no_file_and_holds_no_address() {
        let text = "bots = [\"CI\"]\nmailmap = \"m\"\n[aliases]\nold = \"ann\"\n[deploys]\nworkflows = [\"d.yml\"]\n\
                    [tasks]\nlabels_any = [\"help wanted\"]\nmax_attempts = 5\n\
                    [sessions.models]\ngw = \"x\"\n[[sessions.prices]]\nmodel = \"x\"\nfrom = \"2026-01-01\"\n\
                    input = 1.5\noutput = 2\n";
        let mailmap = "Ann <ann> <ann@example.org>\nBob <bob@new.example> <bob@old.example>\n";
        let configuration = Configuration::parse(text, |_| Ok(mailmap.to_owned())).unwrap();
        let stored = configuration.to_toml();
        assert!(!stored.contains('@'), "{stored}");
        assert_eq!(Configuration::parse_stored(&stored).unwrap(), configuration);
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("configuration_stored", stored);
        });
        assert_eq!(Configuration::default().to_toml(), "");
    }

    #[test]
    fn errors_name_the_line_and_the_reason() {
        for (text, expected) in [
            ("bot = [\"x\"]", "line 1: unknown field `bot`"),
            ("\n\nbots = \"x\"", "line 3: "),
            ("bots = [", "line 1: "),
            ("bots = [\"\"]", "empty"),
            ("[aliases]\na = \"b\"\nb = \"a\"", "leads back to itself"),
            ("[repositories]\nexclude = [\"acme/site\"]", "acme/site"),
            ("[deploys]\nworkflows = [\"Deploy\"]", "deploy.yml"),
            ("[[actions.policy]]\napprovals = 3", "expected 0 to 2"),
            ("[tasks]\nlabels_any = []", "name a label"),
            ("[tasks]\nlease = 600", "line 2: unknown field `lease`"),
            ("[tasks]\nmax_attempts = -1", "line 2: invalid value"),
            ("[[sessions.prices]]\nmodel = \"x\"\ninput = -1.0\noutput = 2.0", "invalid price -1"),
            ("[sessions.models]\n\"a\" = \"b\"", "no price"),
            ("[sessions]\nretention = \"1 year\"", "invalid retention \"1 year\""),
            ("[sessions]\nretention = 400", "line 2: invalid type"),
            ("[sessions]\nerased = [\"my-session\"]", "`github-metrics erase session`"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
