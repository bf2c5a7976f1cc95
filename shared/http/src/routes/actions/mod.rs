//! `/create-issue` and the other requests of actions, `/api/v1/actions`, and `/api/v1/approvals`.

mod bodies;

use std::time::Duration;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use gam_access::{Principal, Requester, Role, RouteClass};
use gam_query::{QueryError, QueryPorts};
use gam_work::actions::{
    Action, ActionError, ActionFilter, ActionId, ActionRequest, ActionResolution, Decision, NewAction,
    RepositoryName,
};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use self::bodies::{
    ActionAnswer, ActionList, ActionView, ApprovalBody, ApproveMergePrBody, CreateCommentBody,
    CreateIssueBody, CreatePrBody, LinkAnswer, LinkBody, RejectionBody, ResolutionBody,
};
use super::orgs::listings::with_next_link;
use super::tasks::{fields_of, visible_orgs};
use super::{Route, RouteMethod};
use crate::answer::AcceptsJson;
use crate::auth::AccessControl;
use crate::error::{ApiError, quoted};
use crate::openapi::{NamedSchema, Operation, ResponseBody, derived, schema_name};
use crate::params::{ActionParams, ActionsParams, JsonBody, NoParams, QueryParams, Validated};
use crate::router::{HostWork, WorkPorts};

/// The paths of the routes that name no organization.
pub(super) const PATHS: [&str; 15] = [
    "/api/v1/create-issue",
    "/api/v1/create-comment",
    "/api/v1/create-pr",
    "/api/v1/approve-merge-pr",
    "/create-issue",
    "/create-comment",
    "/create-pr",
    "/approve-merge-pr",
    "/api/v1/actions",
    "/api/v1/actions/{action_id}",
    "/api/v1/approvals/{action_id}/approve",
    "/api/v1/approvals/{action_id}/reject",
    "/api/v1/approvals/{action_id}/link",
    "/api/v1/actions/{action_id}/retry",
    "/api/v1/actions/{action_id}/resolve",
];

/// How long a request waits for its action. Then the answer is its id.
const MAX_WAIT: Duration = Duration::from_secs(15);
/// The header with the client's key.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The body of a request of an action.
trait ActionBody: DeserializeOwned + ToSchema + Send {
    /// The repository, and what to do there.
    fn into_request(self) -> (String, ActionRequest);
}

pub(super) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = vec![
        derived::<CreateIssueBody>(),
        derived::<CreateCommentBody>(),
        derived::<CreatePrBody>(),
        derived::<ApproveMergePrBody>(),
        derived::<ApprovalBody>(),
        derived::<RejectionBody>(),
        derived::<LinkBody>(),
        derived::<LinkAnswer>(),
        derived::<ResolutionBody>(),
        derived::<ActionAnswer>(),
        derived::<ActionView>(),
        derived::<ActionList>(),
    ];
    schemas.extend(fields_of::<ActionView>());
    schemas.extend(fields_of::<ApproveMergePrBody>());
    schemas
}

pub(super) fn create_issue(path: &'static str) -> Route {
    let summary = "Creates an issue";
    submit_route::<CreateIssueBody>(path, "create_issue", summary, schema_name::CREATE_ISSUE, RouteClass::Act)
}

pub(super) fn create_comment(path: &'static str) -> Route {
    let summary = "Comments on an issue or a pull request";
    let class = RouteClass::ActUnderClaim;
    submit_route::<CreateCommentBody>(path, "create_comment", summary, schema_name::CREATE_COMMENT, class)
}

pub(super) fn create_pr(path: &'static str) -> Route {
    let summary = "Creates a pull request, or returns the open one of the branch";
    submit_route::<CreatePrBody>(
        path,
        "create_pr",
        summary,
        schema_name::CREATE_PR,
        RouteClass::ActUnderClaim,
    )
}

pub(super) fn approve_merge_pr(path: &'static str) -> Route {
    let summary = "Approves a pull request and merges it, pinned to its head commit";
    submit_route::<ApproveMergePrBody>(
        path,
        "approve_merge_pr",
        summary,
        schema_name::APPROVE_MERGE_PR,
        RouteClass::Act,
    )
}

