//! Requests that change something on GitHub. Each is sent at most once: GitHub has no key that would make a repetition
//! harmless.
//!
//! The transport below repeats nothing either: octocrab is built without its retries, and an HTTP connection repeats a
//! request only if the server said that it has not processed it.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::Client;
use crate::envelope::{LimitHit, parse_reply};
use crate::error::{AttemptError, Error};
use crate::queries::ENQUEUE_PULL_REQUEST;
use crate::rate_limit::RateLimitResource;
use crate::response::{ApiResponse, write_error_message};
use crate::rest::User;
use crate::transport::{ApiRequest, WriteMethod};

/// How long nothing is sent after a rate limit, if GitHub does not say it.
const DEFAULT_LIMIT_PAUSE: Duration = Duration::from_secs(60);

/// What became of a request that was sent at most once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome<T> {
    /// GitHub did it, and this is the answer.
    Done(T),
    /// GitHub did not do it.
    Refused(WriteRefusal),
    /// The request was sent, and no answer says whether GitHub did it. The text says what happened.
    Unknown(String),
}

/// Why GitHub did not carry out a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteRefusal {
    /// The HTTP status. `None` if the request was not sent.
    pub status: Option<u16>,
    /// GitHub's reason, or why the request was not sent.
    pub message: String,
    /// Whether and when the same request may succeed.
    pub retry: WriteRetry,
}

/// Whether and when a refused request may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRetry {
    /// Not before somebody changes something.
    Never,
    /// After a rate limit. The account must send nothing for this long.
    After(Duration),
    /// At any time: no connection was made.
    Anytime,
}

impl<T> WriteOutcome<T> {
    /// Changes the answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> WriteOutcome<U> {
        match self {
            WriteOutcome::Done(answer) => WriteOutcome::Done(change(answer)),
            WriteOutcome::Refused(refusal) => WriteOutcome::Refused(refusal),
            WriteOutcome::Unknown(why) => WriteOutcome::Unknown(why),
        }
    }

    fn refused(status: Option<u16>, message: impl Into<String>, retry: WriteRetry) -> Self {
        WriteOutcome::Refused(WriteRefusal { status, message: message.into(), retry })
    }
}

/// An issue to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssue<'a> {
    /// The title.
    pub title: &'a str,
    /// The description, Markdown.
    pub body: &'a str,
    /// Names of labels.
    pub labels: &'a [String],
    /// Logins.
    pub assignees: &'a [String],
    /// The number of a milestone.
    pub milestone: Option<i64>,
}

/// A pull request to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPull<'a> {
    /// The title.
    pub title: &'a str,
    /// The description, Markdown.
    pub body: &'a str,
    /// The branch to merge.
    pub head: &'a str,
    /// The branch to merge into.
    pub base: &'a str,
    /// Whether it is a draft.
    pub is_draft: bool,
}

/// A merge of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMerge<'a> {
    /// The number of the pull request.
    pub number: i64,
    /// The head commit that is merged, and no other.
    pub sha: &'a str,
    /// `merge`, `squash` or `rebase`; `None` for GitHub's default.
    pub method: Option<&'a str>,
    /// The first line of the commit message; `None` for GitHub's default.
    pub title: Option<&'a str>,
    /// The rest of the commit message; `None` for GitHub's default.
    pub message: Option<&'a str>,
}

/// Something that GitHub created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The number of an issue or pull request; `None` for comments and reviews.
    pub number: Option<i64>,
    /// GitHub's id.
    pub id: i64,
    /// The address of its page.
    pub url: String,
    /// The names of the labels that it has.
    pub labels: Vec<String>,
    /// The logins of its assignees.
    pub assignees: Vec<String>,
    /// Whether it has a milestone.
    pub has_milestone: bool,
}

