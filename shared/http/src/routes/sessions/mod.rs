//! `/api/v1/sessions`: takes session events from other machines, which need no access to the lake.

mod bodies;

use std::collections::HashMap;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::routing::post;
use axum::{Extension, Json};
use gam_access::{Principal, Role, RouteClass};
use gam_model::Member;
use gam_query::{QueryError, QueryPorts};
use gam_store::NameKind;
use gam_work::PushedSessions;

use self::bodies::{EventOwner, PushedSessionEvent, RefusedSessionEvent, SessionPush, SessionsPushed};
use super::tasks::{fields_of, visible_orgs};
use super::{Route, RouteMethod};
use crate::answer::AcceptsJson;
use crate::error::{ApiError, quoted};
use crate::openapi::{NamedSchema, Operation, derived, schema_name};
use crate::params::{JsonBody, NoParams, Validated};

/// The paths of the routes.
pub(super) const PATHS: [&str; 1] = ["/api/v1/sessions"];

/// The most events of a request.
const MAX_EVENTS: usize = 1_000;
/// The longest login, in bytes.
const MAX_LOGIN_BYTES: usize = 100;
const NOT_COLLECTED: &str = "not_collected";
const OTHER_MEMBER: &str = "other_member";
const INVALID: &str = "invalid";

pub(super) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = vec![derived::<SessionPush>(), derived::<SessionsPushed>()];
    schemas.extend(fields_of::<SessionPush>());
    schemas.extend(fields_of::<SessionsPushed>());
    schemas
}

pub(super) fn push(path: &'static str) -> Route {
    let summary = "Stores session events of another machine. To send them again changes nothing. They are credited to the \
                   member of the token";
    let operation = Operation {
        request: Some(schema_name::SESSION_PUSH),
        ..Operation::of_json("push_sessions", summary, schema_name::SESSIONS_PUSHED, &[400, 404, 415])
    };
    Route { path, method: RouteMethod::Post, handler: post(handle_push), operation, class: RouteClass::Work }
}

/// Extracts what takes session events.
struct HostSessions(PushedSessions);

impl<S: Sync> FromRequestParts<S> for HostSessions {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<PushedSessions>().cloned().map(HostSessions).ok_or_else(ApiError::no_sessions)
    }
}

async fn handle_push(
    HostSessions(sessions): HostSessions,
    State(ports): State<QueryPorts>,
    Extension(principal): Extension<Principal>,
    _: AcceptsJson,
    _: Validated<NoParams>,
    JsonBody(body): JsonBody<SessionPush>,
) -> Result<Json<SessionsPushed>, ApiError> {
    let SessionPush { org, member, events } = body;
    if events.len() > MAX_EVENTS {
        let count = events.len();
        return Err(ApiError::invalid(format!("{count} events: send at most {MAX_EVENTS} in a request")));
    }
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let key = registry.key_of(&org);
    if !visible_orgs(&ports, &registry, &principal).await?.contains(&key) {
        return Err(ApiError::from(QueryError::unknown_org(&org))
            .because("the token's scope does not include it, or there is no such organization"));
    }
    let member = credited_member(member, &principal)?;
    let now = ports.clock.now();
    let names = ports.names.names(&key, NameKind::Repo).await.map_err(QueryError::Store)?;
    let repos: HashMap<String, (i64, String)> =
        names.into_iter().map(|entry| (entry.name.to_lowercase(), (entry.id, entry.name))).collect();
    let repo_of = |event: &PushedSessionEvent| {
        repos.get(&event.repo.to_lowercase()).filter(|(_, name)| principal.scope.includes_repo(&key, name))
    };
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for event in events {
        if let Err(what) = event.check(now) {
            // One clock that is wrong must not stop the others.
            let refusal = RefusedSessionEvent::new(event.id().clone(), INVALID);
            refused.push(RefusedSessionEvent { detail: Some(what), ..refusal });
            continue;
        }
        match repo_of(&event) {
            Some((id, name)) => {
                let owner = EventOwner { org: &key, member: &member, repo: (*id, name) };
                accepted.push(event.into_event(&owner, now));
            }
            None => {
                refused.push(RefusedSessionEvent::new(event.id().clone(), NOT_COLLECTED));
            }
        }
    }
    let count = accepted.len();
    let foreign = sessions.push(&key, &member.name, accepted).await?;
    let foreign = foreign.into_iter().map(|event_id| RefusedSessionEvent::new(event_id, OTHER_MEMBER));
    let accepted = count.saturating_sub(foreign.len());
    refused.extend(foreign);
    Ok(Json(SessionsPushed { accepted, refused }))
}

/// Returns the member whose sessions the principal pushes.
fn credited_member(named: Option<String>, principal: &Principal) -> Result<Member, ApiError> {
    let login = match (named, &principal.member) {
        (Some(named), Some(own)) if named.eq_ignore_ascii_case(own) => own.clone(),
        (Some(named), _) if principal.role == Role::Admin => named,
        (Some(_), _) => {
            return Err(ApiError::forbidden().because("only an administrator pushes the sessions of others"));
        }
        (None, Some(own)) => own.clone(),
        (None, None) => {
            return Err(ApiError::invalid(
                "the token belongs to no member: create one with `github-metrics token new NAME --role worker --member \
                 LOGIN`, or name a `member` as an administrator",
            ));
        }
    };
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_[]".contains(&byte);
    if login.is_empty() || login.len() > MAX_LOGIN_BYTES || !login.bytes().all(is_allowed) {
        return Err(ApiError::invalid(format!(
            "invalid `member` {}: expected a login of GitHub, such as ann",
            quoted(&login)
        )));
    }
    Ok(Member::account(&login, None, false))
}
