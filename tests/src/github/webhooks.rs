//! The webhook of the double's organization: what it delivers, signed, and the list of its deliveries.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::objects::{repo_node_id, timestamp};
use super::rest;
use super::world::{Removal, Repo, Thread, ThreadChange, Time, World};

/// The secret with which the double signs.
pub const WEBHOOK_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// An event that a webhook delivers.
#[derive(Debug, Clone)]
pub struct WebhookEvent {
    /// Its GUID.
    pub guid: String,
    /// Its name: `issues`, `push` and so on.
    pub event: &'static str,
    /// Its action, if it has one.
    pub action: Option<&'static str>,
    /// GitHub's id of the repository.
    pub repo_id: i64,
    /// The payload.
    pub body: String,
}

/// What happens to an event on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transit {
    /// It arrives.
    Delivered,
    /// It does not arrive, and GitHub lists the failure.
    Dropped,
    /// It arrives with the signature of another secret.
    WrongSignature,
}

/// Returns what the webhook of the organization delivers of the changes from one time to another, in order of time.
pub fn webhook_events(world: &World, from: Time, to: Time) -> Vec<WebhookEvent> {
    let mut events = Vec::new();
    for repo in &world.repos {
        let mut add = |when: Time, event, action: Option<&'static str>, fields: Value| {
            let is_late = repo.deleted_at.is_some_and(|deleted_at| deleted_at < when);
            if when <= from || when > to || when < repo.names[0].0 || is_late {
                return;
            }
            let mut body = json!({ "repository": repository(world, repo, when), "organization": { "login": world.org } });
            body["action"] = json!(action);
            for (name, value) in fields.as_object().into_iter().flatten() {
                body[name] = value.clone();
            }
            let guid = format!("{}-{}-{}-{}", repo.id, event, when.timestamp(), events.len());
            let event = WebhookEvent { guid, event, action, repo_id: repo.id, body: body.to_string() };
            events.push((when, event));
        };
        add(repo.names[0].0, "repository", Some("created"), json!({}));
        for names in repo.names.windows(2) {
            let changes = json!({ "repository": { "name": { "from": names[0].1 } } });
            add(names[1].0, "repository", Some("renamed"), json!({ "changes": changes }));
        }
        if let Some(when) = repo.deleted_at {
            add(when, "repository", Some("deleted"), json!({}));
        }
        for issue in &repo.issues {
            if let Some((when, removal)) = issue.removal {
                let mut fields = json!({ "issue": rest::issue(world, repo, issue, when) });
                let action = match removal {
                    Removal::Deleted => "deleted",
                    Removal::Transferred { repo_id, number } => {
                        fields["changes"] =
                            json!({ "new_repository": { "id": repo_id }, "new_issue": { "number": number } });
                        "transferred"
                    }
                };
                add(when, "issues", Some(action), fields);
            }
            let state = |when| json!({ "issue": rest::issue(world, repo, issue, when) });
            add(issue.created_at, "issues", Some("opened"), state(issue.created_at));
            for (when, change) in &issue.changes {
                add(*when, "issues", Some(action_of(*change)), state(*when));
            }
        }
        for pull in &repo.pulls {
            let fields = json!({ "pull_request": { "number": pull.thread.number } });
            add(pull.thread.created_at, "pull_request", Some("opened"), fields.clone());
            for (when, change) in &pull.thread.changes {
                add(*when, "pull_request", Some(action_of(*change)), fields.clone());
            }
            for review in &pull.reviews {
                if let Some(when) = review.submitted_at {
                    add(when, "pull_request_review", Some("submitted"), fields.clone());
                }
            }
        }
        for (when, tip) in &repo.tips {
            add(*when, "push", None, json!({ "ref": "refs/heads/main", "after": tip }));
        }
        for release in &repo.releases {
            add(release.created_at, "release", Some("created"), json!({}));
            for (when, _) in &release.changes {
                add(*when, "release", Some("edited"), json!({}));
            }
        }
        for deployment in &repo.deployments {
            add(deployment.created_at, "deployment", Some("created"), json!({}));
            for (when, _) in &deployment.statuses {
                add(*when, "deployment_status", Some("created"), json!({}));
            }
        }
    }
    events.sort_by(|a, b| (a.0, &a.1.guid).cmp(&(b.0, &b.1.guid)));
    events.into_iter().map(|(_, event)| event).collect()
}

fn action_of(change: ThreadChange) -> &'static str {
    match change {
        ThreadChange::Closed { .. } | ThreadChange::Merged => "closed",
        ThreadChange::Reopened => "reopened",
        ThreadChange::Edited => "edited",
    }
}

fn repository(world: &World, repo: &Repo, when: Time) -> Value {
    json!({
        "id": repo.id, "node_id": repo_node_id(repo), "name": repo.name(when), "default_branch": "main",
        "owner": { "login": world.org },
    })
}

