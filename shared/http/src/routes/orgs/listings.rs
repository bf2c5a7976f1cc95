//! `…/members` and `…/repos`: sorted listings of an organization's members and repositories.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_query::{ListAnswer, ListKind, ListRequest, QueryPorts};

use super::SUBJECT_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{ListParams, QueryParams, SubjectPath, Validated};
use crate::routes::Route;

pub(crate) fn members(path: &'static str) -> Route {
    let handler = get(async |ports, path, params| handle(ListKind::Members, ports, path, params).await);
    Route { path, handler, operation: operation("members", schema_name::MEMBERS) }
}

pub(crate) fn repos(path: &'static str) -> Route {
    let handler = get(async |ports, path, params| handle(ListKind::Repos, ports, path, params).await);
    Route { path, handler, operation: operation("repos", schema_name::REPOS) }
}

fn operation(listed: &str, schema: &'static str) -> Operation {
    Operation {
        id: listed.to_owned(),
        summary: format!("The {listed} credited with events in the range, with their metrics"),
        parameters: ListParams::ACCEPTED,
        response: ResponseBody::Json(schema),
        error_statuses: SUBJECT_ERRORS,
    }
}

async fn handle(
    kind: ListKind,
    State(ports): State<QueryPorts>,
    SubjectPath { org, .. }: SubjectPath,
    Validated(params): Validated<ListParams>,
) -> Result<Json<ListAnswer>, ApiError> {
    let ListParams { range, has_default_range, bots, sort, direction, limit, cursor } = params;
    let request = ListRequest { kind, range, has_default_range, bots, sort, direction, limit, cursor };
    Ok(Json(gam_query::list(&ports, &org, &request).await?))
}
