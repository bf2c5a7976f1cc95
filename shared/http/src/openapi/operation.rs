//! The description of a route: parameters, response and errors.

use utoipa::openapi::path::{OperationBuilder, Parameter as ParameterObject, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, HeaderBuilder, Object, Ref, Required, Response, ResponseBuilder};

use gam_access::RouteClass;
use gam_model::metric::CATALOGUE;
use gam_query::{MAX_LIMIT, MAX_POINTS};

use super::schema::schema_name;
use crate::params::{DEFAULT_DAYS, DEFAULT_LIMIT, Parameter};

/// The HTTP statuses of errors that every route can return.
const COMMON_ERROR_STATUSES: &[u16] = &[403, 405, 406, 413, 414, 429, 431, 500, 503];

/// The name of the scheme for tokens.
pub(super) const TOKEN_SCHEME: &str = "token";

/// The body of a successful response.
pub(crate) enum ResponseBody {
    /// JSON with the schema of this name.
    Json(&'static str),
    /// Rows in one of these media types, streamed.
    Rows(&'static [&'static str]),
    /// A web page.
    Html,
    /// The OpenAPI document.
    OpenApi,
}

/// The description of a route.
pub(crate) struct Operation {
    /// The `operationId`, unique among the routes.
    pub(crate) id: String,
    pub(crate) summary: String,
    /// The query parameters. Path parameters follow from the path.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) response: ResponseBody,
    /// The HTTP statuses of errors, other than those of every route.
    pub(crate) error_statuses: &'static [u16],
}

impl Operation {
    /// Returns the operation object of the document, for a route of the class at the path.
    pub(super) fn to_openapi(&self, path: &str, class: RouteClass) -> OperationBuilder {
        let parameters = path_parameters(path).chain(self.parameters.iter().copied().map(query_parameter));
        let mut operation = OperationBuilder::new()
            .operation_id(Some(&self.id))
            .summary(Some(&self.summary))
            .parameters(Some(parameters))
            .response("200", self.response.to_openapi())
            .response("304", Response::new("Not modified: `If-None-Match` names the current answer"));
        let needs_token = class != RouteClass::Public;
        let access_errors: &[u16] = if needs_token { &[401] } else { &[] };
        for &status in self.error_statuses.iter().chain(access_errors).chain(COMMON_ERROR_STATUSES) {
            operation = operation.response(status.to_string(), error_response(status));
        }
        if !needs_token {
            return operation;
        }
        // A server on the user's own machine needs no token until one is created.
        let requirements = [SecurityRequirement::new(TOKEN_SCHEME, [""; 0]), SecurityRequirement::default()];
        operation.securities(Some(requirements))
    }
}

impl ResponseBody {
    fn to_openapi(&self) -> Response {
        let text = || Content::new(Some(Object::with_type(Type::String)));
        let (media_type, content) = match self {
            ResponseBody::Json(schema) => {
                ("application/json", Content::new(Some(Ref::from_schema_name(*schema))))
            }
            ResponseBody::Html => ("text/html", text()),
            ResponseBody::Rows(media_types) => {
                let response = ResponseBuilder::new().description("The rows, streamed");
                let with_types =
                    media_types.iter().fold(response, |response, name| response.content(*name, text()));
                return with_types.build();
            }
            ResponseBody::OpenApi => {
                ("application/json", Content::new(Some(Object::with_type(Type::Object))))
            }
        };
        let header = |text: &str| {
            HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).description(Some(text)).build()
        };
        ResponseBuilder::new()
            .description("The answer")
            .content(media_type, content)
            .header("ETag", header("The hash of the answer, for `If-None-Match`"))
            .header("X-Request-Id", header("The id of the request, as in the log"))
            .build()
    }
}

