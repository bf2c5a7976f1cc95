//! The organization, repository or member that a path names.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use gam_query::SubjectRef;
use serde::Deserialize;

use crate::error::{ApiError, cut};

#[derive(Deserialize)]
struct PathNames {
    org: String,
    repo: Option<String>,
    member: Option<String>,
}

/// The organization that a path names, and the subject in it. Percent-encoding is decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SubjectPath {
    pub(crate) org: String,
    pub(crate) subject: SubjectRef,
}

impl SubjectPath {
    /// Returns the path with the id of the repository that it names.
    pub(crate) fn with_repo_id(self, id: Option<i64>) -> Self {
        let subject = match self.subject {
            SubjectRef::Repo { name, .. } => SubjectRef::Repo { name, id },
            subject => subject,
        };
        SubjectPath { subject, ..self }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SubjectPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(names) = Path::<PathNames>::from_request_parts(parts, state).await.map_err(|_| {
            let path = parts.uri.path();
            ApiError::invalid(format!(
                "invalid path {}: its percent-encoded bytes are not UTF-8; encode names as UTF-8",
                cut(path)
            ))
        })?;
        // The router also matches empty path segments.
        if [Some(&names.org), names.repo.as_ref(), names.member.as_ref()]
            .into_iter()
            .flatten()
            .any(String::is_empty)
        {
            return Err(ApiError::no_such_route(parts.uri.path()));
        }
        let subject = match (names.repo, names.member) {
            (Some(repo), _) => SubjectRef::repo(repo),
            (None, Some(member)) => SubjectRef::Member(member),
            (None, None) => SubjectRef::Org,
        };
        Ok(SubjectPath { org: names.org, subject })
    }
}
