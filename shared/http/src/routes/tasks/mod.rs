//! `/api/v1/request-task` and `/api/v1/tasks`: what workers do, and what people see of it.

mod bodies;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use gam_access::{Principal, RepoName, RouteClass};
use gam_model::OrgRegistry;
use gam_query::{QueryError, QueryPorts};
use gam_work::tasks::{ClaimId, LogAppend, ReportKind, RequestOutcome, TaskFilter, TaskReport, WorkRequest};
use utoipa::ToSchema;

use self::bodies::{
    AssignedTask, ClaimReport, ClaimStatus, ListedTask, LogAppended, LogLines, TaskList, TaskLog, TaskRequest,
};
use super::orgs::listings::with_next_link;
use super::{Route, RouteMethod};
use crate::answer::AcceptsJson;
use crate::error::{ApiError, quoted};
use crate::openapi::{NamedSchema, Operation, derived, schema_name};
use crate::params::{JsonBody, LogParams, NoParams, QueryParams, TasksParams, Validated};
use crate::router::{HostWork, WorkPorts};

/// The paths of the routes.
pub(super) const PATHS: [&str; 7] = [
    "/api/v1/request-task",
    "/api/v1/tasks",
    "/api/v1/tasks/{claim_id}/heartbeat",
    "/api/v1/tasks/{claim_id}/complete",
    "/api/v1/tasks/{claim_id}/fail",
    "/api/v1/tasks/{claim_id}/release",
    "/api/v1/tasks/{claim_id}/log",
];

pub(super) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = Vec::new();
    let mut add = |(name, schema): NamedSchema, of_fields: Vec<NamedSchema>| {
        schemas.push((name, schema));
        schemas.extend(of_fields);
    };
    add(derived::<TaskRequest>(), fields_of::<TaskRequest>());
    add(derived::<ClaimReport>(), fields_of::<ClaimReport>());
    add(derived::<LogLines>(), fields_of::<LogLines>());
    add(derived::<LogAppended>(), fields_of::<LogAppended>());
    add(derived::<AssignedTask>(), fields_of::<AssignedTask>());
    add(derived::<ClaimStatus>(), fields_of::<ClaimStatus>());
    add(derived::<TaskList>(), fields_of::<TaskList>());
    add(derived::<TaskLog>(), fields_of::<TaskLog>());
    schemas
}

/// Returns the schemas that the fields of a type refer to.
pub(super) fn fields_of<T: ToSchema>() -> Vec<NamedSchema> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas
}

pub(super) fn request(path: &'static str) -> Route {
    let operation = Operation {
        request: Some(schema_name::TASK_REQUEST),
        no_content: Some("There is no task for the worker now"),
        ..Operation::of_json(
            "request_task",
            "Claims a task for a worker, or returns the claim that the worker holds",
            schema_name::ASSIGNED_TASK,
            &[400, 415],
        )
    };
    Route {
        path,
        method: RouteMethod::Post,
        handler: post(handle_request),
        operation,
        class: RouteClass::Work,
    }
}

pub(super) fn heartbeat(path: &'static str) -> Route {
    report(path, "heartbeat_task", "Extends the lease of a claim", ReportKind::Heartbeat)
}

pub(super) fn complete(path: &'static str) -> Route {
    report(path, "complete_task", "Ends a claim: the task is done", ReportKind::Complete)
}

pub(super) fn fail(path: &'static str) -> Route {
    let summary = "Ends a claim: the worker failed. After three failures no worker gets the issue until it is labelled again";
    report(path, "fail_task", summary, ReportKind::Fail)
}

pub(super) fn release(path: &'static str) -> Route {
    report(path, "release_task", "Ends a claim: another worker can get the issue", ReportKind::Release)
}

fn report(path: &'static str, id: &str, summary: &str, kind: ReportKind) -> Route {
    let operation = Operation {
        request: Some(schema_name::CLAIM_REPORT),
        ..Operation::of_json(id, summary, schema_name::CLAIM_STATUS, &[400, 404, 409, 410, 415])
    };
    let handler = post(async move |work, principal, id, params, json, body| {
        handle_report(kind, work, principal, id, params, json, body).await
    });
    Route { path, method: RouteMethod::Post, handler, operation, class: RouteClass::Work }
}

