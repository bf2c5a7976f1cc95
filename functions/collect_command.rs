//! The commands that the function `collect` receives as messages.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use gam_collect::WorkItem;
use serde::{Deserialize, Serialize};

use crate::MAX_REQUEUES;

/// A command, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum CollectCommand {
    /// Find out which repositories have something to read, and send a `Work` command for each.
    Plan {
        /// The organizations; empty for all of the deployment.
        #[serde(default)]
        organizations: Vec<String>,
        /// The first day to read, UTC; `None` for the deployment's.
        #[serde(default)]
        since: Option<NaiveDate>,
        /// How often the command was requeued.
        #[serde(default, rename = "trail")]
        attempts: Attempts,
    },
    /// Compare the snapshots with GitHub, and repair the differences.
    Reconcile {
        /// The organizations; empty for all of the deployment.
        #[serde(default)]
        organizations: Vec<String>,
        /// How often the command was requeued.
        #[serde(default, rename = "trail")]
        attempts: Attempts,
    },
    /// Read one repository.
    Work {
        /// The organization's login.
        org: String,
        /// The repository to read.
        repo: WorkItem,
        /// The first day to read, UTC, if the plan had one.
        #[serde(default)]
        since: Option<NaiveDate>,
        /// How often the command was requeued.
        #[serde(default, rename = "trail")]
        attempts: Attempts,
    },
    /// Read one repository that webhooks marked, and clear its mark.
    ReadMarked {
        /// The organization's login.
        org: String,
        /// GitHub's id of the repository.
        repo_id: i64,
        /// How often the command was requeued.
        #[serde(default, rename = "trail")]
        attempts: Attempts,
    },
}

/// How often a command was requeued, and until when it waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attempts {
    #[serde(rename = "rounds")]
    requeues: u32,
    not_before: Option<DateTime<Utc>>,
}

impl CollectCommand {
    /// Parses a message.
    ///
    /// # Errors
    /// If the message is not a command. The text says why and what a command looks like.
    pub fn parse(body: &str) -> Result<Self, String> {
        serde_json::from_str(body).map_err(|error| {
            format!(
                "invalid command ({error}): expected {{\"action\": \"plan\"}}, optionally with \"organizations\": \
                 [\"login\"] and \"since\": \"YYYY-MM-DD\", or {{\"action\": \"reconcile\"}}"
            )
        })
    }

    /// Returns the command that reads a marked repository.
    pub fn read_marked(org: &str, repo_id: i64) -> Self {
        CollectCommand::ReadMarked { org: org.to_owned(), repo_id, attempts: Attempts::default() }
    }

    fn attempts(&mut self) -> &mut Attempts {
        match self {
            CollectCommand::Plan { attempts, .. }
            | CollectCommand::Reconcile { attempts, .. }
            | CollectCommand::Work { attempts, .. }
            | CollectCommand::ReadMarked { attempts, .. } => attempts,
        }
    }

    /// Returns the same command for other organizations. A command about one repository does not change.
    pub fn for_orgs(mut self, orgs: Vec<String>) -> Self {
        if let CollectCommand::Plan { organizations, .. } | CollectCommand::Reconcile { organizations, .. } =
            &mut self
        {
            *organizations = orgs;
        }
        self
    }

    /// Returns how long the command still has to wait at `now`, UTC. `None` if it can be processed.
    pub fn remaining_delay(&mut self, now: DateTime<Utc>) -> Option<Duration> {
        let until = self.attempts().not_before.filter(|until| *until > now)?;
        (until - now).to_std().ok()
    }

    /// Returns the message that requeues the command, or `None` if it was requeued [`MAX_REQUEUES`] times.
    pub fn requeue(mut self, not_before: Option<DateTime<Utc>>) -> Option<String> {
        let attempts = self.attempts();
        attempts.requeues += 1;
        attempts.not_before = not_before;
        let is_allowed = attempts.requeues <= MAX_REQUEUES;
        is_allowed.then(|| self.to_json())
    }

    /// Returns the command as a message.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a command is valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(organizations: &[&str], since: Option<&str>) -> CollectCommand {
        CollectCommand::Plan {
            organizations: organizations.iter().map(|org| (*org).to_owned()).collect(),
            since: since.map(|day| day.parse().unwrap()),
            attempts: Attempts::default(),
        }
    }

    fn work(requeues: u32) -> CollectCommand {
        CollectCommand::Work {
            org: "a".into(),
            repo: WorkItem { repo: "x".into(), repo_id: 1, node_id: "R_1".into() },
            since: None,
            attempts: Attempts { requeues, not_before: None },
        }
    }

    #[test]
    fn optional_fields_can_be_left_out() {
        assert_eq!(CollectCommand::parse("{\"action\":\"plan\"}").unwrap(), plan(&[], None));
        let reconcile =
            CollectCommand::Reconcile { organizations: Vec::new(), attempts: Attempts::default() };
        assert_eq!(CollectCommand::parse("{\"action\":\"reconcile\"}").unwrap(), reconcile);
        let text = "{\"action\":\"plan\",\"organizations\":[\"a\"],\"since\":\"2020-01-01\"}";
        assert_eq!(CollectCommand::parse(text).unwrap(), plan(&["a"], Some("2020-01-01")));
    }

    #[test]
    fn an_invalid_command_is_rejected_with_an_example() {
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "{\"action\":\"sweep\"}",
            "{\"action\":\"plan\",\"organisations\":[\"a\"]}",
            "{\"action\":\"plan\",\"since\":\"yesterday\"}",
            "{\"action\":\"work\",\"org\":\"a\"}",
        ] {
            let reason = CollectCommand::parse(body).unwrap_err();
            assert!(reason.contains("\"action\": \"plan\""), "{body}: {reason}");
        }
    }

    #[test]
    fn requeues_stop_after_the_limit() {
        let mut command = work(MAX_REQUEUES - 1);
        let until = DateTime::from_timestamp(100, 0);
        let mut requeued = CollectCommand::parse(&command.clone().requeue(until).unwrap()).unwrap();
        let delay_at = |command: &mut CollectCommand, second| {
            command.remaining_delay(DateTime::from_timestamp(second, 0).unwrap())
        };
        assert_eq!(delay_at(&mut requeued, 40), Some(Duration::from_secs(60)));
        assert_eq!(delay_at(&mut requeued, 100), None);
        assert_eq!(requeued.requeue(None), None);
        assert_eq!(delay_at(&mut command, 0), None);
    }

    /// Schedules send these messages, and they wait in queues while a new version is deployed.
    #[test]
    fn the_form_of_messages_never_changes() {
        let attempts = Attempts { requeues: 2, not_before: DateTime::from_timestamp(1_700_000_000, 0) };
        let since = "2024-02-29".parse().ok();
        let repo = WorkItem { repo: "site".into(), repo_id: 7, node_id: "R_7".into() };
        let commands = [
            CollectCommand::Plan { organizations: vec!["acme".into()], since, attempts: attempts.clone() },
            CollectCommand::Reconcile { organizations: vec!["acme".into()], attempts: attempts.clone() },
            CollectCommand::Work { org: "acme".into(), repo, since, attempts },
            CollectCommand::parse("{\"action\":\"reconcile\"}").unwrap(),
            CollectCommand::read_marked("acme", 7),
        ];
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("collect_messages", commands.map(|command| command.to_json()).join("\n"));
        });
    }
}