/// How far a merge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeProgress {
    /// GitHub works on it.
    Pending {
        /// The id of the merge request.
        uuid: String,
        /// The head commit that it merges, if GitHub says it.
        sha: Option<String>,
    },
    /// It is merged.
    Merged {
        /// The commit on the base branch, if GitHub says it.
        sha: Option<String>,
    },
    /// The merge queue has it.
    Queued,
    /// GitHub did not merge it, for this reason.
    Failed(String),
}

#[derive(Deserialize)]
struct CreatedThing {
    number: Option<i64>,
    id: i64,
    html_url: String,
    #[serde(default)]
    labels: Vec<LabelName>,
    #[serde(default)]
    assignees: Vec<User>,
    milestone: Option<Value>,
}

/// A label of an issue, as far as actions need it.
#[derive(Deserialize)]
pub(crate) struct LabelName {
    pub(crate) name: String,
}

impl From<CreatedThing> for Created {
    fn from(thing: CreatedThing) -> Self {
        Created {
            number: thing.number,
            id: thing.id,
            url: thing.html_url,
            labels: thing.labels.into_iter().map(|label| label.name).collect(),
            assignees: thing.assignees.into_iter().map(|user| user.login).collect(),
            has_milestone: thing.milestone.is_some_and(|milestone| !milestone.is_null()),
        }
    }
}

#[derive(Deserialize)]
struct MergeAnswer {
    sha: Option<String>,
}

/// The answer about a merge request.
#[derive(Deserialize)]
pub(crate) struct MergeRequestAnswer {
    status: String,
    #[serde(default)]
    details: MergeRequestDetails,
}

#[derive(Default, Deserialize)]
struct MergeRequestDetails {
    #[serde(default)]
    message: String,
    uuid: Option<String>,
    expected_head_sha: Option<String>,
    sha: Option<String>,
}

impl MergeRequestAnswer {
    /// Returns how far the merge is, or `None` if this program does not know the status.
    pub(crate) fn progress(self) -> Option<MergeProgress> {
        let MergeRequestDetails { message, uuid, expected_head_sha, sha } = self.details;
        Some(match self.status.as_str() {
            "merged" => MergeProgress::Merged { sha },
            "enqueued" => MergeProgress::Queued,
            "failed" => MergeProgress::Failed(message),
            "pending" => MergeProgress::Pending { uuid: uuid?, sha: expected_head_sha },
            _ => return None,
        })
    }
}

impl Client {
    /// Creates an issue.
    pub async fn create_issue(&self, owner: &str, repo: &str, issue: &NewIssue<'_>) -> WriteOutcome<Created> {
        let NewIssue { title, body, labels, assignees, milestone } = issue;
        let mut content = json!({ "title": title, "body": body });
        if !labels.is_empty() {
            content["labels"] = json!(labels);
        }
        if !assignees.is_empty() {
            content["assignees"] = json!(assignees);
        }
        if let Some(milestone) = milestone {
            content["milestone"] = json!(milestone);
        }
        self.create(&format!("/repos/{owner}/{repo}/issues"), &content).await
    }

    /// Comments on an issue or a pull request.
    pub async fn create_comment(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
        body: &str,
    ) -> WriteOutcome<Created> {
        let path = format!("/repos/{owner}/{repo}/issues/{number}/comments");
        self.create(&path, &json!({ "body": body })).await
    }

    /// Creates a pull request.
    pub async fn create_pull(&self, owner: &str, repo: &str, pull: &NewPull<'_>) -> WriteOutcome<Created> {
        let NewPull { title, body, head, base, is_draft } = pull;
        let content = json!({ "title": title, "body": body, "head": head, "base": base, "draft": is_draft });
        self.create(&format!("/repos/{owner}/{repo}/pulls"), &content).await
    }

    /// Approves a commit of a pull request.
    pub async fn approve_pull(
        &self,
        owner: &str,
        repo: &str,
        number: i64,
        commit_id: &str,
        body: &str,
    ) -> WriteOutcome<Created> {
        let path = format!("/repos/{owner}/{repo}/pulls/{number}/reviews");
        // Without an event the review would stay invisible.
        self.create(&path, &json!({ "commit_id": commit_id, "event": "APPROVE", "body": body })).await
    }

