//! The write side of the double: one repository whose issues, comments, pull requests, reviews and merges can be made,
//! and what actions read of it. Requests fail before or after their effect, as planned.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};

use super::graphql::operation;
use crate::server::{Body, Server, complete_body};

/// The token that may write.
pub const WRITE_TOKEN: &str = "ghp_writetoken0123456789abcdefghijklmnop";
/// The account of the token.
pub const WRITE_LOGIN: &str = "service";
/// How long a silent answer takes. The product gives up earlier.
const SILENCE: Duration = Duration::from_secs(60);

/// How a request that writes fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// Status 502, and nothing was done.
    StatusBefore,
    /// Status 502, and it was done.
    StatusAfter,
    /// The connection closes, and nothing was done.
    CutBefore,
    /// The connection closes, and it was done.
    CutAfter,
    /// No answer, and nothing was done.
    SilenceBefore,
    /// No answer, and it was done.
    SilenceAfter,
    /// Status 403: the secondary limit is exceeded for this many seconds.
    Secondary(u64),
}

/// Returns the time of GitHub's clock, UTC.
pub type DoubleClock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Returns how a request that writes fails, by its method and path. `None` if it does not.
pub type FaultPlan = Box<dyn FnMut(&str) -> Option<WriteFault> + Send>;

struct WriteState {
    clock: DoubleClock,
    issues: Vec<Value>,
    comments: Vec<Value>,
    pulls: Vec<Value>,
    reviews: Vec<Value>,
    merges: Vec<Value>,
    branches: Vec<(String, String, String)>,
    /// The end of a path, and how the next request to it fails.
    faults: Vec<(String, WriteFault)>,
    /// How requests without a planned fault fail.
    fault_plan: FaultPlan,
    /// Every request that writes: method and path.
    writes: Vec<String>,
    /// Number of requests, reads included.
    requests: usize,
    /// Number of requests whose answer was withheld.
    silences: usize,
    /// How long after its creation something shows in lists.
    list_lag: TimeDelta,
    /// Whether the endpoint for merges that can be repeated exists.
    has_merge_requests: bool,
    next: i64,
    /// Owner and name of the repository.
    repo: (String, String),
}

/// A running double of the write side. It stops when it is dropped.
pub struct WriteDouble {
    state: Arc<Mutex<WriteState>>,
    server: Server,
}

