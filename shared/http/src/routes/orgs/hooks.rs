//! `…/hooks`: the webhooks of an organization, as the last sweep of their deliveries found them. No request asks GitHub.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use chrono::{DateTime, Utc};
use gam_access::RouteClass;
use gam_query::{QueryError, QueryPorts, StoredOrgName};
use gam_work::hooks::{HookGap, HookState, LastDelivery};
use serde::Serialize;
use utoipa::ToSchema;

use super::SUBJECT_ERRORS;
use crate::answer::AcceptsJson;
use crate::error::ApiError;
use crate::openapi::{NamedSchema, Operation, derived, schema_name};
use crate::params::{NoParams, SubjectQuery};
use crate::router::HostWork;
use crate::routes::{Route, RouteMethod};

/// The webhooks of an organization.
#[derive(Serialize, ToSchema)]
pub(crate) struct HookList {
    /// The organization.
    org: String,
    /// The webhooks, in order of ids.
    hooks: Vec<ListedHook>,
}

/// A webhook, as the server knows it.
#[derive(Serialize, ToSchema)]
struct ListedHook {
    /// `app` for the webhook of the GitHub App, `org/LOGIN/ID` or `repo/LOGIN/NAME/ID`.
    id: String,
    /// The address that it delivers to. `null` before the first sweep.
    #[schema(required)]
    url: Option<String>,
    /// Whether it delivers. `null` before the first sweep.
    #[schema(required)]
    is_active: Option<bool>,
    /// Up to when its deliveries were compared with those that arrived, UTC, or `null`.
    #[schema(required)]
    checked_until: Option<DateTime<Utc>>,
    /// The last attempt to deliver, or `null` if there was none in the last three days.
    #[schema(required)]
    last_delivery: Option<ListedDelivery>,
    /// What did not arrive, the oldest first. What it was about has been read again.
    gaps: Vec<ListedGap>,
    /// What is wrong with its settings, each with what to do.
    problems: Vec<String>,
}

/// An attempt to deliver.
#[derive(Serialize, ToSchema)]
struct ListedDelivery {
    /// When it was made, UTC.
    at: DateTime<Utc>,
    /// The event.
    event: String,
    /// Status of the answer. 0 if there was none.
    status_code: i64,
    /// `OK`, or what failed.
    status: String,
}

/// Events that did not arrive.
#[derive(Serialize, ToSchema)]
struct ListedGap {
    /// When the first of them was tried, UTC.
    from: DateTime<Utc>,
    /// When the last of them was tried, UTC.
    to: DateTime<Utc>,
    /// Number of the events.
    missed: usize,
    /// The repositories that they were about, up to 20.
    repos: Vec<String>,
}

impl From<HookState> for ListedHook {
    fn from(state: HookState) -> Self {
        let problems = state.problems();
        let HookState { id, info, checked_until, last, gaps, walk: _ } = state;
        let (url, is_active) = info.map(|info| (info.url, info.is_active)).unzip();
        let delivery = |last: LastDelivery| {
            let LastDelivery { at, event, status_code, status } = last;
            ListedDelivery { at, event, status_code, status }
        };
        let gap = |HookGap { from, to, missed, repos }| ListedGap { from, to, missed, repos };
        let gaps = gaps.into_iter().map(gap).collect();
        ListedHook { id, url, is_active, checked_until, last_delivery: last.map(delivery), gaps, problems }
    }
}

pub(in crate::routes) fn schemas() -> Vec<NamedSchema> {
    let mut schemas = vec![derived::<HookList>()];
    HookList::schemas(&mut schemas);
    schemas
}

pub(crate) fn route(path: &'static str) -> Route {
    let operation = Operation::of_json(
        "hooks",
        "The webhooks of an organization: their last deliveries, and what did not arrive",
        schema_name::HOOK_LIST,
        SUBJECT_ERRORS,
    );
    Route { path, method: RouteMethod::Get, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    State(ports): State<QueryPorts>,
    HostWork(work): HostWork,
    _: AcceptsJson,
    SubjectQuery { org, .. }: SubjectQuery<NoParams>,
) -> Result<Json<HookList>, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &org).await?;
    let hooks = work.issues.hooks(&key).await.map_err(QueryError::Store)?;
    Ok(Json(HookList { org, hooks: hooks.into_iter().map(ListedHook::from).collect() }))
}
