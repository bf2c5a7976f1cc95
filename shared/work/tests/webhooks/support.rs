//! A small GitHub: issues of one repository with their history, what it delivers, and what it answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::issue::{IssueListPosition, RestIssue};
use gam_model::{Clock, Identity, TaskRules};
use gam_store::{MemoryStore, RecordStore};
use gam_work::conformance::TestClock;
use gam_work::dirty::list_marks;
use gam_work::issue::{issue_range, list_issues};
use gam_work::source::{
    FetchedIssue, IssueAddress, IssueAnswer, IssueListPage, IssueListQuery, LabelEvent, RepoAddress,
    RepoSummary, SourceError,
};
use gam_work::{
    CachedIssue, IssueSource, OrderQueue, OrgScope, OrgScopes, Processor, Received, RecordQueue, WorkError,
    read_delivery,
};
use serde_json::{Value, json};

pub(crate) const ORG: &str = "acme";
pub(crate) const REPO_ID: i64 = 7;
/// The label that makes an issue a task.
pub(crate) const READY: i64 = 500;

/// A delivery: event, GUID and body.
#[derive(Debug, Clone)]
pub(crate) struct TestDelivery {
    pub(crate) event: &'static str,
    pub(crate) guid: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct HubState {
    issues: BTreeMap<i64, Value>,
    label_events: BTreeMap<i64, Vec<(String, DateTime<Utc>)>>,
    edited_at: BTreeMap<i64, DateTime<Utc>>,
    repo_name: String,
    fetches: u64,
    blocked_by_requests: u64,
    deliveries: Vec<TestDelivery>,
    delivered: u64,
    writers: Vec<String>,
    /// Whether GitHub says "not found" instead of a list. `None` if it lists issues.
    list_failure: Option<bool>,
    /// Issues of other repositories, by name and number.
    elsewhere: BTreeMap<(String, i64), Value>,
}

/// GitHub, as far as the cache of issues sees it.
#[derive(Default)]
pub(crate) struct Hub(Mutex<HubState>);

pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 + second, 0).unwrap()
}

pub(crate) fn user(name: &str) -> Value {
    json!({ "id": name.len(), "login": name, "type": "User" })
}

pub(crate) fn label(id: i64, name: &str) -> Value {
    json!({ "id": id, "name": name, "color": "ededed" })
}

