//! The OpenAPI document, made from descriptions of the routes, the parameters and the catalogue.
//!
//! This module does not list the routes: they pass their descriptions and schemas to [`document`].

mod operation;
mod schema;

pub(crate) use operation::{Operation, ResponseBody};
pub(crate) use schema::{NamedSchema, derived, schema_name};

use self::operation::TOKEN_SCHEME;
use crate::routes::Route;

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, HttpMethod, Info, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
};

const DESCRIPTION: &str = "\
Activity metrics of GitHub organizations, their repositories and members. Read-only.

Days are UTC days, written `YYYY-MM-DD`. A range includes `since` and excludes `until`, and may end in the \
future. The default range is the 30 days that end with today. Names of organizations and repositories and \
logins are matched without regard to case, and returned as GitHub writes them. Unknown and repeated \
parameters are errors.

Every answer has an `ETag`: send it as `If-None-Match`; unchanged answers return 304. Errors are \
`application/problem+json`, with a `code` for programs and a `detail` that says what to do.";

/// Returns the document of GET routes. `schemas` are the schemas that
/// routes define themselves.
pub(crate) fn document<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    schemas: impl IntoIterator<Item = NamedSchema>,
) -> OpenApi {
    let paths = routes.into_iter().fold(PathsBuilder::new(), |paths, route| {
        let operation = route.operation.to_openapi(route.path, route.class);
        paths.path(route.path, PathItem::new(HttpMethod::Get, operation))
    });
    let mut components = Components::new();
    components.schemas.extend(schema::all());
    components.schemas.extend(schemas);
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token, as `Authorization: Bearer TOKEN`. An administrator creates it"))
        .build();
    components.add_security_scheme(TOKEN_SCHEME, SecurityScheme::Http(token));
    let mut info = Info::new("github-activity-metrics", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}
