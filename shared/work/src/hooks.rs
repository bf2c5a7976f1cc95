//! What the store knows of the webhooks of an organization, and what is wrong with them.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use gam_store::{
    Expectation, KeyPart, Record, RecordCommit, RecordKey, RecordKind, RecordRange, RecordStore, Result,
};
use serde::{Deserialize, Serialize};

use crate::sweep::{DeliveryAttempt, HookInfo};

/// The events that have an effect.
pub const USED_EVENTS: [&str; 10] = [
    "deployment_status",
    "issue_dependencies",
    "issues",
    "label",
    "pull_request",
    "pull_request_review",
    "push",
    "release",
    "repository",
    "sub_issues",
];

/// How long a webhook is remembered that GitHub lists no more.
const HOOK_LIFETIME: TimeDelta = TimeDelta::days(30);
/// The most gaps that are remembered of a webhook.
const MAX_GAPS: usize = 20;
/// The most repositories that are listed in a gap.
const MAX_GAP_REPOS: usize = 20;
/// Number of webhooks that one read returns.
const PAGE_HOOKS: usize = 500;

/// The last attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDelivery {
    /// When it was made, UTC.
    pub at: DateTime<Utc>,
    /// The event.
    pub event: String,
    /// Status of the answer. 0 if there was none.
    pub status_code: i64,
    /// `OK`, or what failed.
    pub status: String,
}

/// Events that did not reach this service. What they were about has been read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookGap {
    /// When the first of them was tried, UTC.
    pub from: DateTime<Utc>,
    /// When the last of them was tried, UTC.
    pub to: DateTime<Utc>,
    /// Number of the events.
    pub missed: usize,
    /// Names of the repositories that they were about, up to 20.
    pub repos: Vec<String>,
}

/// What is stored of a webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// Identifies it: see [`HookInfo::id`]. Empty in records of older versions, which the next sweep replaces.
    #[serde(default)]
    pub id: String,
    /// Its settings on GitHub. `None` if GitHub was not asked yet.
    #[serde(default)]
    pub info: Option<HookInfo>,
    /// Up to when its deliveries were compared, UTC, by this service's clock. `None` if they never were.
    #[serde(default)]
    pub checked_until: Option<DateTime<Utc>>,
    /// The last attempt that GitHub lists. `None` if there was none in the last three days.
    #[serde(default)]
    pub last: Option<LastDelivery>,
    /// What did not arrive, the oldest first.
    #[serde(default)]
    pub gaps: Vec<HookGap>,
    /// A comparison that has not reached the end of the list yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walk: Option<HookWalk>,
}

/// A comparison of the deliveries of a webhook, from the last one backwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookWalk {
    /// When it began, UTC. What is delivered later is left to the next comparison.
    pub started_at: DateTime<Utc>,
    /// Where the next page of GitHub's list begins. `None` for the first page.
    pub cursor: Option<String>,
    /// What did not arrive, of the pages so far.
    pub gap: Option<HookGap>,
}

impl HookWalk {
    pub(crate) fn new(started_at: DateTime<Utc>) -> Self {
        HookWalk { started_at, cursor: None, gap: None }
    }

    /// Adds what did not arrive of a page.
    pub(crate) fn add_gap(&mut self, gap: HookGap) {
        let Some(known) = &mut self.gap else {
            self.gap = Some(gap);
            return;
        };
        (known.from, known.to) = (known.from.min(gap.from), known.to.max(gap.to));
        known.missed += gap.missed;
        for repo in gap.repos {
            if known.repos.len() < MAX_GAP_REPOS && !known.repos.contains(&repo) {
                known.repos.push(repo);
            }
        }
    }
}

impl HookState {
    /// Remembers a gap, and forgets the oldest one of many.
    pub(crate) fn add_gap(&mut self, mut gap: HookGap) {
        gap.repos.truncate(MAX_GAP_REPOS);
        self.gaps.push(gap);
        let surplus = self.gaps.len().saturating_sub(MAX_GAPS);
        self.gaps.drain(..surplus);
    }

    /// Returns what is wrong with the webhook, each with what to do.
    pub fn problems(&self) -> Vec<String> {
        let settings = self.info.iter().flat_map(setting_problems);
        settings.chain(refusal_problem(self.last.as_ref().map(|last| last.status_code))).collect()
    }
}