fn new_issue(number: i64, second: i64) -> Value {
    json!({
        "number": number, "node_id": format!("I_{number}"), "title": "Broken", "body": "It fails",
        "state": "open", "state_reason": null, "locked": false, "labels": [], "assignees": [],
        "user": user("author"), "milestone": null, "created_at": at(second), "updated_at": at(second),
        "closed_at": null, "issue_dependencies_summary": { "blocked_by": 0 },
        "sub_issues_summary": { "total": 0, "completed": 0, "percent_completed": 0 },
    })
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        let hub = Hub::default();
        hub.0.lock().unwrap().repo_name = "site".to_owned();
        hub.0.lock().unwrap().writers = vec!["maintainer".to_owned()];
        Arc::new(hub)
    }

    pub(crate) fn fetches(&self) -> u64 {
        self.0.lock().unwrap().fetches
    }

    /// Returns how often somebody asked which issues an issue blocks.
    pub(crate) fn blocked_by_requests(&self) -> u64 {
        self.0.lock().unwrap().blocked_by_requests
    }

    pub(crate) fn issue(&self, number: i64) -> Option<Value> {
        self.0.lock().unwrap().issues.get(&number).cloned()
    }

    /// Returns what was delivered since the last call.
    pub(crate) fn take_deliveries(&self) -> Vec<TestDelivery> {
        std::mem::take(&mut self.0.lock().unwrap().deliveries)
    }

    pub(crate) fn allow_writing(&self, login: &str) {
        self.0.lock().unwrap().writers.push(login.to_owned());
    }

    pub(crate) fn rename_repo(&self, name: &str) {
        self.0.lock().unwrap().repo_name = name.to_owned();
        self.deliver("repository", "renamed", &json!({}));
    }

    pub(crate) fn delete_repo(&self) {
        self.deliver("repository", "deleted", &json!({}));
    }

    fn deliver(&self, event: &'static str, action: &str, fields: &Value) {
        let mut state = self.0.lock().unwrap();
        let mut body = json!({
            "action": action,
            "repository": {
                "id": REPO_ID, "node_id": "R_7", "name": state.repo_name, "owner": { "login": "Acme" },
                "default_branch": "main",
            },
            "organization": { "login": "Acme" },
            "sender": user("maintainer"),
        });
        for (name, value) in fields.as_object().unwrap() {
            body[name] = value.clone();
        }
        state.delivered += 1;
        let guid = format!("guid-{}", state.delivered);
        state.deliveries.push(TestDelivery { event, guid, body });
    }

    /// Opens an issue.
    pub(crate) fn open(&self, number: i64, second: i64) {
        let issue = new_issue(number, second);
        self.0.lock().unwrap().issues.insert(number, issue.clone());
        self.deliver("issues", "opened", &json!({ "issue": issue, "sender": user("author") }));
    }

    /// Changes an issue and delivers the action with its new state.
    pub(crate) fn change(
        &self,
        number: i64,
        second: i64,
        action: &str,
        fields: Value,
        change: impl Fn(&mut Value),
    ) {
        let issue = {
            let mut state = self.0.lock().unwrap();
            let issue = state.issues.get_mut(&number).unwrap();
            change(issue);
            issue["updated_at"] = json!(at(second));
            issue.clone()
        };
        let mut fields = fields;
        fields["issue"] = issue;
        self.deliver("issues", action, &fields);
    }

    pub(crate) fn add_label(&self, number: i64, second: i64, new: Value, sender: &str) {
        let name = new["name"].as_str().unwrap().to_owned();
        let fields = json!({ "label": new, "sender": user(sender) });
        self.change(number, second, "labeled", fields, |issue| {
            issue["labels"].as_array_mut().unwrap().push(new.clone());
        });
        let mut state = self.0.lock().unwrap();
        let sender = format!("{sender}\n{name}");
        state.label_events.entry(number).or_default().push((sender, at(second)));
    }

    pub(crate) fn edit(&self, number: i64, second: i64, body: &str, sender: &str) {
        let from = self.issue(number).unwrap()["body"].clone();
        let fields = json!({ "changes": { "body": { "from": from } }, "sender": user(sender) });
        self.change(number, second, "edited", fields, |issue| issue["body"] = json!(body));
        self.0.lock().unwrap().edited_at.insert(number, at(second));
    }

    pub(crate) fn close(&self, number: i64, second: i64) {
        self.change(number, second, "closed", json!({}), |issue| {
            issue["state"] = json!("closed");
            issue["state_reason"] = json!("completed");
            issue["closed_at"] = json!(at(second));
        });
    }

    pub(crate) fn reopen(&self, number: i64, second: i64) {
        self.change(number, second, "reopened", json!({}), |issue| {
            issue["state"] = json!("open");
            issue["state_reason"] = json!("reopened");
            issue["closed_at"] = json!(null);
        });
    }

    /// Makes lists of issues fail: with "not found", as if issues were switched off, or otherwise.
    pub(crate) fn fail_lists(&self, is_not_found: bool) {
        self.0.lock().unwrap().list_failure = Some(is_not_found);
    }

    /// Sets the number of open sub-issues and blockers of an issue in another repository, and delivers it if it is new.
    pub(crate) fn set_waiting(
        &self,
        (repo_id, repo): (i64, &str),
        number: i64,
        second: i64,
        counts: [i64; 2],
    ) {
        let mut issue = new_issue(number, second);
        issue["issue_dependencies_summary"]["blocked_by"] = json!(counts[0]);
        issue["sub_issues_summary"]["total"] = json!(counts[1]);
        let known = self.0.lock().unwrap().elsewhere.insert((repo.to_owned(), number), issue.clone());
        if known.is_none() {
            let repository =
                json!({ "id": repo_id, "node_id": "R", "name": repo, "owner": { "login": "Acme" } });
            self.deliver("issues", "opened", &json!({ "issue": issue, "repository": repository }));
        }
    }

    pub(crate) fn delete(&self, number: i64) {
        let issue = self.0.lock().unwrap().issues.remove(&number).unwrap();
        self.deliver("issues", "deleted", &json!({ "issue": issue }));
    }

    /// Renames a label on all issues. No issue changes by it, as on GitHub.
    pub(crate) fn rename_label(&self, id: i64, name: &str) {
        let from = {
            let mut state = self.0.lock().unwrap();
            let mut from = String::new();
            for issue in state.issues.values_mut() {
                for label in issue["labels"].as_array_mut().unwrap().iter_mut().filter(|it| it["id"] == id) {
                    from = label["name"].as_str().unwrap().to_owned();
                    label["name"] = json!(name);
                }
            }
            for (event, _) in state.label_events.values_mut().flatten() {
                if let Some((sender, _)) = event.clone().split_once('\n').filter(|(_, label)| *label == from)
                {
                    *event = format!("{sender}\n{name}");
                }
            }
            from
        };
        self.deliver(
            "label",
            "edited",
            &json!({ "label": label(id, name), "changes": { "name": { "from": from } } }),
        );
    }

    fn fetched(state: &HubState, number: i64, issue: &Value) -> FetchedIssue {
        let details: RestIssue = serde_json::from_value(issue.clone()).unwrap();
        let label_event = |(event, at): &(String, DateTime<Utc>)| {
            let (sender, label) = event.split_once('\n').unwrap();
            let by = serde_json::from_value(user(sender)).unwrap();
            LabelEvent { label: label.to_owned(), by: Some(by), at: *at }
        };
        FetchedIssue {
            details: details.into_details().unwrap(),
            closing_pull_requests: Some(Vec::new()),
            label_events: state.label_events.get(&number).into_iter().flatten().map(label_event).collect(),
            edited_at: state.edited_at.get(&number).copied(),
        }
    }
}

