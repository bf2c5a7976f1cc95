//! The rules of an organization about tasks: the table `[tasks]` of its configuration.

use serde::{Deserialize, Serialize};

/// The label that makes an issue a task if nothing else is configured.
pub const DEFAULT_TASK_LABEL: &str = "agent-ready";
const DEFAULT_PRIORITIES: [&str; 4] = ["p0", "p1", "p2", "p3"];
const DEFAULT_MAX_ATTEMPTS: u32 = 3;
const DEFAULT_LEASE_SECONDS: u32 = 600;
/// The most labels of a list.
const MAX_LABELS: usize = 20;
/// The longest name of a label that GitHub allows, in characters.
const MAX_LABEL_CHARS: usize = 50;
const MAX_ATTEMPTS: u32 = 100;
const MIN_LEASE_SECONDS: u32 = 30;
const MAX_LEASE_SECONDS: u32 = 24 * 60 * 60;

/// Which issues are tasks, in which order workers get them, and for how long. Labels are compared without case, as GitHub
/// does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskRules {
    /// Labels of which an issue needs one.
    pub labels_any: Vec<String>,
    /// Labels of which an issue must have none.
    pub labels_none: Vec<String>,
    /// Labels of priorities, the most urgent first. Issues of one priority come in the order of their age.
    pub priorities: Vec<String>,
    /// Number of claims of an issue that may fail or expire.
    pub max_attempts: u32,
    /// How long a claim lasts without a heartbeat, in seconds.
    pub lease_seconds: u32,
}

impl Default for TaskRules {
    fn default() -> Self {
        TaskRules {
            labels_any: vec![DEFAULT_TASK_LABEL.to_owned()],
            labels_none: Vec::new(),
            priorities: DEFAULT_PRIORITIES.map(str::to_owned).to_vec(),
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            lease_seconds: DEFAULT_LEASE_SECONDS,
        }
    }
}

impl TaskRules {
    /// Checks rules that a person wrote.
    ///
    /// # Errors
    /// If a label or a number is invalid. The message says what to write.
    pub(crate) fn validate(&self) -> Result<(), String> {
        let lists = [
            ("labels_any", &self.labels_any),
            ("labels_none", &self.labels_none),
            ("priorities", &self.priorities),
        ];
        for (name, labels) in lists {
            if labels.len() > MAX_LABELS {
                return Err(format!(
                    "{name} in [tasks] has {} labels: write at most {MAX_LABELS}",
                    labels.len()
                ));
            }
            let is_invalid = |label: &&String| {
                label.trim() != label.as_str() || !(1..=MAX_LABEL_CHARS).contains(&label.chars().count())
            };
            if let Some(label) = labels.iter().find(is_invalid) {
                return Err(format!(
                    "invalid label {label:?} in {name} of [tasks]: write the name of a label, of 1 to {MAX_LABEL_CHARS} \
                     characters, without spaces around it"
                ));
            }
            let is_repeated = |(index, label): &(usize, &String)| contains(&labels[..*index], label);
            if let Some((_, label)) = labels.iter().enumerate().find(is_repeated) {
                return Err(format!("the label {label:?} is twice in {name} of [tasks]: write it once"));
            }
        }
        if self.labels_any.is_empty() {
            return Err(format!(
                "labels_any in [tasks] is empty, so no issue would be a task: name a label, or leave it out for \
                 {DEFAULT_TASK_LABEL:?}"
            ));
        }
        if let Some(label) = self.labels_any.iter().find(|label| contains(&self.labels_none, label)) {
            return Err(format!(
                "the label {label:?} is in labels_any and in labels_none of [tasks]: remove it from one of them"
            ));
        }
        if !(1..=MAX_ATTEMPTS).contains(&self.max_attempts) {
            let value = self.max_attempts;
            return Err(format!("invalid max_attempts {value} in [tasks]: expected 1 to {MAX_ATTEMPTS}"));
        }
        if !(MIN_LEASE_SECONDS..=MAX_LEASE_SECONDS).contains(&self.lease_seconds) {
            let value = self.lease_seconds;
            return Err(format!(
                "invalid lease_seconds {value} in [tasks]: expected {MIN_LEASE_SECONDS} to {MAX_LEASE_SECONDS}"
            ));
        }
        Ok(())
    }

    /// Returns the priority of an issue with these labels: the place of the most urgent one in
    /// [`TaskRules::priorities`], from 0. An issue with none of them is in the middle of the list, and less urgent than
    /// its first label.
    pub fn priority<'a>(&self, labels: impl Iterator<Item = &'a str>) -> usize {
        let level =
            |name: &str| self.priorities.iter().position(|label| label.to_lowercase() == name.to_lowercase());
        labels.filter_map(level).min().unwrap_or((self.priorities.len() / 2).max(1))
    }
}

fn contains(labels: &[String], name: &str) -> bool {
    labels.iter().any(|label| label.to_lowercase() == name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_without_a_priority_is_in_the_middle() {
        let rules = |labels: &[&str]| TaskRules {
            priorities: labels.iter().map(|&label| label.to_owned()).collect(),
            ..TaskRules::default()
        };
        let default = TaskRules::default();
        assert_eq!(default.priority(["bug", "P1", "p3"].into_iter()), 1);
        assert_eq!(default.priority(["bug"].into_iter()), 2);
        assert_eq!(rules(&["urgent"]).priority([].into_iter()), 1);
        assert_eq!(rules(&["now", "soon", "later"]).priority(["Now"].into_iter()), 0);
        assert_eq!(rules(&["now", "soon", "later"]).priority([].into_iter()), 1);
    }

    #[test]
    fn invalid_rules_are_refused_with_what_to_write() {
        let changed = |change: fn(&mut TaskRules)| {
            let mut rules = TaskRules::default();
            change(&mut rules);
            rules.validate().unwrap_err()
        };
        for (change, expected) in [
            ((|rules| rules.labels_any.clear()) as fn(&mut TaskRules), "name a label"),
            (|rules| rules.labels_none.push("Agent-Ready".to_owned()), "labels_none of [tasks]: remove it"),
            (|rules| rules.labels_none.push(" x".to_owned()), "without spaces"),
            (|rules| rules.priorities.push("P0".to_owned()), "twice in priorities"),
            (|rules| rules.priorities = vec!["x".to_owned(); 21], "at most 20"),
            (|rules| rules.max_attempts = 0, "expected 1 to 100"),
            (|rules| rules.lease_seconds = 5, "expected 30 to 86400"),
        ] {
            let message = changed(change);
            assert!(message.contains(expected), "{message}");
        }
        TaskRules::default().validate().unwrap();
    }
}
