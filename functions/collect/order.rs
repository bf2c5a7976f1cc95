//! What the function is told to do.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use gam_collect::WorkItem;
use serde::{Deserialize, Serialize};

/// How often an order is put back before it is given up: a repository of any size is read in far fewer
/// rounds, and a message must not go round for ever.
const ROUNDS: u32 = 1_000;

/// An order, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// Find what there is to read, and hand it out.
    Plan {
        /// The organizations; all of the deployment's where none is named.
        #[serde(default)]
        organizations: Vec<String>,
        /// From which day on, UTC, where it is not the deployment's.
        #[serde(default)]
        since: Option<NaiveDate>,
        /// How it has come here.
        #[serde(default)]
        trail: Trail,
    },
    /// Hold what was collected against GitHub, and repair what differs.
    Reconcile {
        /// The organizations; all of the deployment's where none is named.
        #[serde(default)]
        organizations: Vec<String>,
        /// How it has come here.
        #[serde(default)]
        trail: Trail,
    },
    /// Read one repository.
    Work {
        /// The organization.
        org: String,
        /// The repository.
        repo: WorkItem,
        /// From which day on, UTC, where it was said.
        #[serde(default)]
        since: Option<NaiveDate>,
        /// How it has come here.
        #[serde(default)]
        trail: Trail,
    },
}

/// How often an order was put back, and until when it is to wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Trail {
    rounds: u32,
    not_before: Option<DateTime<Utc>>,
}

impl Order {
    /// Reads a message.
    ///
    /// # Errors
    /// Where it is no order, saying why and what an order is.
    pub(crate) fn parse(body: &str) -> Result<Self, String> {
        serde_json::from_str(body).map_err(|error| {
            format!(
                "this is no order ({error}): send {{\"action\": \"plan\"}}, where needed with \"organizations\": \
                 [\"login\"] and \"since\": \"YYYY-MM-DD\", or {{\"action\": \"reconcile\"}}"
            )
        })
    }

    fn trail(&mut self) -> &mut Trail {
        match self {
            Order::Plan { trail, .. } | Order::Reconcile { trail, .. } | Order::Work { trail, .. } => trail,
        }
    }

    /// The same order for those organizations; one to read a repository is for that alone.
    pub(crate) fn for_orgs(mut self, left: Vec<String>) -> Self {
        if let Order::Plan { organizations, .. } | Order::Reconcile { organizations, .. } = &mut self {
            *organizations = left;
        }
        self
    }

    /// How long the order is to wait, seen from now, UTC.
    pub(crate) fn waits(&mut self, now: DateTime<Utc>) -> Option<Duration> {
        let until = self.trail().not_before.filter(|until| *until > now)?;
        (until - now).to_std().ok()
    }

    /// The order as it is put back; `None` where that was done often enough.
    pub(crate) fn again(mut self, not_before: Option<DateTime<Utc>>) -> Option<String> {
        let trail = self.trail();
        trail.rounds += 1;
        trail.not_before = not_before;
        let goes_on = trail.rounds <= ROUNDS;
        goes_on.then(|| self.to_json())
    }

    /// The order as text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an order is JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(organizations: &[&str], since: Option<&str>) -> Order {
        Order::Plan {
            organizations: organizations.iter().map(|org| (*org).to_owned()).collect(),
            since: since.map(|day| day.parse().unwrap()),
            trail: Trail::default(),
        }
    }

    #[test]
    fn a_schedule_needs_to_say_little() {
        assert_eq!(Order::parse("{\"action\":\"plan\"}").unwrap(), plan(&[], None));
        let reconcile = Order::Reconcile { organizations: Vec::new(), trail: Trail::default() };
        assert_eq!(Order::parse("{\"action\":\"reconcile\"}").unwrap(), reconcile);
        let text = "{\"action\":\"plan\",\"organizations\":[\"a\"],\"since\":\"2020-01-01\"}";
        assert_eq!(Order::parse(text).unwrap(), plan(&["a"], Some("2020-01-01")));
    }

    #[test]
    fn what_is_no_order_is_refused_with_the_mend() {
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
            let why = Order::parse(body).unwrap_err();
            assert!(why.contains("\"action\": \"plan\""), "{body}: {why}");
        }
    }

    #[test]
    fn an_order_is_put_back_a_bounded_number_of_times() {
        let repo = WorkItem { repo: "x".into(), repo_id: 1, node_id: "R_1".into() };
        let mut order = Order::Work {
            org: "a".into(),
            repo,
            since: None,
            trail: Trail { rounds: ROUNDS - 1, not_before: None },
        };
        let until = DateTime::from_timestamp(100, 0);
        let mut put_back = Order::parse(&order.clone().again(until).unwrap()).unwrap();
        assert_eq!(put_back.waits(DateTime::from_timestamp(40, 0).unwrap()), Some(Duration::from_secs(60)));
        assert_eq!(put_back.waits(DateTime::from_timestamp(100, 0).unwrap()), None);
        assert_eq!(put_back.again(None), None);
        assert_eq!(order.waits(DateTime::UNIX_EPOCH), None);
    }

    /// Schedules send these messages, and they wait in queues while a new version is deployed.
    #[test]
    fn the_form_of_messages_never_changes() {
        let trail = Trail { rounds: 2, not_before: DateTime::from_timestamp(1_700_000_000, 0) };
        let since = "2024-02-29".parse().ok();
        let repo = WorkItem { repo: "site".into(), repo_id: 7, node_id: "R_7".into() };
        let orders = [
            Order::Plan { organizations: vec!["acme".into()], since, trail: trail.clone() },
            Order::Reconcile { organizations: vec!["acme".into()], trail: trail.clone() },
            Order::Work { org: "acme".into(), repo, since, trail },
        ];
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("collect_messages", orders.map(|order| order.to_json()).join("\n"));
        });
    }
}
