//! The commands that schedules send to the function.

use gam_work::WebhookOrder;
use serde::Deserialize;

/// A message of the function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WorkMessage {
    /// The order of a webhook, from the queue.
    Order(Box<WebhookOrder>),
    /// What a schedule sends.
    Command(WorkCommand),
}

/// What a schedule sends, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum WorkCommand {
    /// Carry out what earlier orders left in the store, and send the collector an order for each marked repository that
    /// has none.
    Sweep {},
    /// Look for missed deliveries in GitHub's list.
    SweepDeliveries {},
    /// Compare the cache of issues with GitHub, and repair it.
    ReconcileIssues {},
}

impl WorkMessage {
    /// Parses a message.
    ///
    /// # Errors
    /// If the message is neither an order nor a command. The text says what a command looks like.
    pub(crate) fn parse(body: &str) -> Result<Self, String> {
        if let Ok(command) = serde_json::from_str(body) {
            return Ok(WorkMessage::Command(command));
        }
        match serde_json::from_str(body) {
            Ok(order) => Ok(WorkMessage::Order(Box::new(order))),
            Err(error) => Err(format!(
                "neither the order of a webhook nor a command ({error}): expected {{\"action\": \"sweep\"}}, \
                 \"sweep_deliveries\" or \"reconcile_issues\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use gam_work::{Effect, OrderRepo};

    use super::*;

    #[test]
    fn a_message_is_an_order_or_a_command() {
        for (body, command) in [
            ("{\"action\":\"sweep\"}", WorkCommand::Sweep {}),
            ("{\"action\":\"sweep_deliveries\"}", WorkCommand::SweepDeliveries {}),
            ("{\"action\":\"reconcile_issues\"}", WorkCommand::ReconcileIssues {}),
        ] {
            assert_eq!(WorkMessage::parse(body), Ok(WorkMessage::Command(command)));
        }
        let repo = OrderRepo { id: 1, node_id: "R_1".to_owned(), name: "site".to_owned() };
        let order = WebhookOrder::job("acme", repo, Effect::None, DateTime::UNIX_EPOCH);
        assert_eq!(WorkMessage::parse(&order.to_json()), Ok(WorkMessage::Order(Box::new(order))));
        for body in ["", "{}", "[]", "{\"action\":\"plan\"}", "{\"action\":\"sweep\",\"orgs\":[]}"] {
            let reason = WorkMessage::parse(body).unwrap_err();
            assert!(reason.contains("\"action\": \"sweep\""), "{body}: {reason}");
        }
    }
}
