//! How clients authenticate, in one place.

use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use crate::routes::is_health_check;

const TOKEN: &str = "token";
const SESSION: &str = "session";
/// The name of the cookie of a browser that has signed in.
const SESSION_COOKIE: &str = "session";

/// Returns the ways to authenticate, by name.
pub(super) fn schemes() -> [(&'static str, SecurityScheme); 2] {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An access token. A server that only this machine can reach may require none"));
    let session =
        ApiKeyValue::with_description(SESSION_COOKIE, "The session of a browser that has signed in");
    [(TOKEN, SecurityScheme::Http(token.build())), (SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session)))]
}

/// Adds to an operation how its clients authenticate: with a token, with a session, or, if the server requires none, not
/// at all. Health checks never require it.
pub(super) fn secure(operation: OperationBuilder, path: &str) -> OperationBuilder {
    if is_health_check(path) {
        return operation.security(SecurityRequirement::default());
    }
    let scheme = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
    operation.securities(Some([SecurityRequirement::default(), scheme(TOKEN), scheme(SESSION)]))
}

/// Returns the HTTP statuses of a route's errors that are about access.
pub(super) fn error_statuses(path: &str) -> &'static [u16] {
    if is_health_check(path) { &[] } else { &[401, 429] }
}
