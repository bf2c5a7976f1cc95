//! The OpenAPI document, made from the routes, the parameters' definitions and the catalogue.

mod operation;
mod schema;

pub(crate) use operation::{Answer, Operation};
pub(crate) use schema::name;

use utoipa::openapi::{
    Components, HttpMethod, Info, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
};

use crate::routes::Route;

const DESCRIPTION: &str = "\
Activity metrics of GitHub organizations, their repositories and members. Read-only.

Days are UTC days `YYYY-MM-DD`; a range is half-open, `[since, until)`, and may reach into the future; \
the default is the 30 days that end with today. Organizations, repositories and logins are matched without \
regard to case and answered as GitHub spells them. Unknown and repeated parameters are refused.

Answers carry an `ETag`: send it as `If-None-Match` to learn for the price of a 304 that nothing changed. \
Refusals are `application/problem+json`, with a `code` for programs and a `detail` that names the mend.";

/// The document of the routes.
pub(crate) fn document(routes: &[Route]) -> OpenApi {
    let paths = routes.iter().fold(PathsBuilder::new(), |paths, route| {
        paths.path(route.path, PathItem::new(HttpMethod::Get, route.operation.document(route.path)))
    });
    let mut components = Components::new();
    components.schemas.extend(schema::all());
    let mut info = Info::new("github-activity-metrics", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}