fn submit_route<B: ActionBody + 'static>(
    path: &'static str,
    id: &str,
    summary: &str,
    request: &'static str,
    class: RouteClass,
) -> Route {
    let is_alias = !path.starts_with("/api/");
    let operation = Operation {
        id: if is_alias { format!("{id}_at_root") } else { id.to_owned() },
        summary: summary.to_owned(),
        parameters: ActionParams::accepted(),
        response: ResponseBody::Action(schema_name::ACTION_ANSWER),
        request: Some(request),
        no_content: None,
        error_statuses: &[400, 404, 409, 415, 422],
    };
    Route { path, method: RouteMethod::Post, handler: post(handle_submit::<B>), operation, class }
}

pub(super) fn list(path: &'static str) -> Route {
    let operation = Operation {
        parameters: ActionsParams::accepted(),
        ..Operation::of_json(
            "actions",
            "The actions on GitHub of the last 90 days, the newest first",
            schema_name::ACTION_LIST,
            &[400, 404],
        )
    };
    Route { path, method: RouteMethod::Get, handler: get(handle_list), operation, class: RouteClass::Read }
}

pub(super) fn show(path: &'static str) -> Route {
    let operation = Operation::of_json(
        "action",
        "An action: its state, what it is about, and what it made",
        schema_name::ACTION,
        &[400, 404],
    );
    Route { path, method: RouteMethod::Get, handler: get(handle_show), operation, class: RouteClass::Read }
}

pub(super) fn approve(path: &'static str) -> Route {
    decision_route(
        path,
        "approve_action",
        "Approves an action of somebody else",
        schema_name::APPROVAL,
        post(handle_approve),
    )
}

pub(super) fn reject(path: &'static str) -> Route {
    decision_route(
        path,
        "reject_action",
        "Rejects an action of somebody else",
        schema_name::REJECTION,
        post(handle_reject),
    )
}

fn decision_route(
    path: &'static str,
    id: &str,
    summary: &str,
    request: &'static str,
    handler: axum::routing::MethodRouter<QueryPorts>,
) -> Route {
    let operation = Operation {
        request: Some(request),
        ..Operation::of_json(id, summary, schema_name::ACTION, &[400, 404, 409, 410, 415])
    };
    Route { path, method: RouteMethod::Post, handler, operation, class: RouteClass::Decide }
}

pub(super) fn make_link(path: &'static str) -> Route {
    let operation = Operation {
        request: Some(schema_name::APPROVAL_LINK_REQUEST),
        ..Operation::of_json(
            "make_approval_link",
            "Makes a link with which an approver decides about an action without signing in",
            schema_name::APPROVAL_LINK,
            &[400, 404, 409, 415],
        )
    };
    let (method, handler, class) = (RouteMethod::Post, post(handle_link), RouteClass::Administer);
    Route { path, method, handler, operation, class }
}

pub(super) fn retry(path: &'static str) -> Route {
    let operation = Operation::of_json(
        "retry_action",
        "Has a failed action attempted again; what is done is not repeated",
        schema_name::ACTION,
        &[400, 404, 409],
    );
    let (method, handler, class) = (RouteMethod::Post, post(handle_retry), RouteClass::Act);
    Route { path, method, handler, operation, class }
}

pub(super) fn resolve(path: &'static str) -> Route {
    let operation = Operation {
        request: Some(schema_name::RESOLUTION),
        ..Operation::of_json(
            "resolve_action",
            "Says whether an unknown action was done",
            schema_name::ACTION,
            &[400, 404, 409, 415],
        )
    };
    let (method, handler, class) = (RouteMethod::Post, post(handle_resolve), RouteClass::Act);
    Route { path, method, handler, operation, class }
}

/// What a request about one action has in common with others: the id in the path, who sends it, and the host's actions. It
/// has no parameters, and its answer is JSON.
struct ActionCall {
    work: WorkPorts,
    principal: Principal,
    id: ActionId,
}

impl FromRequestParts<QueryPorts> for ActionCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, ports: &QueryPorts) -> Result<Self, ApiError> {
        let HostWork(work) = HostWork::from_request_parts(parts, ports).await?;
        let principal = parts.extensions.get::<Principal>().cloned().ok_or_else(ApiError::unauthorized)?;
        let id = Path::<String>::from_request_parts(parts, ports).await;
        let id = id.ok().and_then(|Path(id)| ActionId::parse(&id)).ok_or_else(unknown_action)?;
        Validated::<NoParams>::from_request_parts(parts, ports).await?;
        AcceptsJson::from_request_parts(parts, ports).await?;
        Ok(ActionCall { work, principal, id })
    }
}