fn lock(state: &Mutex<WriteState>) -> MutexGuard<'_, WriteState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl WriteDouble {
    /// Starts a double with the repository `acme/site`, whose default branch is `main`.
    #[expect(clippy::disallowed_methods, reason = "GitHub has a clock of its own")]
    pub fn start() -> Self {
        Self::start_with(("acme", "site"), Arc::new(Utc::now))
    }

    /// Starts the same double with another repository.
    #[expect(clippy::disallowed_methods, reason = "GitHub has a clock of its own")]
    pub fn start_for(owner: &str, name: &str) -> Self {
        Self::start_with((owner, name), Arc::new(Utc::now))
    }

    /// Starts the same double with another repository and clock.
    pub fn start_with((owner, name): (&str, &str), clock: DoubleClock) -> Self {
        let state = WriteState {
            clock,
            repo: (owner.to_owned(), name.to_owned()),
            issues: Vec::new(),
            comments: Vec::new(),
            pulls: Vec::new(),
            reviews: Vec::new(),
            merges: Vec::new(),
            branches: Vec::new(),
            faults: Vec::new(),
            fault_plan: Box::new(|_| None),
            writes: Vec::new(),
            requests: 0,
            silences: 0,
            list_lag: TimeDelta::zero(),
            has_merge_requests: true,
            next: 1_000,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| handle(request, Arc::clone(&shared)));
        let double = WriteDouble { state, server };
        double.add_branch("main", 'a', "2026-01-01T00:00:00Z");
        double
    }

    /// The URL of the REST API: the value of `GITHUB_API_URL`.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/v3", self.server.address())
    }

    /// Adds a branch whose newest commit has 40 times this digit as its id.
    pub fn add_branch(&self, name: &str, digit: char, committed_at: &str) {
        let sha = digit.to_string().repeat(40);
        lock(&self.state).branches.push((name.to_owned(), sha, committed_at.to_owned()));
    }

    /// Adds a pull request of another account.
    pub fn add_pull(&self, number: i64, head: &str, digit: char) {
        let sha = digit.to_string().repeat(40);
        let pull = pull(number, ("Change", ""), (head, &sha, "main"), "ann");
        lock(&self.state).pulls.push(with_time(pull, DateTime::UNIX_EPOCH));
    }

    /// Returns the texts of the comments that were made.
    pub fn comments(&self) -> Vec<String> {
        let text = |comment: &Value| comment["body"].as_str().unwrap_or_default().to_owned();
        lock(&self.state).comments.iter().map(text).collect()
    }

    /// Pushes to the branch of a pull request.
    pub fn move_head(&self, number: i64, digit: char) {
        for pull in lock(&self.state).pulls.iter_mut().filter(|pull| pull["number"] == number) {
            pull["head"]["sha"] = digit.to_string().repeat(40).into();
        }
    }

    /// Has the next request that writes to a path with this end fail.
    pub fn fail_next(&self, path_end: &str, fault: WriteFault) {
        lock(&self.state).faults.push((path_end.to_owned(), fault));
    }

    /// Has requests without a planned fault fail as a function says.
    pub fn fail_by(&self, plan: FaultPlan) {
        lock(&self.state).fault_plan = plan;
    }

    /// Has lists show something only this long after its creation.
    pub fn lag_lists(&self, lag: TimeDelta) {
        lock(&self.state).list_lag = lag;
    }

    /// Removes the endpoint for merges that can be repeated, as on an older server.
    pub fn remove_merge_requests(&self) {
        lock(&self.state).has_merge_requests = false;
    }

    /// Returns the number of requests, reads included.
    pub fn request_count(&self) -> usize {
        lock(&self.state).requests
    }

    /// Returns the number of requests whose answer was withheld.
    pub fn silence_count(&self) -> usize {
        lock(&self.state).silences
    }

    /// Returns the texts of issues, comments, pull requests and reviews that the service made.
    pub fn own_texts(&self) -> [Vec<String>; 4] {
        let state = lock(&self.state);
        [&state.issues, &state.comments, &state.pulls, &state.reviews].map(|list| {
            let own = list.iter().filter(|thing| thing["user"]["login"] == WRITE_LOGIN);
            own.map(|thing| thing["body"].as_str().unwrap_or_default().to_owned()).collect()
        })
    }

    /// Returns how many issues, comments, pull requests, reviews and merges were made.
    pub fn effects(&self) -> [usize; 5] {
        let state = lock(&self.state);
        let own = state.pulls.iter().filter(|pull| pull["user"]["login"] == WRITE_LOGIN).count();
        [state.issues.len(), state.comments.len(), own, state.reviews.len(), state.merges.len()]
    }

    /// Returns the merges that were made.
    pub fn merges(&self) -> Vec<Value> {
        lock(&self.state).merges.clone()
    }

    /// Returns every request that writes, as method and path.
    pub fn writes(&self) -> Vec<String> {
        lock(&self.state).writes.clone()
    }
}

fn pull(
    number: i64,
    (title, body): (&str, &str),
    (head, sha, base): (&str, &str, &str),
    login: &str,
) -> Value {
    json!({
        "number": number, "id": number, "node_id": format!("PR_{number}"), "title": title, "body": body,
        "html_url": format!("https://github.example/acme/site/pull/{number}"), "state": "open", "draft": false,
        "merged_at": null, "merge_commit_sha": null, "user": { "login": login },
        "head": { "ref": head, "sha": sha }, "base": { "ref": base, "sha": "a".repeat(40) },
    })
}

