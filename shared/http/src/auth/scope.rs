//! What a principal sees of the organizations and repositories.

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use gam_access::{Principal, Scope};
use gam_query::{KeptOrgs, NameFilter, OrgsAnswer, QueryError, QueryPorts};

use crate::error::{ApiError, quoted};
use crate::routes;

/// Checks that the path names only what the principal sees. Every route names an organization with the parameter `org`
/// and a repository with the parameter `repo`, so a new route is checked too. The exceptions are the routes of
/// [`routes::checks_scope`].
///
/// # Errors
/// 404, as if it did not exist, for an organization or a repository that is out of scope. 403 for a route that sums up
/// more than the repositories in scope.
pub(super) async fn check(
    parts: &mut Parts,
    principal: &Principal,
    ports: &QueryPorts,
) -> Result<(), ApiError> {
    let scope = &principal.scope;
    let path = parts.extensions.get::<MatchedPath>();
    if *scope == Scope::All || path.is_some_and(|path| routes::checks_scope(path.as_str())) {
        return Ok(());
    }
    let out_of_scope = |error: ApiError| error.because("the token's scope does not include it");
    // The handler could not decode these names either.
    let params = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| {
        ApiError::invalid("invalid path: its percent-encoded bytes are not UTF-8; encode names as UTF-8")
    })?;
    let value = |name: &str| params.iter().find(|(it, _)| *it == name).map(|(_, value)| value.to_owned());
    let Some(org) = value("org") else {
        return match scope.includes_complete_orgs() {
            true => Ok(()),
            false => Err(out_of_scope(ApiError::forbidden())),
        };
    };
    let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
    let key = registry.key_of(&org);
    if !scope.includes_org(&key) {
        return Err(out_of_scope(QueryError::unknown_org(&org).into()));
    }
    match value("repo") {
        Some(repo) if !scope.includes_repo(&key, &repo) => {
            let detail = format!("no repository {} in {}: check the spelling", quoted(&repo), quoted(&org));
            Err(out_of_scope(ApiError::not_found(detail)))
        }
        None if !scope.includes_complete_orgs() => Err(out_of_scope(ApiError::forbidden())),
        _ => Ok(()),
    }
}

/// Returns the organizations that the principal sees and whose names the filter accepts.
///
/// # Errors
/// As [`KeptOrgs::orgs`].
pub(crate) async fn visible_orgs(
    ports: &QueryPorts,
    kept: &KeptOrgs,
    principal: &Principal,
    filter: Option<&NameFilter>,
) -> Result<OrgsAnswer, QueryError> {
    let mut answer = kept.orgs(ports).await?;
    if let Some(filter) = filter {
        answer.orgs.retain(|summary| filter.accepts(&summary.org));
    }
    if principal.scope != Scope::All {
        let registry = ports.registry.registry().await.map_err(QueryError::Registry)?;
        answer.orgs.retain(|summary| principal.scope.includes_org(&registry.key_of(&summary.org)));
    }
    Ok(answer)
}
