//! Whom a path is about.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use gam_query::SubjectRef;
use serde::Deserialize;

use crate::problem::Failure;

#[derive(Deserialize)]
struct Names {
    org: String,
    repo: Option<String>,
    member: Option<String>,
}

/// The organization a path names, and whom in it, with percent-encoding undone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) org: String,
    pub(crate) subject: SubjectRef,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(names) = Path::<Names>::from_request_parts(parts, state).await.map_err(|_| {
            let path = parts.uri.path();
            Failure::invalid(format!(
                "the path {path} is not UTF-8 once its percent-encoding is undone: encode names as UTF-8"
            ))
        })?;
        // The router lets an empty part of a path pass for a name.
        if [Some(&names.org), names.repo.as_ref(), names.member.as_ref()]
            .into_iter()
            .flatten()
            .any(String::is_empty)
        {
            return Err(Failure::no_such_route(parts.uri.path()));
        }
        let subject = match (names.repo, names.member) {
            (Some(repo), _) => SubjectRef::Repo(repo),
            (None, Some(member)) => SubjectRef::Member(member),
            (None, None) => SubjectRef::Org,
        };
        Ok(Target { org: names.org, subject })
    }
}