pub(super) fn append_log(path: &'static str) -> Route {
    let operation = Operation {
        request: Some(schema_name::LOG_LINES),
        ..Operation::of_json(
            "append_task_log",
            "Appends lines to the log of a claim",
            schema_name::LOG_APPENDED,
            &[400, 404, 409, 410, 415],
        )
    };
    Route {
        path,
        method: RouteMethod::Post,
        handler: post(handle_append),
        operation,
        class: RouteClass::Work,
    }
}

pub(super) fn read_log(path: &'static str) -> Route {
    let operation = Operation {
        parameters: LogParams::accepted(),
        ..Operation::of_json(
            "task_log",
            "What the command of a worker printed, page by page",
            schema_name::TASK_LOG,
            &[400, 404],
        )
    };
    Route { path, method: RouteMethod::Get, handler: get(handle_log), operation, class: RouteClass::Read }
}

pub(super) fn list(path: &'static str) -> Route {
    let operation = Operation {
        parameters: TasksParams::accepted(),
        ..Operation::of_json(
            "tasks",
            "The tasks: issues that have or had a task label, with the claims of workers",
            schema_name::TASK_LIST,
            &[400, 404],
        )
    };
    Route { path, method: RouteMethod::Get, handler: get(handle_list), operation, class: RouteClass::Read }
}

/// Extracts the id of a claim from the path.
struct ClaimOfPath(ClaimId);

impl<S: Send + Sync> FromRequestParts<S> for ClaimOfPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.ok().and_then(|Path(id)| ClaimId::parse(&id));
        id.map(ClaimOfPath).ok_or_else(unknown_claim)
    }
}

fn unknown_claim() -> ApiError {
    ApiError::not_found("there is no such claim: use the `claim_id` of an answer of /api/v1/request-task")
}

async fn handle_request(
    HostWork(WorkPorts { tasks, .. }): HostWork,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    _: AcceptsJson,
    _: Validated<NoParams>,
    JsonBody(body): JsonBody<TaskRequest>,
) -> Result<Response, ApiError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let visible = visible_orgs(&ports, &registry, &principal).await?;
    let repos =
        body.repos.iter().map(|repo| parse_repo(repo, &registry, &visible)).collect::<Result<Vec<_>, _>>()?;
    let is_requested = |org: &String| repos.is_empty() || repos.iter().any(|repo| repo.org == *org);
    let orgs: Vec<String> = visible.into_iter().filter(is_requested).collect();
    let request = WorkRequest { worker: body.worker, skills: body.skills, repos };
    match tasks.request(&principal, &request, &orgs).await? {
        RequestOutcome::Assigned(assignment) => {
            let org = registry.name_of_stored(&assignment.org).to_owned();
            Ok(Json(AssignedTask::new(*assignment, org)).into_response())
        }
        RequestOutcome::Nothing { retry_after } => {
            let seconds = HeaderValue::from(retry_after.as_secs());
            Ok((StatusCode::NO_CONTENT, [(header::RETRY_AFTER, seconds)]).into_response())
        }
    }
}

async fn handle_report(
    kind: ReportKind,
    HostWork(WorkPorts { tasks, .. }): HostWork,
    Extension(principal): Extension<Principal>,
    ClaimOfPath(claim_id): ClaimOfPath,
    _: Validated<NoParams>,
    _: AcceptsJson,
    JsonBody(body): JsonBody<ClaimReport>,
) -> Result<Json<ClaimStatus>, ApiError> {
    let ClaimReport { fence, note, result } = body;
    let report = TaskReport { kind, fence, note, result };
    Ok(Json(tasks.report(&principal, &claim_id, &report).await?.into()))
}

async fn handle_append(
    HostWork(WorkPorts { tasks, .. }): HostWork,
    Extension(principal): Extension<Principal>,
    ClaimOfPath(claim_id): ClaimOfPath,
    _: Validated<NoParams>,
    _: AcceptsJson,
    JsonBody(body): JsonBody<LogLines>,
) -> Result<Json<LogAppended>, ApiError> {
    let LogLines { fence, lines, sequence } = body;
    let count = lines.len();
    tasks.append_log(&principal, &claim_id, &LogAppend { fence, lines, sequence }).await?;
    Ok(Json(LogAppended { lines: count }))
}

