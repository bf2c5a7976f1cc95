//! What a path names: the organization, repository or member, and anything else.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use gam_query::SubjectRef;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{ApiError, cut};

/// Extracts what a path names. Percent-encoding is decoded.
pub(crate) struct PathParams<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for PathParams<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(names)| PathParams(names)).map_err(|_| {
            ApiError::invalid(format!(
                "invalid path {}: its percent-encoded bytes are not UTF-8; encode names as UTF-8",
                cut(parts.uri.path())
            ))
        })
    }
}

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
        let PathParams(names) = PathParams::<PathNames>::from_request_parts(parts, state).await?;
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