fn error_response(status: u16) -> Response {
    let description = match status {
        400 => "Invalid input; `detail` says which, why, and what to do",
        401 => "The request has no valid token",
        403 => {
            "The token's role or scope does not include this, or the `Host` header is no name of this server"
        }
        404 => "There is no such organization, repository or member",
        405 => "Another method than GET or HEAD",
        406 => "`Accept-Encoding` excludes every available encoding",
        410 => {
            "The cursor is expired: the rules changed that the numbers are computed by. Get the first page again"
        }
        413 => "The body of the request is too long",
        414 => "The path and the query are too long. Beyond 64 kB the response has no body",
        429 => "Too many requests with this token; retry after `Retry-After` seconds",
        431 => "The header fields are too long, or too many. The response to too many has no body",
        503 => {
            "The server or the store is busy or unreachable, or the numbers of the organization are computed for the \
                first time or in a new store; retry after `Retry-After` seconds"
        }
        _ => "Internal error; the log has the cause under the request's id",
    };
    let content = Content::new(Some(Ref::from_schema_name(schema_name::PROBLEM)));
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// Returns the parameters that a path names in braces.
fn path_parameters(path: &str) -> impl Iterator<Item = ParameterObject> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let description = match name {
            "org" => "The organization's login, in any case",
            "repo" => "The repository's name, in any case",
            "member" => {
                "The member's login, in any case. A bot's login ends in `[bot]`. An author without an account is \
                 `~` and 12 hex digits. Deleted accounts are `ghost`"
            }
            _ => "",
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(Object::with_type(Type::String)))
            .build()
    })
}

fn query_parameter(parameter: Parameter) -> ParameterObject {
    ParameterBuilder::new()
        .name(parameter.name())
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description(parameter)))
        .schema(Some(query_schema(parameter)))
        .build()
}

fn query_schema(parameter: Parameter) -> Object {
    let schema = match parameter {
        Parameter::Limit => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT as i64))
            .default(Some(DEFAULT_LIMIT.into())),
        Parameter::Id => ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)),
        Parameter::Since | Parameter::Until => ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))),
        Parameter::Cursor => ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)),
        _ => ObjectBuilder::new().schema_type(Type::String).enum_values(parameter.values()),
    };
    match parameter.default_value() {
        Some(value) => schema.default(Some(value.into())).build(),
        None => schema.build(),
    }
}

fn description(parameter: Parameter) -> String {
    match parameter {
        Parameter::Id => "GitHub's id of the repository, as listings show it. Distinguishes repositories that had \
                          the same name. Default: the one that was read last"
            .to_owned(),
        Parameter::Since => {
            format!(
                "The first day of the range, UTC. It must be before `until`: an empty range is refused. Default: \
                 {DEFAULT_DAYS} days before `until`"
            )
        }
        Parameter::Until => "The day after the last of the range, UTC. It must be after `since`. Default: \
                             tomorrow, so that the range ends with today"
            .to_owned(),
        Parameter::Bots => {
            "Whose work counts. `auto`: people's, and everybody's releases and deployments; listings, \
             `active_members` and `total_members` contain people only. `exclude`: people's. `include`: \
             everybody's. `only`: bots'. A bot requested by name always has its own numbers"
                .to_owned()
        }
        Parameter::Metric => format!("The metric.\n\n{}", metric_list()),
        Parameter::Type => "Short for a metric: `commit` for `commits`, `pull_request` for `prs_opened`, \
                            `code_change` for `lines_changed`, `deploy` for `deploys`"
            .to_owned(),
        Parameter::Granularity => {
            format!("The length of a bucket. Weeks are ISO weeks. A series has at most {MAX_POINTS} buckets")
        }
        Parameter::Sort => "The metric to sort by. A distribution sorts by its median".to_owned(),
        Parameter::Order => {
            "The sort direction. Entries with equal values are in order of their names, then of their ids"
                .to_owned()
        }
        Parameter::Limit => "The most entries on a page".to_owned(),
        Parameter::Cursor => {
            "The `next` value of the previous page. Send the other parameters as for that page; without `since` \
             and `until`, the range is the one of that page. A cursor of another query is invalid. After a change of \
             rules, such as a new bot or alias, cursors are expired (410)"
                .to_owned()
        }
    }
}

/// Returns the catalogue as a Markdown list.
fn metric_list() -> String {
    let entries =
        CATALOGUE.iter().map(|metric| format!("* `{}`, in {}: {}", metric.name, metric.unit, metric.meaning));
    entries.collect::<Vec<_>>().join("\n")
}