async fn handle_log(
    HostWork(WorkPorts { tasks, .. }): HostWork,
    Extension(principal): Extension<Principal>,
    ClaimOfPath(claim_id): ClaimOfPath,
    _: AcceptsJson,
    Validated(params): Validated<LogParams>,
) -> Result<Json<TaskLog>, ApiError> {
    let task = tasks.task_of(&claim_id).await?.filter(|task| task.is_in(&principal.scope));
    task.ok_or_else(unknown_claim)?;
    Ok(Json(tasks.read_log(&claim_id, params.from).await?.into()))
}

async fn handle_list(
    HostWork(WorkPorts { tasks, .. }): HostWork,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
    _: AcceptsJson,
    Validated(params): Validated<TasksParams>,
) -> Result<Response, ApiError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let mut orgs = visible_orgs(&ports, &registry, &principal).await?;
    if let Some(org) = &params.org {
        let key = registry.key_of(org);
        orgs.retain(|it| *it == key);
        if orgs.is_empty() {
            return Err(QueryError::unknown_org(org).into());
        }
    }
    orgs.sort();
    let cursor = params.cursor.as_deref().map(TaskCursor::parse).transpose()?;
    let filter = TaskFilter { state: params.state, repo: params.repo };
    let (mut listed, mut next) = (Vec::new(), None);
    for org in orgs.iter().filter(|org| cursor.as_ref().is_none_or(|cursor| cursor.org <= **org)) {
        let after = cursor.as_ref().filter(|cursor| cursor.org == *org).map(|cursor| cursor.after);
        let limit = params.limit - listed.len();
        let page = tasks.list(org, &filter, |task| task.is_in(&principal.scope), limit, after).await?;
        let name = registry.name_of_stored(org);
        listed.extend(page.tasks.into_iter().map(|task| ListedTask::new(task, name.to_owned())));
        if let Some(after) = page.next {
            next = Some(TaskCursor { org: org.clone(), after }.to_text());
            break;
        }
    }
    let cursor = next.clone();
    Ok(with_next_link(Json(TaskList { tasks: listed, next }), &uri, cursor.as_deref()))
}

/// Returns the storage keys of the organizations that the principal sees.
pub(super) async fn visible_orgs(
    ports: &QueryPorts,
    registry: &OrgRegistry,
    principal: &Principal,
) -> Result<Vec<String>, ApiError> {
    let orgs = ports.names.orgs().await.map_err(QueryError::Store)?;
    let mut keys: Vec<String> = orgs.iter().map(|org| registry.key_of(org)).collect();
    keys.retain(|key| principal.scope.includes_org(key));
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// Parses the name of a repository. A name without organization is of the only one that the principal sees.
fn parse_repo(text: &str, registry: &OrgRegistry, visible: &[String]) -> Result<RepoName, ApiError> {
    let (org, repo) = match (text.split_once('/'), visible) {
        (Some((org, repo)), _) => (registry.key_of(org), repo),
        (None, [only]) => (only.clone(), text),
        (None, _) => ("".to_owned(), ""),
    };
    if org.is_empty() || repo.is_empty() || repo.contains('/') {
        return Err(ApiError::invalid(format!(
            "invalid repository {} in `repos`: expected org/repo, such as acme/site",
            quoted(text)
        )));
    }
    Ok(RepoName { org, repo: repo.to_lowercase() })
}

/// Where a page of the list of tasks begins.
struct TaskCursor {
    org: String,
    /// The repository id and number of the last task of the page before.
    after: (i64, i64),
}

impl TaskCursor {
    fn to_text(&self) -> String {
        format!("{}.{}.{}", self.org, self.after.0, self.after.1)
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let parse = || {
            let mut parts = text.split('.');
            let (org, repo_id, number) = (parts.next()?, parts.next()?, parts.next()?);
            let cursor =
                TaskCursor { org: org.to_owned(), after: (repo_id.parse().ok()?, number.parse().ok()?) };
            (cursor.to_text() == text && cursor.after.0 >= 0 && cursor.after.1 >= 0).then_some(cursor)
        };
        parse().ok_or_else(|| {
            ApiError::invalid(format!("invalid `cursor` {}: use the `next` of an answer", quoted(text)))
        })
    }
}