impl ActionCall {
    /// Returns the action if the principal may see it.
    async fn visible(&self) -> Result<Action, ApiError> {
        let action = self.work.actions.get(&self.id).await?;
        action.filter(|action| action.is_in(&self.principal.scope)).ok_or_else(unknown_action)
    }

    /// Decides about the action.
    async fn decide(&self, hash: &str, decision: &Decision) -> Result<Json<ActionView>, ApiError> {
        answer(self.work.actions.decide(&self.principal, &self.id, hash, decision).await)
    }

    /// Returns who sends the request, as audit rows have it.
    fn requester(&self) -> Requester {
        (&self.principal).into()
    }
}

fn unknown_action() -> ApiError {
    ApiError::not_found("there is no such action: use the `action` of an answer, or see /api/v1/actions")
}

fn answer(action: Result<Action, ActionError>) -> Result<Json<ActionView>, ApiError> {
    Ok(Json(ActionView::new(&action?)))
}

async fn handle_submit<B: ActionBody>(
    HostWork(work): HostWork,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    _: AcceptsJson,
    Validated(params): Validated<ActionParams>,
    JsonBody(body): JsonBody<B>,
) -> Result<Response, ApiError> {
    let (repository, request) = body.into_request();
    let (org, repo) = find_repository(&work, &ports, &principal, &repository).await?;
    if principal.role == Role::Worker && !work.tasks.has_live_claim(&principal.id, &org, &repo.name).await? {
        return Err(ApiError::forbidden().because("the worker holds no claim in the repository"));
    }
    let key = match headers.get(IDEMPOTENCY_KEY).map(|key| key.to_str()) {
        None => None,
        Some(Ok(key)) => Some(key.trim().to_owned()),
        Some(Err(_)) => return Err(ApiError::invalid("invalid `Idempotency-Key`: expected printable ASCII")),
    };
    let new = NewAction { org, repo, request, key };
    if params.is_dry_run {
        let action = work.actions.preview(&principal, &new).await?;
        return Ok(Json(ActionAnswer::of_preview(&action)).into_response());
    }
    let submitted = work.actions.submit(&principal, &new).await?;
    let action = work.actions.wait_for(submitted.action, MAX_WAIT).await?;
    let answer = ActionAnswer::new(&action);
    match bodies::status(&action) {
        Ok(status) => Ok((status, Json(answer)).into_response()),
        Err(error) => Err(error.with_answer(answer.message, answer.data)),
    }
}

/// Returns the storage key of the organization and the repository, if the principal may see it.
async fn find_repository(
    work: &WorkPorts,
    ports: &QueryPorts,
    principal: &Principal,
    text: &str,
) -> Result<(String, RepositoryName), ApiError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let default_owner = match (text.contains('/'), &work.default_owner) {
        (true, _) => None,
        (false, Some(owner)) => Some(owner.clone()),
        (false, None) => {
            // A token's organization need not be collected.
            let orgs = match principal.scope.orgs() {
                Some(orgs) => orgs,
                None => visible_orgs(ports, &registry, principal).await?,
            };
            match orgs.as_slice() {
                [only] => Some(registry.name_of_stored(only).to_owned()),
                _ => None,
            }
        }
    };
    let repo = RepositoryName::parse(text, default_owner.as_deref()).ok_or_else(|| {
        ApiError::invalid(format!(
            "invalid `repository` {}: expected owner/name, such as acme/site; a bare name needs GITHUB_OWNER, or a token \
             of one organization",
            quoted(text)
        ))
    })?;
    let org = registry.key_of(&repo.owner);
    if !principal.scope.includes_repo(&org, &repo.name) {
        let detail =
            format!("there is no repository {}: check the name and the scope of the token", quoted(text));
        return Err(ApiError::not_found(detail).because("the token's scope does not include it"));
    }
    Ok((org, repo))
}

