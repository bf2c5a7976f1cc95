//! The responses of errors, each described once.

use utoipa::openapi::schema::Type;
use utoipa::openapi::{ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Response, ResponseBuilder};

use super::examples;
use super::schema::schema_name;

/// An error: its HTTP status, the name of its response in the document, and its meaning.
struct ErrorResponse {
    status: u16,
    name: &'static str,
    description: &'static str,
    /// A header of the response, and its meaning.
    header: Option<(&'static str, &'static str)>,
}

const RETRY_AFTER: Option<(&str, &str)> = Some(("Retry-After", "After how many seconds to retry"));

const ERRORS: [ErrorResponse; 16] = [
    ErrorResponse {
        status: 400,
        name: "InvalidArgument",
        description: "Invalid input; `detail` says which, why, and what to do",
        header: None,
    },
    ErrorResponse {
        status: 401,
        name: "Unauthorized",
        description: "The request has no valid token",
        header: Some(("WWW-Authenticate", "`Bearer`")),
    },
    ErrorResponse {
        status: 403,
        name: "Forbidden",
        description: "The token's role or scope does not include this, or the `Host` header is no name of this server",
        header: None,
    },
    ErrorResponse {
        status: 404,
        name: "NotFound",
        description: "There is no such organization, repository, member, claim or action, or GitHub has no such repository, branch or \
                      pull request",
        header: None,
    },
    ErrorResponse {
        status: 405,
        name: "MethodNotAllowed",
        description: "A method that the route does not have",
        header: Some(("Allow", "The methods of the route")),
    },
    ErrorResponse {
        status: 406,
        name: "NotAcceptable",
        description: "`Accept` excludes every media type of the answer, or `Accept-Encoding` every encoding",
        header: None,
    },
    ErrorResponse {
        status: 409,
        name: "StaleFence",
        description: "The issue was claimed again, or the fence is not the one of the claim. Or the action is in another \
                      state, its content changed, or the head commit moved",
        header: None,
    },
    ErrorResponse {
        status: 410,
        name: "Gone",
        description: "The cursor is expired, because the rules changed that the numbers are computed by: get the first \
                      page again. Or the claim has ended: request another task. Or the action waited too long",
        header: None,
    },
    ErrorResponse {
        status: 413,
        name: "BodyTooLong",
        description: "The body of the request is too long",
        header: None,
    },
    ErrorResponse {
        status: 414,
        name: "TargetTooLong",
        description: "The path and the query are too long. Beyond 64 kB the response has no body",
        header: None,
    },
    ErrorResponse { status: 415, name: "NotJson", description: "The body is not JSON", header: None },
    ErrorResponse {
        status: 422,
        name: "ActionFailed",
        description: "GitHub refused the action, or it cannot be done; `detail` says why. Or the `Idempotency-Key` was used for \
                      another request",
        header: None,
    },
    ErrorResponse {
        status: 429,
        name: "TooManyRequests",
        description: "Too many requests with this token",
        header: RETRY_AFTER,
    },
    ErrorResponse {
        status: 431,
        name: "HeadersTooLong",
        description: "The header fields are too long, or too many. The response to too many has no body",
        header: None,
    },
    ErrorResponse {
        status: 500,
        name: "InternalError",
        description: "Internal error; the log has the cause under the request's id",
        header: None,
    },
    ErrorResponse {
        status: 503,
        name: "Unavailable",
        description: "The server or the store is busy or unreachable, or the numbers of the organization are computed \
                      for the first time or in a new store",
        header: RETRY_AFTER,
    },
];

/// Returns a reference to the response of an error.
pub(super) fn reference(status: u16) -> Ref {
    let error = ERRORS.iter().find(|error| error.status == status);
    Ref::from_response_name(error.map_or("InternalError", |error| error.name))
}

/// Returns the responses of all errors, by name.
pub(super) fn responses() -> impl Iterator<Item = (String, RefOr<Response>)> {
    ERRORS.iter().map(|error| (error.name.to_owned(), error.to_openapi().into()))
}

impl ErrorResponse {
    fn to_openapi(&self) -> Response {
        let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema_name::PROBLEM)));
        if let Some(problem) = examples::problem(self.status) {
            content = content.example(Some(problem));
        }
        let response = ResponseBuilder::new()
            .description(self.description)
            .content("application/problem+json", content.build());
        let response = match self.header {
            None => response,
            Some((name, description)) => {
                let header = HeaderBuilder::new()
                    .schema(Some(Object::with_type(Type::String)))
                    .description(Some(description));
                response.header(name, header.build())
            }
        };
        response.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_an_example_of_its_own_status() {
        for error in ERRORS {
            let problem = examples::problem(error.status).expect(error.name);
            assert_eq!(problem["status"], error.status, "{}", error.name);
        }
    }
}
