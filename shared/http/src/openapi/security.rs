//! How clients authenticate, in one place.

use gam_access::RouteClass;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};

use crate::auth::TOKEN_COOKIE;

const TOKEN: &str = "token";
const COOKIE: &str = "cookie";

/// Returns the ways to authenticate, by name.
pub(super) fn schemes() -> [(&'static str, SecurityScheme); 2] {
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token, as `Authorization: Bearer TOKEN`. An administrator creates it"));
    let cookie = ApiKeyValue::with_description(TOKEN_COOKIE, "The cookie of a browser that has signed in");
    [(TOKEN, SecurityScheme::Http(token.build())), (COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))]
}

/// Adds to an operation how its clients authenticate, unless its route is public. A server on the user's own machine
/// needs no token until one is created, so no authentication is valid, too.
pub(super) fn secure(operation: OperationBuilder, class: RouteClass) -> OperationBuilder {
    if class == RouteClass::Public {
        return operation;
    }
    let scheme = |name: &str| SecurityRequirement::new(name, [""; 0]);
    operation.securities(Some([scheme(TOKEN), scheme(COOKIE), SecurityRequirement::default()]))
}

/// Returns the HTTP statuses of errors of routes of the class that are about access.
pub(super) fn error_statuses(class: RouteClass) -> &'static [u16] {
    if class == RouteClass::Public { &[] } else { &[401] }
}
