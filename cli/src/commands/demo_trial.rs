//! What a stranger can try with the demo: deliver an issue as GitHub does, and claim it as a worker.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use gam_access::TokenSecret;
use gam_http::{WEBHOOK_PATH, WebhookSecrets};
use serde_json::json;

use crate::sample::{FIRST_REPO_ID, FIRST_REPO_NAME, ORG};
use crate::webhooks::Webhooks;

/// The number of the issue.
const ISSUE: i64 = 1;
/// The label that makes it a task.
const LABEL: &str = "agent-ready";

/// An issue, what signs its deliveries, and the token of a worker. They are as old as this process.
pub(super) struct DemoTrial {
    /// Lets a worker claim the issue. It is no token of the store, so reading stays open without a token.
    pub(super) worker_token: TokenSecret,
    secrets: WebhookSecrets,
    opened_at: DateTime<Utc>,
}

impl DemoTrial {
    pub(super) fn new(secrets: WebhookSecrets, now: DateTime<Utc>) -> Self {
        DemoTrial { worker_token: TokenSecret::random(), secrets, opened_at: now.trunc_subsecs(0) }
    }

    /// Delivers that the issue was opened, without the label.
    pub(super) async fn open_issue(&self, webhooks: &Webhooks) -> anyhow::Result<()> {
        webhooks.deliver("issues", &self.guid("opened"), self.body("opened").as_bytes()).await
    }

    /// Returns the commands to try, for a server at an address.
    pub(super) fn lines(&self, address: &str) -> Vec<String> {
        let body = self.body("labeled");
        let (signature, guid) = (self.secrets.sign(body.as_bytes()), self.guid("labeled"));
        vec![
            "Webhooks and tasks: label an issue, as GitHub delivers it, and a second later claim it as a worker:"
                .to_owned(),
            format!(
                "  curl -H 'Content-Type: application/json' -H 'X-GitHub-Event: issues' -H 'X-GitHub-Delivery: {guid}' \
                 -H 'X-Hub-Signature-256: {signature}' -d '{body}' http://{address}{WEBHOOK_PATH}"
            ),
            format!(
                "  curl -H 'Content-Type: application/json' -H 'Authorization: Bearer {}' -d '{{\"worker\":\"me\"}}' \
                 http://{address}/api/v1/request-task",
                self.worker_token.expose()
            ),
            format!("  http://{address}/orgs/{ORG}/tasks shows it; the token is valid until the demo stops"),
        ]
    }

    fn guid(&self, action: &str) -> String {
        format!("demo-{action}-{}", self.opened_at.timestamp())
    }

    /// Returns the payload of the issue after an action. It has no single quote, so that shells take it as it is.
    fn body(&self, action: &str) -> String {
        let user = |id: i64, login: &str| json!({ "id": id, "login": login, "type": "User" });
        let label = json!({ "id": 1, "name": LABEL, "color": "ededed" });
        let is_labeled = action == "labeled";
        let updated_at = self.opened_at + TimeDelta::seconds(i64::from(is_labeled));
        let mut body = json!({
            "action": action,
            "issue": {
                "number": ISSUE, "node_id": "I_demo", "title": "The page shows the wrong day",
                "body": "In Tokyo it is tomorrow already.", "state": "open", "locked": false,
                "labels": if is_labeled { vec![label.clone()] } else { Vec::new() },
                "assignees": [], "user": user(1, "ada-lind"),
                "created_at": self.opened_at, "updated_at": updated_at,
            },
            "repository": {
                "id": FIRST_REPO_ID, "node_id": "R_demo", "name": FIRST_REPO_NAME, "owner": { "login": ORG },
            },
            "sender": user(2, "maintainer"),
        });
        if is_labeled {
            body["label"] = label;
        }
        body.to_string()
    }
}
