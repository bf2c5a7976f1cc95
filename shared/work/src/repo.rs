//! What the cache of issues knows of a repository, and of an organization.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use gam_model::TaskRules;
use gam_model::issue::IssueDetails;
use gam_store::{
    Error as StoreError, Expectation, KeyPart, Record, RecordCommit, RecordKey, RecordKind, RecordRange,
    RecordStore, Result,
};
use serde::{Deserialize, Serialize};

use crate::order::OrderRepo;

/// How long a change of a label is remembered. GitHub can redeliver what is three days old.
const LABEL_CHANGE_LIFETIME: TimeDelta = TimeDelta::days(8);
/// The number under which the state of the organization itself is stored. No repository has it.
const ORG_STATE_ID: i64 = 0;
const PAGE_REPOS: usize = 500;

/// A label that was renamed or deleted. Deliveries of before may still arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelChange {
    /// The new name. `None` if the label was deleted.
    pub name: Option<String>,
    /// When the change was received, UTC.
    pub at: DateTime<Utc>,
}

/// What the cache knows of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueRepo {
    /// The repository, with its latest known name.
    pub repo: OrderRepo,
    /// Whether it was deleted or went to another owner.
    pub is_gone: bool,
    /// Labels that changed lately, by id.
    pub label_changes: BTreeMap<i64, LabelChange>,
    /// Up to which change, by GitHub's clock, the list of issues was read, UTC. `None` if it never was.
    pub read_until: Option<DateTime<Utc>>,
    /// Number of issues, open and closed, when the list was read.
    pub issues: i64,
}

impl IssueRepo {
    /// Creates the state of a repository of which nothing was read.
    pub fn new(repo: OrderRepo) -> Self {
        IssueRepo { repo, is_gone: false, label_changes: BTreeMap::new(), read_until: None, issues: 0 }
    }

    /// Applies changes of labels to a state of an issue that is older than they are.
    pub fn apply_label_changes(&self, details: &mut IssueDetails) {
        let updated_at = details.updated_at;
        let change_of = |id: i64| self.label_changes.get(&id).filter(|change| updated_at <= change.at);
        details.labels.retain(|label| change_of(label.id).is_none_or(|change| change.name.is_some()));
        for label in &mut details.labels {
            if let Some(name) = change_of(label.id).and_then(|change| change.name.as_ref()) {
                label.name.clone_from(name);
            }
        }
    }

    /// Remembers a change of a label, and forgets old ones.
    pub fn add_label_change(&mut self, label_id: i64, change: LabelChange, now: DateTime<Utc>) {
        let known = self.label_changes.get(&label_id);
        if known.is_none_or(|known| known.at <= change.at) {
            self.label_changes.insert(label_id, change);
        }
        self.label_changes.retain(|_, change| change.at + LABEL_CHANGE_LIFETIME > now);
    }
}

/// What the cache knows of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueOrg {
    /// Whether GitHub suspended the app's installation. Then the cache is no longer current, and no issue must be
    /// handed out.
    #[serde(default)]
    pub is_suspended: bool,
    /// When the cache was last compared with GitHub, UTC, by this service's clock. `None` if it never was.
    #[serde(default)]
    pub checked_at: Option<DateTime<Utc>>,
    /// The rules about tasks. `None` until the organization configures some: then the default ones apply.
    #[serde(default)]
    pub tasks: Option<StoredTaskRules>,
}

/// The rules about tasks of an organization's configuration, as the store has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTaskRules {
    /// The rules.
    pub rules: TaskRules,
    /// The revision of the configuration that they are from.
    pub revision: u32,
    /// Since when they apply, UTC, by this service's clock.
    pub since: DateTime<Utc>,
    /// Whether they have been applied to all cached issues.
    pub is_applied: bool,
}

impl IssueOrg {
    /// Returns the rules about tasks that apply.
    pub fn task_rules(&self) -> TaskRules {
        self.tasks.as_ref().map(|stored| stored.rules.clone()).unwrap_or_default()
    }
}

fn key(org: &str, id: i64) -> Result<RecordKey> {
    let id = u64::try_from(id).unwrap_or_default();
    RecordKey::new(Some(org), RecordKind::IssueRepo, &[KeyPart::Number(id)])
}

fn parse<T: serde::de::DeserializeOwned>(record: &Record) -> Result<T> {
    serde_json::from_str(&record.body).map_err(|error| {
        StoreError::unusable("the record of a repository cannot be read: upgrade github-metrics", error)
    })
}

/// Reads the state of a repository, and the expectation for writing it. The state is new if nothing is stored.
///
/// # Errors
/// If the store fails.
pub async fn load_repo(
    records: &dyn RecordStore,
    org: &str,
    repo: &OrderRepo,
    now: DateTime<Utc>,
) -> Result<(IssueRepo, Expectation)> {
    Ok(match records.get(&key(org, repo.id)?, now).await? {
        None => (IssueRepo::new(repo.clone()), Expectation::Absent),
        Some(record) => (parse(&record)?, Expectation::Revision(record.revision)),
    })
}

/// Adds a check to a commit that the state of a repository is still the one that was read.
///
/// # Errors
/// If the organization is invalid.
pub fn check_repo(
    commit: RecordCommit,
    org: &str,
    repo_id: i64,
    expectation: Expectation,
) -> Result<RecordCommit> {
    Ok(commit.check(key(org, repo_id)?, expectation))
}

/// Adds a write of the state of a repository to a commit.
///
/// # Errors
/// If the organization is invalid.
pub fn put_repo(
    commit: RecordCommit,
    org: &str,
    repo: &IssueRepo,
    expectation: Expectation,
) -> Result<RecordCommit> {
    let body = serde_json::to_string(repo).expect("numbers are valid keys");
    Ok(commit.put(key(org, repo.repo.id)?, body, expectation))
}

/// Returns the states of all repositories of an organization, by id.
///
/// # Errors
/// If the store fails.
pub async fn list_repos(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<BTreeMap<i64, IssueRepo>> {
    let mut range = RecordRange::new(Some(org), RecordKind::IssueRepo, &[])?;
    let org_key = key(org, ORG_STATE_ID)?;
    let mut repos = BTreeMap::new();
    loop {
        let page = records.range(&range, PAGE_REPOS, now).await?;
        for (_, record) in page.iter().filter(|(key, _)| *key != org_key) {
            let repo: IssueRepo = parse(record)?;
            repos.insert(repo.repo.id, repo);
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_REPOS => range = range.after(last),
            _ => return Ok(repos),
        }
    }
}

/// Reads what the cache knows of an organization, and the expectation for writing it.
///
/// # Errors
/// If the store fails.
pub async fn load_org(
    records: &dyn RecordStore,
    org: &str,
    now: DateTime<Utc>,
) -> Result<(IssueOrg, Expectation)> {
    Ok(match records.get(&key(org, ORG_STATE_ID)?, now).await? {
        None => (IssueOrg::default(), Expectation::Absent),
        Some(record) => (parse(&record)?, Expectation::Revision(record.revision)),
    })
}

/// Adds a write of what the cache knows of an organization.
///
/// # Errors
/// If the organization is invalid.
pub fn put_org(
    commit: RecordCommit,
    org: &str,
    state: &IssueOrg,
    expectation: Expectation,
) -> Result<RecordCommit> {
    let body = serde_json::to_string(state).expect("a state has only text keys");
    Ok(commit.put(key(org, ORG_STATE_ID)?, body, expectation))
}