    /// Merges a pull request at once.
    pub async fn merge_pull(
        &self,
        owner: &str,
        repo: &str,
        merge: &NewMerge<'_>,
    ) -> WriteOutcome<MergeProgress> {
        let path = format!("/repos/{owner}/{repo}/pulls/{}/merge", merge.number);
        let outcome = self.write_once::<MergeAnswer>(WriteMethod::Put, &path, &merge.content()).await;
        outcome.map(|answer| MergeProgress::Merged { sha: answer.sha })
    }

    /// Requests the merge of a pull request, directly or by the merge queue, as its base branch requires. A repetition has
    /// no further effect: GitHub answers it with the first request. The endpoint is missing in older servers (404).
    pub async fn request_merge(
        &self,
        owner: &str,
        repo: &str,
        merge: &NewMerge<'_>,
    ) -> WriteOutcome<MergeProgress> {
        let path = format!("/repos/{owner}/{repo}/pulls/{}/merge-async", merge.number);
        let response = match self.send_once(WriteMethod::Put, &path, &merge.content()).await {
            Ok(response) => response,
            Err(outcome) => return outcome,
        };
        let status = response.status.as_u16();
        let is_answer = matches!(status, 200 | 202 | 400 | 409);
        let answer = serde_json::from_slice::<MergeRequestAnswer>(&response.body).ok().filter(|_| is_answer);
        match (answer.and_then(MergeRequestAnswer::progress), status) {
            (Some(progress), _) => WriteOutcome::Done(progress),
            (None, 200..=299) => WriteOutcome::Unknown("GitHub's answer cannot be read".to_owned()),
            (None, _) => self.refusal(&response),
        }
    }

    /// Adds a pull request to the merge queue of its base branch, if its head is still `sha`.
    pub async fn enqueue_pull(&self, node_id: &str, sha: &str) -> WriteOutcome<MergeProgress> {
        let variables = json!({ "pull": node_id, "sha": sha });
        let body = json!({ "query": ENQUEUE_PULL_REQUEST.text(), "variables": variables });
        let request = ApiRequest::Mutation(&body);
        let response = match self.send_request_once(RateLimitResource::GraphQl, &request).await {
            Ok(response) => response,
            Err(outcome) => return outcome,
        };
        if !response.status.is_success() {
            return self.refusal(&response);
        }
        match parse_reply::<Value>("the merge queue", &response.body, |_| false) {
            Ok(_) => WriteOutcome::Done(MergeProgress::Queued),
            Err(AttemptError::Fatal(error)) => {
                WriteOutcome::refused(Some(response.status.as_u16()), error.to_string(), WriteRetry::Never)
            }
            Err(error) => WriteOutcome::Unknown(error.to_string()),
        }
    }

    async fn create(&self, path: &str, content: &Value) -> WriteOutcome<Created> {
        self.write_once::<CreatedThing>(WriteMethod::Post, path, content).await.map(Created::from)
    }

    async fn write_once<T: DeserializeOwned>(
        &self,
        method: WriteMethod,
        path: &str,
        content: &Value,
    ) -> WriteOutcome<T> {
        match self.send_once(method, path, content).await {
            Ok(response) if response.status.is_success() => match serde_json::from_slice(&response.body) {
                Ok(answer) => WriteOutcome::Done(answer),
                Err(error) => WriteOutcome::Unknown(format!("GitHub's answer cannot be read ({error})")),
            },
            Ok(response) => self.refusal(&response),
            Err(outcome) => outcome,
        }
    }

    async fn send_once<T>(
        &self,
        method: WriteMethod,
        path: &str,
        content: &Value,
    ) -> Result<ApiResponse, WriteOutcome<T>> {
        let request = ApiRequest::Write { method, path, body: content };
        self.send_request_once(RateLimitResource::Rest, &request).await
    }

