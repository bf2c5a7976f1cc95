//! The OpenAPI document, made from descriptions of the routes, the parameters and the catalogue.
//!
//! This module does not list the routes: they pass their descriptions and schemas to [`document`].

mod errors;
mod examples;
mod operation;
mod schema;
mod security;
mod webhook;

pub(crate) use operation::{Operation, ResponseBody};
pub(crate) use schema::{NamedSchema, derived, schema_name};

use crate::routes::{Route, RouteMethod};
use gam_work::WEBHOOK_PATH;

use utoipa::openapi::{
    Components, HttpMethod, Info, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
};

/// What holds for all routes, as Markdown.
const DESCRIPTION: &str = include_str!("description.md");

/// Returns the document of the routes. `schemas` are the schemas that routes define themselves.
pub(crate) fn document<'a>(
    routes: impl IntoIterator<Item = &'a Route>,
    schemas: impl IntoIterator<Item = NamedSchema>,
) -> OpenApi {
    let paths = routes.into_iter().fold(PathsBuilder::new(), |paths, route| {
        let operation = route.operation.to_openapi(route.path, route.class);
        let method = match route.method {
            RouteMethod::Get => HttpMethod::Get,
            RouteMethod::Post => HttpMethod::Post,
        };
        paths.path(route.path, PathItem::new(method, operation))
    });
    let paths = paths.path(WEBHOOK_PATH, webhook::path_item());
    let mut components = Components::new();
    components.schemas.extend(schema::all());
    components.schemas.extend(schemas);
    components.responses.extend(errors::responses());
    for (name, scheme) in security::schemes() {
        components.add_security_scheme(name, scheme);
    }
    let mut info = Info::new("github-activity-metrics", env!("CARGO_PKG_VERSION"));
    info.description = Some(DESCRIPTION.trim().to_owned());
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}