impl LastDelivery {
    /// Returns the last of some attempts; `None` if there are none.
    pub(crate) fn of(attempts: &[DeliveryAttempt]) -> Option<Self> {
        let last = attempts.iter().max_by_key(|attempt| attempt.delivered_at)?;
        Some(LastDelivery {
            at: last.delivered_at,
            event: last.event.clone(),
            status_code: last.status_code,
            status: last.status.clone(),
        })
    }
}

/// Returns what is wrong with the settings of a webhook, each with what to do.
pub fn setting_problems(hook: &HookInfo) -> Vec<String> {
    let missing: Vec<&str> = USED_EVENTS
        .into_iter()
        .filter(|event| !hook.events.is_empty() && !hook.events.iter().any(|it| it == event || it == "*"))
        .collect();
    let is_http = !hook.url.starts_with("https://");
    let checks = [
        (!hook.is_active, "it is inactive: activate it".to_owned()),
        (
            hook.content_type != "json",
            "it delivers forms: set its content type to application/json".to_owned(),
        ),
        (hook.has_secret == Some(false), "it has no secret: set it to GITHUB_WEBHOOK_SECRET".to_owned()),
        (is_http, "it delivers over plain http: put a proxy with TLS in front".to_owned()),
        (!missing.is_empty(), format!("it is not subscribed to {}: add them", missing.join(", "))),
    ];
    checks.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, text)| text).collect()
}

/// Returns what is wrong if the last delivery had this answer. The last one counts: a secret that was exchanged is right
/// again.
pub fn refusal_problem(status_code: Option<i64>) -> Option<String> {
    (status_code == Some(401)).then(|| {
        "its last delivery was refused: its secret is not GITHUB_WEBHOOK_SECRET of the server".to_owned()
    })
}

/// Returns the id of a webhook of a repository: see [`HookInfo::id`].
pub fn repo_hook_id(login: &str, repo: &str, id: i64) -> String {
    format!("repo/{login}/{repo}/{id}").to_lowercase()
}

/// Returns the name of the repository whose webhook has this id, in lower case; `None` if it belongs to an app or an
/// organization.
pub fn repo_of_hook(id: &str) -> Option<&str> {
    id.strip_prefix("repo/")?.split('/').nth(1)
}

fn hook_key(org: &str, id: &str) -> Result<RecordKey> {
    RecordKey::new(Some(org), RecordKind::Hook, &[KeyPart::Text(id)])
}

fn parse(record: &Record) -> HookState {
    // A damaged record costs one long sweep.
    serde_json::from_str(&record.body).unwrap_or_default()
}

/// Reads what is stored of a webhook. `None` if nothing is.
///
/// # Errors
/// If the store fails.
pub async fn load_hook(
    records: &dyn RecordStore,
    org: &str,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Option<HookState>> {
    Ok(records.get(&hook_key(org, id)?, now).await?.as_ref().map(parse))
}

/// Adds a write of what is known of a webhook.
///
/// # Errors
/// If the id is too long.
pub fn put_hook(
    commit: RecordCommit,
    org: &str,
    state: &HookState,
    expectation: Expectation,
    now: DateTime<Utc>,
) -> Result<RecordCommit> {
    let body = serde_json::to_string(state).expect("a state has only text keys");
    Ok(commit.put_until(hook_key(org, &state.id)?, body, now + HOOK_LIFETIME, expectation))
}

/// Lists the known webhooks of an organization, by storage key, in order of ids.
///
/// # Errors
/// If the store fails.
pub async fn list_hooks(records: &dyn RecordStore, org: &str, now: DateTime<Utc>) -> Result<Vec<HookState>> {
    let mut range = RecordRange::new(Some(org), RecordKind::Hook, &[])?;
    let mut hooks = Vec::new();
    loop {
        let page = records.range(&range, PAGE_HOOKS, now).await?;
        hooks.extend(page.iter().map(|(_, record)| parse(record)).filter(|hook| !hook.id.is_empty()));
        match page.last() {
            Some((last, _)) if page.len() == PAGE_HOOKS => range = range.after(last),
            _ => return Ok(hooks),
        }
    }
}

/// Returns the names of repositories whose webhooks have delivered, in lower case.
pub(crate) fn repos_of_hooks(hooks: &[HookState]) -> BTreeSet<String> {
    hooks.iter().filter_map(|hook| repo_of_hook(&hook.id)).map(str::to_owned).collect()
}
