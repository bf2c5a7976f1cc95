//! `…/members` and `…/repos`: sorted listings of the members and repositories of an organization, of the members of a
//! repository, and of the repositories of a member.

use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gam_access::RouteClass;
use gam_query::{Listing, QueryPorts, SubjectRef};

use super::LISTING_ERRORS;
use crate::answer::{Answer, AnswerFormat};
use crate::error::ApiError;
use crate::openapi::{Operation, schema_name};
use crate::params::{ListParams, Parameter, QueryParams, SubjectQuery, WithRepoId};
use crate::routes::{Route, RouteMethod};

pub(crate) fn members(path: &'static str) -> Route {
    let summary = "The members credited with events in the range, with their metrics";
    let operation = operation(path, "members", summary, ListParams::accepted(), schema_name::MEMBERS);
    let handler =
        get(async |format, uri, ports, query| handle(Listing::Members, format, uri, ports, query).await);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

pub(crate) fn repos(path: &'static str) -> Route {
    let summary = "The repositories credited with events in the range, with their metrics";
    let operation = operation(path, "repos", summary, ListParams::accepted(), schema_name::REPOS);
    let handler =
        get(async |format, uri, ports, query| handle(Listing::Repos, format, uri, ports, query).await);
    Route { path, method: RouteMethod::Get, handler, operation, class: RouteClass::Read }
}

pub(crate) fn repo_members(path: &'static str) -> Route {
    let summary = "The members credited with events of a repository in the range, with what they did in it";
    let parameters = WithRepoId::<ListParams>::accepted();
    let operation = operation(path, "repo_members", summary, parameters, schema_name::MEMBERS);
    Route { path, method: RouteMethod::Get, handler: get(handle_within), operation, class: RouteClass::Read }
}

pub(crate) fn member_repos(path: &'static str) -> Route {
    let summary = "The repositories in which a member is credited with events in the range, with what the member did \
                   in them";
    let operation = operation(path, "member_repos", summary, ListParams::accepted(), schema_name::REPOS);
    Route { path, method: RouteMethod::Get, handler: get(handle_within), operation, class: RouteClass::Read }
}

fn operation(
    path: &str,
    id: &str,
    summary: &str,
    parameters: Vec<Parameter>,
    schema: &'static str,
) -> Operation {
    Operation::of_answer(path, id, summary, parameters, &[schema], LISTING_ERRORS)
}

/// Handles a listing of an organization.
async fn handle(
    listing: Listing,
    format: AnswerFormat,
    uri: Uri,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, params, .. }: SubjectQuery<ListParams>,
) -> Result<Response, ApiError> {
    answer(format, &uri, &ports, &org, listing, params).await
}

/// Handles a listing of a repository or a member.
async fn handle_within(
    format: AnswerFormat,
    uri: Uri,
    State(ports): State<QueryPorts>,
    SubjectQuery { org, subject, params }: SubjectQuery<ListParams>,
) -> Result<Response, ApiError> {
    answer(format, &uri, &ports, &org, listing_within(subject), params).await
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
    format: AnswerFormat,
    uri: &Uri,
    ports: &QueryPorts,
    org: &str,
    listing: Listing,
    params: ListParams,
) -> Result<Response, ApiError> {
    let request = params.request(listing);
    let body = gam_query::list(ports, org, &request).await?;
    let next = body.next.clone();
    Ok(with_next_link(Answer { format, body }, uri, next.as_deref()))
}

/// Returns the response with a link to the page of the cursor `next`, if there is one.
pub(crate) fn with_next_link(answer: impl IntoResponse, uri: &Uri, next: Option<&str>) -> Response {
    let mut response = answer.into_response();
    if let Some(link) = next.and_then(|cursor| link_to_page(uri, cursor)) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// Returns the link to the page of a cursor (RFC 8288), relative to the request: CSV has no place for the cursor.
fn link_to_page(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let parameters = uri.query().unwrap_or_default().split('&');
    let mut parameters: Vec<&str> =
        parameters.filter(|it| !it.is_empty() && !it.starts_with("cursor=")).collect();
    let cursor = format!("cursor={cursor}");
    parameters.push(&cursor);
    HeaderValue::try_from(format!("<?{}>; rel=\"next\"", parameters.join("&"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_the_next_page_repeats_the_query() {
        let link = |uri: &str| link_to_page(&uri.parse().unwrap(), "abc").unwrap();
        assert_eq!(link("/members"), "<?cursor=abc>; rel=\"next\"");
        assert_eq!(
            link("/members?cursor=x&sort=name&q=a%20b"),
            "<?sort=name&q=a%20b&cursor=abc>; rel=\"next\""
        );
    }
}
