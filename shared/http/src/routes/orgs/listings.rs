//! `…/members` and `…/repos`: sorted listings of the members and repositories of an organization, of the members of a
//! repository, and of the repositories of a member.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{ListAnswer, ListRequest, Listing, QueryPorts, SubjectRef};

use super::LISTING_ERRORS;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody, schema_name};
use crate::params::{ListParams, Parameter, QueryParams, SubjectPath, Validated, WithRepoId};
use crate::routes::Route;

pub(crate) fn members(path: &'static str) -> Route {
    let summary = "The members credited with events in the range, with their metrics";
    let operation = operation("members", summary, ListParams::accepted(), schema_name::MEMBERS);
    let handler = get(async |ports, path, params| handle(Listing::Members, ports, path, params).await);
    Route { path, handler, operation, class: RouteClass::Read }
}

pub(crate) fn repos(path: &'static str) -> Route {
    let summary = "The repositories credited with events in the range, with their metrics";
    let operation = operation("repos", summary, ListParams::accepted(), schema_name::REPOS);
    let handler = get(async |ports, path, params| handle(Listing::Repos, ports, path, params).await);
    Route { path, handler, operation, class: RouteClass::Read }
}

pub(crate) fn repo_members(path: &'static str) -> Route {
    let summary = "The members credited with events of a repository in the range, with what they did in it";
    let operation =
        operation("repo_members", summary, WithRepoId::<ListParams>::accepted(), schema_name::MEMBERS);
    Route { path, handler: get(handle_repo_members), operation, class: RouteClass::Read }
}

pub(crate) fn member_repos(path: &'static str) -> Route {
    let summary = "The repositories in which a member is credited with events in the range, with what the member did \
                   in them";
    let operation = operation("member_repos", summary, ListParams::accepted(), schema_name::REPOS);
    Route { path, handler: get(handle_member_repos), operation, class: RouteClass::Read }
}

fn operation(id: &str, summary: &str, parameters: Vec<Parameter>, schema: &'static str) -> Operation {
    Operation {
        id: id.to_owned(),
        summary: summary.to_owned(),
        parameters,
        response: ResponseBody::Json(schema),
        error_statuses: LISTING_ERRORS,
    }
}

/// Handles a listing of an organization.
async fn handle(
    listing: Listing,
    State(ports): State<QueryPorts>,
    SubjectPath { org, .. }: SubjectPath,
    Validated(params): Validated<ListParams>,
) -> Result<Json<ListAnswer>, ApiError> {
    answer(&ports, &org, listing, params).await
}

async fn handle_repo_members(
    State(ports): State<QueryPorts>,
    path: SubjectPath,
    Validated(WithRepoId { id, params }): Validated<WithRepoId<ListParams>>,
) -> Result<Json<ListAnswer>, ApiError> {
    let SubjectPath { org, subject } = path.with_repo_id(id);
    answer(&ports, &org, listing_within(subject), params).await
}

async fn handle_member_repos(
    State(ports): State<QueryPorts>,
    SubjectPath { org, subject }: SubjectPath,
    Validated(params): Validated<ListParams>,
) -> Result<Json<ListAnswer>, ApiError> {
    answer(&ports, &org, listing_within(subject), params).await
}

/// Returns the listing of what is done within a repository, or by a member.
fn listing_within(subject: SubjectRef) -> Listing {
    match subject {
        SubjectRef::Repo { name, id } => Listing::RepoMembers { name, id },
        SubjectRef::Member(name) => Listing::MemberRepos(name),
        SubjectRef::Org => Listing::Members,
    }
}

async fn answer(
    ports: &QueryPorts,
    org: &str,
    listing: Listing,
    params: ListParams,
) -> Result<Json<ListAnswer>, ApiError> {
    let ListParams { range, has_default_range, bots, sort, direction, limit, cursor } = params;
    let sort = gam_query::ListSort::Metric(sort);
    let request = ListRequest {
        listing,
        range,
        has_default_range,
        bots,
        sort,
        name_filter: None,
        compare: false,
        direction,
        limit,
        cursor,
    };
    Ok(Json(gam_query::list(ports, org, &request).await?))
}