#[async_trait(?Send)]
impl IssueSource for Hub {
    async fn issue(&self, repo: &RepoAddress, number: i64) -> Result<IssueAnswer, SourceError> {
        let mut state = self.0.lock().unwrap();
        state.fetches += 1;
        assert_eq!(repo.owner.to_lowercase(), ORG);
        let issue = match repo.name == state.repo_name {
            true => state.issues.get(&number),
            false => state.elsewhere.get(&(repo.name.clone(), number)),
        };
        Ok(match issue {
            Some(issue) => IssueAnswer::Found(Box::new(Hub::fetched(&state, number, issue))),
            None => IssueAnswer::Gone,
        })
    }

    async fn issues(
        &self,
        _: &RepoAddress,
        query: IssueListQuery,
        position: Option<IssueListPosition>,
    ) -> Result<IssueListPage, SourceError> {
        let mut state = self.0.lock().unwrap();
        state.fetches += 1;
        assert_eq!(position, None);
        if let Some(is_not_found) = state.list_failure {
            let message = "issues cannot be listed".to_owned();
            return Err(SourceError { message, is_temporary: false, is_not_found });
        }
        let is_wanted = |issue: &&Value| match query {
            IssueListQuery::Open => issue["state"] == "open",
            IssueListQuery::ChangedSince(since) => {
                issue["updated_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap() >= since
            }
        };
        let listed = state.issues.iter().filter(|(_, issue)| is_wanted(issue));
        let issues = listed.map(|(number, issue)| Hub::fetched(&state, *number, issue)).collect();
        Ok(IssueListPage { issues, next: None })
    }

    async fn blocked_by(&self, _: &RepoAddress, _: i64) -> Result<Vec<IssueAddress>, SourceError> {
        self.0.lock().unwrap().blocked_by_requests += 1;
        Ok(Vec::new())
    }

    async fn closed_by(&self, _: &RepoAddress, _: i64) -> Result<Vec<IssueAddress>, SourceError> {
        Ok(Vec::new())
    }

    async fn can_write(&self, _: &RepoAddress, login: &str) -> Result<bool, SourceError> {
        Ok(self.0.lock().unwrap().writers.iter().any(|writer| writer == login))
    }

    async fn repo_id(&self, repo: &RepoAddress) -> Result<i64, SourceError> {
        match repo.name == self.0.lock().unwrap().repo_name {
            true => Ok(REPO_ID),
            false => Err(SourceError {
                message: "there is no such repository".to_owned(),
                is_temporary: false,
                is_not_found: true,
            }),
        }
    }

    async fn repos(&self, _: &str) -> Result<Vec<RepoSummary>, SourceError> {
        let mut state = self.0.lock().unwrap();
        state.fetches += 1;
        let times = state.issues.values().map(|issue| issue["updated_at"].as_str().unwrap().parse().unwrap());
        Ok(vec![RepoSummary {
            id: REPO_ID,
            node_id: "R_7".to_owned(),
            name: state.repo_name.clone(),
            issues: state.issues.len() as i64,
            changed_at: times.max(),
        }])
    }
}

struct TestScopes;

#[async_trait]
impl OrgScopes for TestScopes {
    async fn find(&self, login: &str) -> Result<Option<OrgScope>, WorkError> {
        let identity = Identity::default().with_excluded_repos(["secret".to_owned()]);
        let scope = || OrgScope {
            key: ORG.to_owned(),
            identity: Arc::new(identity),
            task_rules: TaskRules::default(),
            revision: 0,
        };
        Ok(login.eq_ignore_ascii_case(ORG).then(scope))
    }
}

/// The service: a store in memory, its queue and its processor.
pub(crate) struct Service {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) queue: RecordQueue,
    pub(crate) processor: Processor,
}

