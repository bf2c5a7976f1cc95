//! `…/issues`: the cache of issues. No request asks GitHub.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, Utc};
use gam_access::RouteClass;
use gam_model::issue::IssueState;
use gam_query::{QueryError, QueryPorts, StoredOrgName};
use gam_work::{CachedIssue, IssueFilter};
use serde::Serialize;
use utoipa::ToSchema;

use super::SUBJECT_ERRORS;
use super::listings::with_next_link;
use crate::answer::AcceptsJson;
use crate::error::{ApiError, quoted};
use crate::openapi::{NamedSchema, Operation, derived, schema_name};
use crate::params::{IssuesParams, QueryParams, SubjectQuery};
use crate::router::HostWork;
use crate::routes::{Route, RouteMethod};

/// The issues of an organization.
#[derive(Serialize, ToSchema)]
pub(crate) struct IssueList {
    /// The organization.
    org: String,
    /// When the cache was last compared with GitHub, UTC. Webhooks keep it current in between. `null` if it never was.
    #[schema(required)]
    as_of: Option<DateTime<Utc>>,
    /// The issues, in order of repository id and number.
    issues: Vec<ListedIssue>,
    /// The `cursor` of the next page, or `null`. A page can have fewer issues than `limit`, and still have a next one.
    #[schema(required)]
    next: Option<String>,
}

/// An issue, as the server knows it.
#[derive(Serialize, ToSchema)]
struct ListedIssue {
    /// The name of the repository.
    repo: String,
    /// GitHub's id of the repository.
    repo_id: i64,
    /// The number of the issue.
    number: i64,
    /// The title.
    title: String,
    /// `open` or `closed`.
    #[schema(value_type = String)]
    state: IssueState,
    /// Why it was closed or reopened, or `null`.
    #[schema(required)]
    state_reason: Option<String>,
    /// Whether the conversation is locked.
    is_locked: bool,
    /// The names of the labels.
    labels: Vec<String>,
    /// The logins of the assignees.
    assignees: Vec<String>,
    /// The login of the author. `null` for a deleted account.
    #[schema(required)]
    author: Option<String>,
    /// The title of the milestone, or `null`.
    #[schema(required)]
    milestone: Option<String>,
    /// Number of open issues that block it. `null` if unknown.
    #[schema(required)]
    blocked_by: Option<u32>,
    /// Number of its sub-issues that are not completed. `null` if unknown.
    #[schema(required)]
    open_sub_issues: Option<u32>,
    /// When it was created, UTC.
    created_at: DateTime<Utc>,
    /// When it was changed last, UTC.
    updated_at: DateTime<Utc>,
    /// When it was closed, UTC, or `null`.
    #[schema(required)]
    closed_at: Option<DateTime<Utc>>,
    /// When the server received this state, UTC.
    as_of: DateTime<Utc>,
}

impl From<CachedIssue> for ListedIssue {
    fn from(issue: CachedIssue) -> Self {
        let CachedIssue { repo, repo_id, details, as_of, .. } = issue;
        ListedIssue {
            repo,
            repo_id,
            number: details.number,
            title: details.title,
            state: details.state,
            state_reason: details.state_reason,
            is_locked: details.is_locked,
            labels: details.labels.into_iter().map(|label| label.name).collect(),
            assignees: details.assignees.into_iter().map(|user| user.login).collect(),
            author: details.author.map(|user| user.login),
            milestone: details.milestone.map(|milestone| milestone.title),
            blocked_by: details.blocked_by_open,
            open_sub_issues: details.sub_issues_open,
            created_at: details.created_at,
            updated_at: details.updated_at,
            closed_at: details.closed_at,
            as_of,
        }
    }
}

pub(in crate::routes) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = vec![derived::<IssueList>()];
    IssueList::schemas(&mut schemas);
    schemas
}

pub(crate) fn route(path: &'static str) -> Route {
    let operation = Operation {
        parameters: IssuesParams::accepted(),
        ..Operation::of_json(
            "issues",
            "The issues of an organization, as webhooks and reading left them",
            schema_name::ISSUE_LIST,
            SUBJECT_ERRORS,
        )
    };
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    State(ports): State<QueryPorts>,
    HostWork(work): HostWork,
    uri: Uri,
    _: AcceptsJson,
    SubjectQuery { org, params, .. }: SubjectQuery<IssuesParams>,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: name } = gam_query::find_org(&ports, &org).await?;
    let IssuesParams { state, label, assignee, repo, assignable, limit, cursor } = params;
    let after = cursor.as_deref().map(parse_cursor).transpose()?;
    let within = match assignable {
        Some(is_assignable) => Some((is_assignable, work.tasks.assignable(&key).await?)),
        None => None,
    };
    let filter = IssueFilter { state, label, assignee, repo, within };
    let page = work.issues.list(&key, &filter, limit, after).await.map_err(QueryError::Store)?;
    let next = page.next.map(|(repo_id, number)| format!("{repo_id}.{number}"));
    let cursor = next.clone();
    let issues = page.issues.into_iter().map(ListedIssue::from).collect();
    let list = IssueList { org: name, as_of: page.as_of, issues, next };
    Ok(with_next_link(Json(list), &uri, cursor.as_deref()))
}

fn parse_cursor(text: &str) -> Result<(i64, i64), ApiError> {
    let parse = || {
        let (repo_id, number) = text.split_once('.')?;
        let cursor: (i64, i64) = (repo_id.parse().ok()?, number.parse().ok()?);
        (format!("{}.{}", cursor.0, cursor.1) == text && cursor.0 >= 0 && cursor.1 >= 0).then_some(cursor)
    };
    parse().ok_or_else(|| {
        ApiError::invalid(format!("invalid `cursor` {}: use the `next` of an answer", quoted(text)))
    })
}