    /// Sends a request once. Returns the response if it is one about the request itself, and the outcome otherwise.
    async fn send_request_once<T>(
        &self,
        resource: RateLimitResource,
        request: &ApiRequest<'_>,
    ) -> Result<ApiResponse, WriteOutcome<T>> {
        let mut has_renewed_token = false;
        loop {
            let result = self.send_one_attempt(resource, request).await;
            let (response, can_renew_token) = match result {
                Ok(answer) => answer,
                Err(AttemptError::Fatal(Error::Limited { why, .. })) => {
                    let retry = WriteRetry::After(DEFAULT_LIMIT_PAUSE);
                    return Err(WriteOutcome::refused(None, why, retry));
                }
                Err(AttemptError::Fatal(error)) if !error.is_transient() => {
                    return Err(WriteOutcome::refused(None, error.to_string(), WriteRetry::Never));
                }
                Err(AttemptError::Fatal(error)) => {
                    return Err(WriteOutcome::refused(None, error.to_string(), WriteRetry::Anytime));
                }
                Err(AttemptError::Unreachable(why)) => {
                    return Err(WriteOutcome::refused(None, why, WriteRetry::Anytime));
                }
                Err(error) => return Err(WriteOutcome::Unknown(error.to_string())),
            };
            // A token that GitHub refuses has no effect, so another one may be tried.
            if response.status == StatusCode::UNAUTHORIZED && can_renew_token && !has_renewed_token {
                has_renewed_token = true;
                continue;
            }
            if let Some(limit) = response.limit_hit(resource) {
                let (LimitHit::Primary(message) | LimitHit::Secondary(message)) = limit;
                let after = response.rate_limit.pause().unwrap_or(DEFAULT_LIMIT_PAUSE);
                let status = Some(response.status.as_u16());
                return Err(WriteOutcome::refused(status, message, WriteRetry::After(after)));
            }
            if response.status.is_server_error() || response.status == StatusCode::REQUEST_TIMEOUT {
                let status = response.status.as_u16();
                return Err(WriteOutcome::Unknown(format!("GitHub answered with status {status}")));
            }
            return Ok(response);
        }
    }

    fn refusal<T>(&self, response: &ApiResponse) -> WriteOutcome<T> {
        let status = response.status.as_u16();
        let message = write_error_message(&response.body);
        let message = match (status, message.is_empty()) {
            (401, _) => {
                "GitHub refused the token for writing: set GITHUB_WRITE_TOKEN to a valid one".to_owned()
            }
            (_, true) => format!("status {status}"),
            (_, false) => message,
        };
        WriteOutcome::refused(Some(status), message, WriteRetry::Never)
    }
}

impl NewMerge<'_> {
    fn content(&self) -> Value {
        let NewMerge { sha, method, title, message, .. } = self;
        let fields = [("merge_method", method), ("commit_title", title), ("commit_message", message)];
        let mut content = json!({ "sha": sha });
        for (name, value) in fields {
            if let Some(value) = value {
                content[name] = json!(value);
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_requests_have_states() {
        let progress = |text: &str| serde_json::from_str::<MergeRequestAnswer>(text).unwrap().progress();
        assert_eq!(
            progress(r#"{"status":"pending","details":{"uuid":"u","expected_head_sha":"a","message":""}}"#),
            Some(MergeProgress::Pending { uuid: "u".to_owned(), sha: Some("a".to_owned()) })
        );
        assert_eq!(
            progress(r#"{"status":"merged","details":{"sha":"b","message":"x"}}"#),
            Some(MergeProgress::Merged { sha: Some("b".to_owned()) })
        );
        assert_eq!(
            progress(r#"{"status":"failed","details":{"message":"no"}}"#),
            Some(MergeProgress::Failed("no".to_owned()))
        );
        assert_eq!(progress(r#"{"status":"enqueued"}"#), Some(MergeProgress::Queued));
        assert_eq!(progress(r#"{"status":"paused"}"#), None);
        assert_eq!(progress(r#"{"status":"pending"}"#), None, "without an id nobody can follow it");
    }
}