/// Returns the header `X-Hub-Signature-256` of a body: HMAC-SHA256 (RFC 2104) with the secret.
pub fn webhook_signature(secret: &str, body: &[u8]) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let hash = |pad: u8, text: &[u8]| {
        let padded: Vec<u8> = key.iter().map(|byte| byte ^ pad).chain(text.iter().copied()).collect();
        Sha256::digest(padded)
    };
    format!("sha256={}", hex::encode(hash(0x5c, &hash(0x36, body))))
}

/// Delivers an event to a server at an address. Returns the status of its answer.
pub fn deliver(address: &str, event: &WebhookEvent, transit: Transit) -> u16 {
    deliver_to_host(address, address, event, transit)
}

/// Delivers an event to one of the hosts at an address. Returns the status of its answer.
pub fn deliver_to_host(address: &str, host: &str, event: &WebhookEvent, transit: Transit) -> u16 {
    let secret = if transit == Transit::WrongSignature { "another secret" } else { WEBHOOK_SECRET };
    let signature = webhook_signature(secret, event.body.as_bytes());
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let (guid, name, length) = (&event.guid, event.event, event.body.len());
    write!(
        stream,
        "POST /api/v1/webhook/github HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nx-github-event: {name}\r\n\
         x-github-delivery: {guid}\r\nx-hub-signature-256: {signature}\r\n\r\n{}",
        event.body
    )
    .expect("the delivery is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer is complete");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}

/// Returns the open issues of the organization: repository and number.
pub fn open_issues(world: &World, now: Time) -> Vec<(String, i64)> {
    let repos = world.repos.iter().filter(|repo| repo.exists(now) && !repo.is_fork && !repo.is_blocked);
    let mut open: Vec<(String, i64)> = repos
        .flat_map(|repo| {
            let is_open = |issue: &&Thread| issue.exists(now) && issue.closing(now).is_none();
            repo.issues.iter().filter(is_open).map(|issue| (repo.name(now).to_owned(), issue.number))
        })
        .collect();
    open.sort();
    open
}

/// Returns an event about the app's installation in the organization: `suspend` or `unsuspend`.
pub fn installation_event(world: &World, action: &'static str) -> WebhookEvent {
    let body = json!({ "action": action, "installation": { "id": 1, "account": { "login": world.org } } });
    let guid = format!("installation-{action}");
    WebhookEvent { guid, event: "installation", action: Some(action), repo_id: 0, body: body.to_string() }
}

/// Returns the event that a maintainer set a label of an issue that it has.
pub fn labeled_event(world: &World, repo: &Repo, issue: &Thread, when: Time) -> WebhookEvent {
    let issue = rest::issue(world, repo, issue, when);
    let body = json!({
        "action": "labeled", "issue": issue, "label": issue["labels"][0],
        "repository": repository(world, repo, when), "organization": { "login": world.org },
        "sender": { "id": 9_000_001, "login": "maintainer", "type": "User" },
    });
    let guid = format!("labeled-{}-{}", repo.id, issue["number"]);
    let (event, action) = ("issues", Some("labeled"));
    WebhookEvent { guid, event, action, repo_id: repo.id, body: body.to_string() }
}

/// Doubles some events, swaps neighbours, drops and spoils others.
pub fn disturbed(events: Vec<WebhookEvent>) -> Vec<(WebhookEvent, Transit)> {
    let mut disturbed = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let transit = match index % 7 {
            2 => Transit::Dropped,
            5 => Transit::WrongSignature,
            _ => Transit::Delivered,
        };
        if index % 4 == 0 {
            disturbed.push((event.clone(), transit));
        }
        disturbed.push((event, transit));
    }
    for pair in disturbed.chunks_mut(2) {
        pair.reverse();
    }
    disturbed
}

/// The list of deliveries that GitHub shows.
#[derive(Debug, Default)]
pub(super) struct DeliveryList {
    /// The address of the webhook. `None` if there is no webhook.
    pub(super) url: Option<String>,
    /// The name of the repository that the webhook belongs to. `None` if it belongs to the organization.
    pub(super) repo: Option<String>,
    /// Each attempt with the status of the answer, the last one at the end.
    pub(super) attempts: Vec<(WebhookEvent, u16, Time)>,
}

impl DeliveryList {
    /// Answers a request below `/orgs/{org}/hooks`, or below the same path of a repository.
    pub(super) fn answer(&self, repo: Option<&str>, path: &[&str]) -> Option<Value> {
        let url = self.url.as_ref()?;
        if repo != self.repo.as_deref() {
            return path.is_empty().then(|| json!([]));
        }
        match path {
            [] => Some(json!([{
                "id": 1, "name": "web", "active": true, "events": ["*"],
                "config": { "url": url, "content_type": "json", "secret": "********" },
            }])),
            ["1", "deliveries"] => {
                let newest_first = self.attempts.iter().enumerate().rev();
                let listed = newest_first.take(100).map(|(id, (event, status, at))| {
                    json!({
                        "id": id + 1, "guid": event.guid, "delivered_at": timestamp(*at), "redelivery": false,
                        "status": if *status == 202 { "OK" } else { "failed to connect to host" },
                        "status_code": status, "event": event.event, "action": event.action,
                        "repository_id": event.repo_id,
                    })
                });
                Some(listed.collect())
            }
            _ => None,
        }
    }
}