async fn handle_list(
    HostWork(work): HostWork,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    uri: Uri,
    _: AcceptsJson,
    Validated(params): Validated<ActionsParams>,
) -> Result<Response, ApiError> {
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let mut orgs = work.actions.orgs().await?;
    orgs.extend(visible_orgs(&ports, &registry, &principal).await?);
    orgs.retain(|org| principal.scope.includes_org(org));
    orgs.sort();
    orgs.dedup();
    if let Some(org) = &params.org {
        let key = registry.key_of(org);
        // An organization that is not collected can have actions, too.
        let is_login = RepositoryName::parse(&format!("{key}/x"), None).is_some();
        if !is_login || !principal.scope.includes_org(&key) {
            return Err(QueryError::unknown_org(org).into());
        }
        orgs = vec![key];
    }
    let invalid_cursor = |text: &str| {
        ApiError::invalid(format!("invalid `cursor` {}: use the `next` of an answer", quoted(text)))
    };
    let cursor = params.cursor.as_deref();
    let cursor = cursor.map(|text| ActionId::parse(text).ok_or_else(|| invalid_cursor(text))).transpose()?;
    let filter = ActionFilter { state: params.state, repo: params.repo };
    let (mut listed, mut next) = (Vec::new(), None);
    for org in orgs.iter().filter(|org| cursor.as_ref().is_none_or(|cursor| cursor.org <= **org)) {
        let after = cursor.as_ref().filter(|cursor| cursor.org == *org);
        let limit = params.limit - listed.len();
        let page =
            work.actions.list(org, &filter, |action| action.is_in(&principal.scope), limit, after).await?;
        listed.extend(page.actions.iter().map(ActionView::new));
        if let Some(last) = page.next {
            next = Some(last.to_string());
            break;
        }
        if listed.len() == params.limit {
            // The next organization may have more.
            next = page.actions.last().map(|last| last.id.to_string()).filter(|_| Some(org) != orgs.last());
            break;
        }
    }
    let cursor = next.clone();
    Ok(with_next_link(Json(ActionList { actions: listed, next }), &uri, cursor.as_deref()))
}

async fn handle_show(call: ActionCall) -> Result<Json<ActionView>, ApiError> {
    Ok(Json(ActionView::new(&call.visible().await?)))
}

async fn handle_approve(
    call: ActionCall,
    JsonBody(body): JsonBody<ApprovalBody>,
) -> Result<Json<ActionView>, ApiError> {
    call.decide(&body.hash, &Decision::Approve).await
}

async fn handle_reject(
    call: ActionCall,
    JsonBody(body): JsonBody<RejectionBody>,
) -> Result<Json<ActionView>, ApiError> {
    call.decide(&body.hash, &Decision::Reject { reason: body.reason }).await
}

async fn handle_link(
    call: ActionCall,
    Extension(access): Extension<AccessControl>,
    JsonBody(body): JsonBody<LinkBody>,
) -> Result<Json<LinkAnswer>, ApiError> {
    let links = call.work.links.as_ref().ok_or_else(ApiError::no_links)?;
    call.visible().await?;
    let approver = (access.stored_tokens().ok_or_else(ApiError::no_links)?, body.approver.as_str());
    let link = call.work.actions.make_link(&call.requester(), &call.id, approver).await?;
    Ok(Json(LinkAnswer { url: links.url(&link), expires_at: link.expires_at }))
}

async fn handle_retry(call: ActionCall) -> Result<Json<ActionView>, ApiError> {
    call.visible().await?;
    answer(call.work.actions.retry(&call.requester(), &call.id).await)
}

async fn handle_resolve(
    call: ActionCall,
    JsonBody(body): JsonBody<ResolutionBody>,
) -> Result<Json<ActionView>, ApiError> {
    let resolution = match (body.done, body.not_done.unwrap_or_default()) {
        (Some(url), false) => ActionResolution::Done { url },
        (None, true) => ActionResolution::NotDone,
        _ => return Err(ApiError::invalid("expected either `done` with an address, or `not_done: true`")),
    };
    call.visible().await?;
    answer(call.work.actions.resolve(&call.requester(), &call.id, &resolution).await)
}

/// The status of an answer about an action that is not done yet.
const ACCEPTED: StatusCode = StatusCode::ACCEPTED;
