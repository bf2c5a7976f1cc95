//! What a route takes and answers, as the document tells it.

use utoipa::openapi::path::{OperationBuilder, Parameter as Documented, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Content, HeaderBuilder, Object, Ref, Required, Response, ResponseBuilder};

use gam_model::metric::CATALOGUE;
use gam_query::{MAX_LIMIT, MAX_POINTS};

use super::schema::name;
use crate::params::{DEFAULT_DAYS, DEFAULT_LIMIT, Parameter};

/// What a route answers with.
pub(crate) enum Answer {
    /// JSON of the schema of that name.
    Json(&'static str),
    /// A web page.
    Page,
    /// The document itself.
    Document,
}

/// A route's description.
pub(crate) struct Operation {
    /// A name that no other route has.
    pub(crate) id: String,
    /// What it does, in some words.
    pub(crate) summary: String,
    /// The parameters it takes in the query string.
    pub(crate) parameters: &'static [Parameter],
    /// What it answers with.
    pub(crate) answer: Answer,
    /// The refusals it knows besides 500.
    pub(crate) refusals: &'static [u16],
}

impl Operation {
    /// The operation as it stands in the document, at the path.
    pub(super) fn document(&self, path: &str) -> OperationBuilder {
        let parameters = path_parameters(path).chain(self.parameters.iter().copied().map(query_parameter));
        let mut operation = OperationBuilder::new()
            .operation_id(Some(&self.id))
            .summary(Some(&self.summary))
            .parameters(Some(parameters))
            .response("200", self.answer.document())
            .response(
                "304",
                Response::new("The client has this answer already: its `If-None-Match` names it"),
            );
        for &status in self.refusals.iter().chain(&[500]) {
            operation = operation.response(status.to_string(), refusal(status));
        }
        operation
    }
}

impl Answer {
    fn document(&self) -> Response {
        let (media_type, content) = match self {
            Answer::Json(schema) => ("application/json", Content::new(Some(Ref::from_schema_name(*schema)))),
            Answer::Page => ("text/html", Content::new(Some(Object::with_type(Type::String)))),
            Answer::Document => ("application/json", Content::new(Some(Object::with_type(Type::Object)))),
        };
        let header = |text: &str| {
            HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).description(Some(text)).build()
        };
        ResponseBuilder::new()
            .description("The answer")
            .content(media_type, content)
            .header("ETag", header("The hash of the answer, for `If-None-Match`"))
            .header("X-Request-Id", header("The request's id, as the log knows it"))
            .build()
    }
}

fn refusal(status: u16) -> Response {
    let description = match status {
        400 => "The question cannot be answered as it was asked; `detail` names the input, why, and the mend",
        404 => "The organization, repository or member was never seen",
        503 => "The store is busy or out of reach; `Retry-After` says when to ask again",
        _ => "Something broke on the server's side; the log knows it by the request's id",
    };
    let content = Content::new(Some(Ref::from_schema_name(name::PROBLEM)));
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// The parameters that a path names in braces.
fn path_parameters(path: &str) -> impl Iterator<Item = Documented> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let description = match name {
            "org" => "The organization's login, in any case",
            "repo" => "The repository's name, in any case",
            "member" => {
                "The member's login, in any case: a bot's ends in `[bot]`; `~` and 12 hex digits for an author \
                 without an account; `ghost` for deleted accounts"
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

fn query_parameter(parameter: Parameter) -> Documented {
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
        Parameter::Since | Parameter::Until => ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date))),
        _ => ObjectBuilder::new().schema_type(Type::String).enum_values(parameter.values()),
    };
    match parameter.default_value() {
        Some(value) => schema.default(Some(value.into())).build(),
        None => schema.build(),
    }
}

fn description(parameter: Parameter) -> String {
    match parameter {
        Parameter::Since => {
            format!("The range's first day, UTC. Default: {DEFAULT_DAYS} days before `until`")
        }
        Parameter::Until => {
            "The day after the range's last, UTC. Default: tomorrow, so that the range ends with \
                             today"
                .to_owned()
        }
        Parameter::Bots => {
            "Whether bots' work counts. A bot asked for by name answers its own numbers whatever \
                            `bots` says"
                .to_owned()
        }
        Parameter::Metric => format!("The metric.\n\n{}", metrics()),
        Parameter::Type => "Stands for a metric: `commit` for `commits`, `pull_request` for `prs_opened`, \
                            `code_change` for `lines_changed`, `deploy` for `deploys`"
            .to_owned(),
        Parameter::Granularity => {
            format!("The buckets' length; weeks are ISO weeks. At most {MAX_POINTS} buckets are answered")
        }
        Parameter::Sort => {
            "The metric by which the listing is sorted; a distribution sorts by its median".to_owned()
        }
        Parameter::Order => {
            "The direction in which the listing is sorted; equals are ordered by name".to_owned()
        }
        Parameter::Limit => "How many entries a page has at most".to_owned(),
        Parameter::Cursor => {
            "Where the page starts: the `next` of the page before. Ask with the same parameters \
                              as for that page"
                .to_owned()
        }
    }
}

/// The catalogue as a Markdown list.
fn metrics() -> String {
    let entries =
        CATALOGUE.iter().map(|metric| format!("* `{}`, in {}: {}", metric.name, metric.unit, metric.meaning));
    entries.collect::<Vec<_>>().join("\n")
}