impl Service {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let clock = Arc::new(TestClock::new(at(3_600)));
        let processor = Processor {
            records: store.clone(),
            clock: clock.clone(),
            scopes: Arc::new(TestScopes),
            source: Some(hub.clone()),
            followers: Vec::new(),
            wakes_actions: true,
        };
        let queue = RecordQueue::new(store.clone(), clock.clone());
        Service { store, clock, queue, processor }
    }

    pub(crate) fn records(&self) -> &dyn RecordStore {
        &*self.store
    }

    /// Takes a delivery as the route does. Returns whether it was queued.
    pub(crate) async fn receive(&self, delivery: &TestDelivery) -> bool {
        let body = delivery.body.to_string();
        match read_delivery(delivery.event, &delivery.guid, body.as_bytes(), self.clock.now()).unwrap() {
            Received::Order(order) => {
                self.queue.put(&order).await.unwrap();
                true
            }
            Received::Ignored(_) => false,
        }
    }

    /// Carries out everything that is due.
    pub(crate) async fn drain(&self) {
        while !self.processor.drain(&self.queue, 100).await.unwrap().is_empty() {}
    }

    pub(crate) async fn issues(&self) -> Vec<CachedIssue> {
        let range = issue_range(ORG, None).unwrap();
        let page = list_issues(self.records(), &range, 1_000, self.clock.now()).await.unwrap();
        page.into_iter().map(|(_, issue)| issue).collect()
    }

    pub(crate) async fn issue(&self, number: i64) -> CachedIssue {
        let issues = self.issues().await;
        issues.into_iter().find(|issue| issue.details.number == number).expect("it is cached")
    }

    /// Returns the number of deliveries that the mark of the repository counts.
    pub(crate) async fn marks(&self) -> u64 {
        let marks = list_marks(self.records(), ORG, self.clock.now()).await.unwrap();
        marks.iter().map(|mark| mark.mark.count).sum()
    }

    /// Checks that the cache shows what GitHub shows, and nothing else.
    pub(crate) async fn check_equals(&self, hub: &Hub) {
        let cached = self.issues().await;
        let state = hub.0.lock().unwrap();
        let live: Vec<&CachedIssue> = cached.iter().filter(|issue| issue.tombstone.is_none()).collect();
        assert_eq!(live.len(), state.issues.len(), "{cached:#?}");
        for issue in live {
            let number = issue.details.number;
            let truth = Hub::fetched(&state, number, &state.issues[&number]);
            assert_eq!(issue.details, truth.details);
            assert_eq!((issue.repo.as_str(), issue.repo_id), (state.repo_name.as_str(), REPO_ID));
        }
    }
}