/// Adds when something was created.
fn with_time(mut thing: Value, at: DateTime<Utc>) -> Value {
    thing["created_at"] = at.to_rfc3339().into();
    thing
}

async fn handle(request: Request<Incoming>, state: Arc<Mutex<WriteState>>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let now = {
        let mut state = lock(&state);
        state.requests += 1;
        (state.clock)()
    };
    let answer = |status: u16, body: &Value, retry_after: Option<u64>| answer(now, status, body, retry_after);
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(|value| value.ends_with(WRITE_TOKEN)) {
        return answer(401, &json!({ "message": "Bad credentials" }), None);
    }
    let path = parts.uri.path().to_owned();
    if path == "/api/graphql" {
        let text = body["query"].as_str().unwrap_or_default();
        return answer(200, &lock(&state).graphql(operation(text), &body["variables"]), None);
    }
    let repository = {
        let (owner, name) = &lock(&state).repo;
        format!("/api/v3/repos/{owner}/{name}")
    };
    let path = path.strip_prefix(&repository).unwrap_or(&path).to_owned();
    if parts.method == Method::GET {
        let (status, body) = lock(&state).get(&path);
        return answer(status, &body, None);
    }
    let fault = lock(&state).next_fault(format!("{} {path}", parts.method));
    match fault {
        Some(WriteFault::StatusBefore) => return answer(502, &json!({}), None),
        Some(WriteFault::CutBefore) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(WriteFault::SilenceBefore) => {
            lock(&state).silences += 1;
            tokio::time::sleep(SILENCE).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        Some(WriteFault::Secondary(seconds)) => {
            let body = json!({ "message": "You have exceeded a secondary rate limit." });
            return answer(403, &body, Some(seconds));
        }
        _ => {}
    }
    let (status, body) = lock(&state).write(&parts.method, &path, &body);
    match fault {
        Some(WriteFault::StatusAfter) => answer(502, &json!({}), None),
        Some(WriteFault::CutAfter) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(WriteFault::SilenceAfter) => {
            lock(&state).silences += 1;
            tokio::time::sleep(SILENCE).await;
            answer(status, &body, None)
        }
        _ => answer(status, &body, None),
    }
}

fn answer(
    now: DateTime<Utc>,
    status: u16,
    body: &Value,
    retry_after: Option<u64>,
) -> io::Result<Response<Body>> {
    let head = Response::builder()
        .status(status)
        .header("date", now.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .header("content-type", "application/json; charset=utf-8");
    let head = retry_after.into_iter().fold(head, |head, seconds| head.header("retry-after", seconds));
    head.body(complete_body(body.to_string())).map_err(io::Error::other)
}

fn not_found() -> (u16, Value) {
    (404, json!({ "message": "Not Found", "status": "404" }))
}

impl WriteState {
    /// Records a request that writes, and returns how it fails.
    fn next_fault(&mut self, request: String) -> Option<WriteFault> {
        let planned = self.faults.iter().position(|(end, _)| request.ends_with(end.as_str()));
        let fault = match planned {
            Some(index) => Some(self.faults.remove(index).1),
            None => (self.fault_plan)(&request),
        };
        self.writes.push(request);
        fault
    }

    /// Returns what a list shows now: what is old enough and belongs to `of`, the end of an address in the field `parent`.
    fn listed(&self, list: &[Value], parent: Option<(&str, &str)>) -> Value {
        let shown_until = (self.clock)() - self.list_lag;
        let is_shown = |thing: &&Value| {
            let created_at = thing["created_at"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
            let is_child = parent.is_none_or(|(field, end)| {
                thing[field].as_str().is_some_and(|address| address.ends_with(&format!("/{end}")))
            });
            is_child && created_at.is_none_or(|at| at <= shown_until)
        };
        list.iter().filter(is_shown).cloned().collect()
    }

    fn find_pull(&mut self, number: &str) -> Option<&mut Value> {
        let number: i64 = number.parse().ok()?;
        self.pulls.iter_mut().find(|pull| pull["number"] == number)
    }

    fn get(&mut self, path: &str) -> (u16, Value) {
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["", "api", "v3", "user"] => (200, json!({ "login": WRITE_LOGIN })),
            [""] => (
                200,
                json!({
                    "name": self.repo.1, "owner": { "login": self.repo.0 }, "default_branch": "main", "archived": false,
                    "has_issues": true,
                }),
            ),
            ["", "issues"] => (200, self.listed(&self.issues, None)),
            ["", "issues", number, "comments"] => {
                (200, self.listed(&self.comments, Some(("issue_url", number))))
            }
            ["", "pulls"] => (200, self.listed(&self.pulls, None)),
            ["", "pulls", number, "reviews"] => {
                (200, self.listed(&self.reviews, Some(("pull_request_url", number))))
            }
            ["", "pulls", number, "merge-async", "uuid-1"] => match self.find_pull(number) {
                Some(pull) => (
                    200,
                    json!({ "status": "merged", "details": { "sha": pull["merge_commit_sha"], "message": "" } }),
                ),
                None => not_found(),
            },
            ["", "git", "ref", "heads", branch @ ..] => {
                let branch = branch.join("/");
                match self.branches.iter().find(|(name, ..)| *name == branch) {
                    Some((_, sha, _)) => (200, json!({ "object": { "sha": sha } })),
                    None => not_found(),
                }
            }
            ["", "compare", ..] => (200, json!({ "ahead_by": 1 })),
            _ => not_found(),
        }
    }

    fn write(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        self.next += 1;
        let number = self.next;
        let user = json!({ "login": WRITE_LOGIN });
        let now = (self.clock)();
        match (method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("POST", ["", "issues"]) => {
                let labels: Vec<Value> = body["labels"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|name| json!({ "name": name }))
                    .collect();
                let issue = json!({
                    "number": number, "id": number, "title": body["title"], "body": body["body"], "user": user,
                    "html_url": format!("https://github.example/acme/site/issues/{number}"), "labels": labels,
                    "assignees": [], "milestone": null,
                });
                self.issues.push(with_time(issue.clone(), now));
                (201, issue)
            }
            ("POST", ["", "issues", issue, "comments"]) => {
                let url = format!("https://github.example/acme/site/issues/{issue}#issuecomment-{number}");
                let comment = json!({ "id": number, "body": body["body"], "user": user, "html_url": url,
                    "issue_url": format!("https://github.example/repos/acme/site/issues/{issue}") });
                self.comments.push(with_time(comment.clone(), now));
                (201, comment)
            }
            ("POST", ["", "pulls"]) => {
                let head = body["head"].as_str().unwrap_or_default();
                if self.pulls.iter().any(|pull| pull["head"]["ref"] == head && pull["state"] == "open") {
                    let error =
                        json!({ "message": format!("A pull request already exists for acme:{head}.") });
                    return (422, json!({ "message": "Validation Failed", "errors": [error] }));
                }
                let sha = self.branches.iter().find(|(name, ..)| name == head).map(|it| it.1.clone());
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let made = pull(
                    number,
                    (&text("title"), &text("body")),
                    (head, &sha.unwrap_or_default(), &text("base")),
                    WRITE_LOGIN,
                );
                self.pulls.push(with_time(made.clone(), now));
                (201, made)
            }
            ("POST", ["", "pulls", pull, "reviews"]) => {
                let review = json!({
                    "id": number, "user": user, "state": "APPROVED", "commit_id": body["commit_id"], "body": body["body"],
                    "html_url": format!("https://github.example/review/{number}"),
                    "pull_request_url": format!("https://github.example/repos/acme/site/pulls/{pull}"),
                });
                self.reviews.push(with_time(review.clone(), now));
                (200, review)
            }
            ("PUT", ["", "pulls", pull, "merge-async"]) if self.has_merge_requests => self.merge(pull, body),
            ("PUT", ["", "pulls", pull, "merge"]) => self.merge_at_once(pull, body),
            _ => not_found(),
        }
    }

    fn merge(&mut self, number: &str, body: &Value) -> (u16, Value) {
        let Some(pull) = self.find_pull(number) else { return not_found() };
        if !pull["merged_at"].is_null() {
            let details =
                json!({ "message": "Pull request is already merged.", "sha": pull["merge_commit_sha"] });
            return (200, json!({ "status": "merged", "details": details }));
        }
        if pull["head"]["sha"] != body["sha"] {
            let message = "Head branch was modified. Review and try the merge again.";
            return (400, json!({ "status": "failed", "details": { "message": message } }));
        }
        pull["merged_at"] = "2026-01-02T00:00:00Z".into();
        pull["state"] = "closed".into();
        pull["merge_commit_sha"] = "f".repeat(40).into();
        let merge = json!({ "number": pull["number"], "head": body["sha"], "method": body["merge_method"] });
        self.merges.push(merge);
        let details = json!({ "message": "", "uuid": "uuid-1", "expected_head_sha": body["sha"] });
        (202, json!({ "status": "pending", "details": details }))
    }

    /// Merges with the endpoint that must not be repeated.
    fn merge_at_once(&mut self, number: &str, body: &Value) -> (u16, Value) {
        let Some(pull) = self.find_pull(number) else { return not_found() };
        if !pull["merged_at"].is_null() {
            return (405, json!({ "message": "Pull Request is not mergeable" }));
        }
        match self.merge(number, body) {
            (202, _) => (200, json!({ "merged": true, "sha": "f".repeat(40), "message": "merged" })),
            (_, answer) => (409, json!({ "message": answer["details"]["message"] })),
        }
    }

    fn graphql(&mut self, operation: &str, variables: &Value) -> Value {
        let repository = match operation {
            "PullRequestState" => {
                let number = variables["number"].to_string();
                json!({ "pullRequest": self.find_pull(&number).map(|pull| pull_node(pull)) })
            }
            "OpenPullRequests" => {
                let listed = self.listed(&self.pulls, None);
                let open = listed.as_array().into_iter().flatten().filter(|pull| pull["state"] == "open");
                let mut nodes: Vec<Value> = open.map(pull_node).collect();
                nodes.sort_by_key(|node| -node["number"].as_i64().unwrap_or_default());
                json!({ "pullRequests": { "nodes": nodes } })
            }
            "Branches" => {
                let count = |name: &String| {
                    self.pulls
                        .iter()
                        .filter(|it| it["state"] == "open" && it["head"]["ref"] == name.as_str())
                        .count()
                };
                let nodes: Vec<Value> = self
                    .branches
                    .iter()
                    .map(|(name, sha, date)| {
                        json!({
                            "name": name, "target": { "oid": sha, "committedDate": date },
                            "associatedPullRequests": { "totalCount": count(name) },
                        })
                    })
                    .collect();
                json!({ "refs": { "nodes": nodes, "pageInfo": { "hasNextPage": false, "endCursor": null } } })
            }
            _ => Value::Null,
        };
        json!({ "data": { "rateLimit": { "cost": 1 }, "repository": repository } })
    }
}

fn pull_node(pull: &Value) -> Value {
    let is_merged = !pull["merged_at"].is_null();
    let merge_commit = is_merged.then(|| json!({ "oid": pull["merge_commit_sha"] }));
    json!({
        "number": pull["number"], "id": pull["node_id"], "url": pull["html_url"], "title": pull["title"],
        "body": pull["body"], "author": { "__typename": "User", "login": pull["user"]["login"] },
        "state": if is_merged { "MERGED" } else { "OPEN" }, "isDraft": pull["draft"], "isCrossRepository": false,
        "headRefName": pull["head"]["ref"], "headRefOid": pull["head"]["sha"], "baseRefName": pull["base"]["ref"],
        "mergeCommit": merge_commit, "isInMergeQueue": false, "mergeable": "MERGEABLE",
    })
}
