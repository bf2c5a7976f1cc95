//! The description of the route that GitHub delivers webhooks to. It is no route of the API's router.

use gam_access::RouteClass;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, HttpMethod, Object, PathItem, Ref, Required, ResponseBuilder};

use super::schema::schema_name;
use super::{errors, security};

/// The HTTP statuses of errors, each described with those of other routes.
const ERROR_STATUSES: [u16; 9] = [400, 401, 404, 405, 413, 415, 429, 431, 503];

/// Returns the path item.
pub(super) fn path_item() -> PathItem {
    let headers = [
        ("X-Hub-Signature-256", "`sha256=` and the HMAC of the body with the secret of the webhook, in hex"),
        ("X-GitHub-Event", "The event, such as `issues`"),
        ("X-GitHub-Delivery", "The GUID of the delivery. A delivery that comes again has no effect"),
    ];
    let body = ContentBuilder::new().schema(Some(Object::with_type(Type::Object))).build();
    let receipt = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema_name::WEBHOOK_RECEIPT)));
    let receipt = ResponseBuilder::new()
        .description("The delivery is durably queued, or of no use here")
        .content("application/json", receipt.build());
    let operation = OperationBuilder::new()
        .operation_id(Some("receive_webhook"))
        .summary(Some("Takes a delivery of a GitHub webhook. The server has this route if it has the secret"))
        .parameters(Some(headers.map(|(name, description)| header(name, description))))
        .request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", body)
                .required(Some(Required::True))
                .build(),
        ))
        .response("202", receipt.build());
    let operation = ERROR_STATUSES.into_iter().fold(operation, |operation, status| {
        operation.response(status.to_string(), errors::reference(status))
    });
    // The signature says who sent it.
    PathItem::new(HttpMethod::Post, security::secure(operation, RouteClass::Public))
}

fn header(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .build()
}
