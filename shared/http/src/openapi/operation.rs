//! The description of a route: parameters, response and errors.

use utoipa::openapi::path::{OperationBuilder, Parameter as ParameterObject, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, Type};
use utoipa::openapi::{
    ArrayBuilder, Content, ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

use gam_access::RouteClass;
use gam_model::agent_metric::AGENT_CATALOGUE;
use gam_model::metric::CATALOGUE;
use gam_query::{MAX_AGENT_SERIES, MAX_LIMIT, MAX_POINTS};

use super::{errors, examples, security};
use crate::answer::{CSV_SUFFIX, MediaType};
use crate::charts::{MAX_WIDTH, MIN_WIDTH};
use crate::params::{
    DEFAULT_CHART_WIDTH, DEFAULT_DAYS, DEFAULT_LIMIT, DEFAULT_METRIC, DEFAULT_PARTS, MAX_NAME_CHARS,
    Parameter,
};

/// The HTTP statuses of errors that every route can return.
const COMMON_ERROR_STATUSES: &[u16] = &[403, 405, 406, 413, 414, 429, 431, 500, 503];

/// The body of a successful response.
pub(crate) enum ResponseBody {
    /// JSON with the schema of this name.
    Json(&'static str),
    /// An SVG image.
    Svg,
    /// Rows in one of these media types, streamed.
    Rows(&'static [&'static str]),
    /// JSON with one of the schemas of these names, or CSV.
    JsonOrCsv(Vec<&'static str>),
    /// CSV with the values of JSON with one of the schemas of these names.
    Csv(Vec<&'static str>),
    /// The OpenAPI document.
    OpenApi,
    /// JSON with the schema of this name, about an action: it may have created something (201), or not be done (202).
    Action(&'static str),
}

/// The description of a route.
pub(crate) struct Operation {
    /// The `operationId`, unique among the routes.
    pub(crate) id: String,
    pub(crate) summary: String,
    /// The query parameters. Path parameters follow from the path.
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) response: ResponseBody,
    /// The name of the schema of the request's body, as JSON. Its route is no `GET`.
    pub(crate) request: Option<&'static str>,
    /// When the route has no answer (204). `None` if it always has one.
    pub(crate) no_content: Option<&'static str>,
    /// The HTTP statuses of errors, other than those of every route.
    pub(crate) error_statuses: &'static [u16],
}

impl Operation {
    /// Describes a route without parameters whose answer is JSON with the schema of this name.
    pub(crate) fn of_json(
        id: &str,
        summary: &str,
        schema: &'static str,
        error_statuses: &'static [u16],
    ) -> Self {
        Operation {
            id: id.to_owned(),
            summary: summary.to_owned(),
            parameters: Vec::new(),
            response: ResponseBody::Json(schema),
            request: None,
            no_content: None,
            error_statuses,
        }
    }

    /// Describes a route whose answer has one of these schemas and a CSV form. A path that ends in `.csv` has the CSV
    /// form only, and its operation an id of its own.
    pub(crate) fn of_answer(
        path: &str,
        id: &str,
        summary: &str,
        parameters: Vec<Parameter>,
        schemas: &[&'static str],
        error_statuses: &'static [u16],
    ) -> Self {
        let schemas = schemas.to_vec();
        let (id, summary, response) = match path.ends_with(CSV_SUFFIX) {
            true => (format!("{id}_csv"), format!("{summary}, as CSV"), ResponseBody::Csv(schemas)),
            false => (id.to_owned(), summary.to_owned(), ResponseBody::JsonOrCsv(schemas)),
        };
        Operation { id, summary, parameters, response, request: None, no_content: None, error_statuses }
    }

    /// Returns the operation object of the document, for a route of the class at the path.
    pub(super) fn to_openapi(&self, path: &str, class: RouteClass) -> OperationBuilder {
        let parameters = path_parameters(path).chain(self.parameters.iter().copied().map(query_parameter));
        let mut operation = OperationBuilder::new()
            .operation_id(Some(&self.id))
            .summary(Some(&self.summary))
            .parameters(Some(parameters))
            .response("200", self.response.to_openapi(self.parameters.contains(&Parameter::Cursor)));
        if matches!(self.response, ResponseBody::Action(_)) {
            let response = || self.response.to_openapi(false);
            operation = operation.response("201", response()).response("202", response()).parameter(
                ParameterBuilder::new()
                    .name("Idempotency-Key")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some(
                        "A text that identifies the request. A repetition with the same key and body has the same answer. \
                         With another body it is refused (422). Keys are kept for 30 days",
                    ))
                    .schema(Some(
                        ObjectBuilder::new()
                            .schema_type(Type::String)
                            .min_length(Some(1))
                            .max_length(Some(255))
                            .pattern(Some("^[!-~]+$")),
                    )),
            );
        }
        operation = match self.request {
            None => operation
                .response("304", Response::new("Not modified: `If-None-Match` names the current answer")),
            Some(schema) => {
                let body = RequestBodyBuilder::new().content("application/json", json_content(&[schema]));
                operation.request_body(Some(body.required(Some(Required::True)).build()))
            }
        };
        if let Some(description) = self.no_content {
            let seconds = HeaderBuilder::new()
                .schema(Some(Object::with_type(Type::String)))
                .description(Some("After how many seconds to request again"));
            let response =
                ResponseBuilder::new().description(description).header("Retry-After", seconds.build());
            operation = operation.response("204", response.build());
        }
        let security_statuses = security::error_statuses(class);
        for &status in self.error_statuses.iter().chain(COMMON_ERROR_STATUSES).chain(security_statuses) {
            operation = operation.response(status.to_string(), errors::reference(status));
        }
        security::secure(operation, class)
    }
}

impl ResponseBody {
    fn to_openapi(&self, has_pages: bool) -> Response {
        let header = |text: &str| {
            HeaderBuilder::new().schema(Some(Object::with_type(Type::String))).description(Some(text)).build()
        };
        let response = ResponseBuilder::new()
            .description("The answer")
            .header("ETag", header("The hash of the answer, for `If-None-Match`"))
            .header("X-Request-Id", header("The id of the request, as in the log"));
        let response = match has_pages {
            true => response.header("Link", header("The next page, with `rel=\"next\"`, if there is one")),
            false => response,
        };
        let (json, csv) = (MediaType::Json.as_str(), MediaType::Csv.as_str());
        let response = match self {
            ResponseBody::Json(schema) | ResponseBody::Action(schema) => {
                response.content(json, json_content(&[schema]))
            }
            ResponseBody::JsonOrCsv(schemas) => {
                response.content(json, json_content(schemas)).content(csv, csv_content(schemas))
            }
            ResponseBody::Csv(schemas) => response.content(csv, csv_content(schemas)),
            ResponseBody::Rows(media_types) => media_types.iter().fold(response, |response, name| {
                response.content(*name, Content::new(Some(Object::with_type(Type::String))))
            }),
            ResponseBody::Svg => {
                response.content("image/svg+xml", Content::new(Some(Object::with_type(Type::String))))
            }
            ResponseBody::OpenApi => {
                response.content(json, Content::new(Some(Object::with_type(Type::Object))))
            }
        };
        response.build()
    }
}

fn json_content(schemas: &[&'static str]) -> Content {
    let references = || schemas.iter().map(|schema| Ref::from_schema_name(*schema));
    let schema: RefOr<Schema> = match schemas {
        [schema] => Ref::from_schema_name(*schema).into(),
        _ => references().fold(OneOfBuilder::new(), |one_of, schema| one_of.item(schema)).into(),
    };
    let content = ContentBuilder::new().schema(Some(schema));
    let examples = schemas.iter().filter_map(|schema| Some((*schema, examples::json(schema)?)));
    content.examples_from_iter(examples.map(|(name, value)| (name, examples::example(value)))).build()
}

fn csv_content(schemas: &[&'static str]) -> Content {
    let content = ContentBuilder::new().schema(Some(Object::with_type(Type::String)));
    let examples = schemas.iter().filter_map(|schema| Some((*schema, examples::csv(schema)?)));
    content.examples_from_iter(examples.map(|(name, value)| (name, examples::example(value)))).build()
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
            "chart" => "A metric of `/api/v1/metrics` or of sessions of coding agents, and `.svg`",
            "claim_id" => "The id of the claim",
            "action_id" => "The id of the action",
            _ => "",
        };
        let schema = match name {
            "chart" => ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(chart_names())),
            _ => ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)),
        };
        let example = match name {
            "org" => examples::ORG,
            "repo" => examples::REPO,
            "chart" => "commits.svg",
            "claim_id" => examples::CLAIM_ID,
            "action_id" => examples::ACTION_ID,
            _ => examples::MEMBER,
        };
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(schema))
            .example(Some(example.into()))
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
        .example(examples::parameter(parameter))
        .build()
}

fn query_schema(parameter: Parameter) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let schema = match parameter {
        Parameter::Metrics => return metrics_schema(),
        Parameter::Limit => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_LIMIT as i64))
            .default(Some(DEFAULT_LIMIT.into())),
        Parameter::AgentParts => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(MAX_AGENT_SERIES as i64))
            .default(Some(DEFAULT_PARTS.into())),
        Parameter::Width => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(MIN_WIDTH))
            .maximum(Some(MAX_WIDTH))
            .default(Some(DEFAULT_CHART_WIDTH.into())),
        Parameter::Id => {
            let largest = ObjectBuilder::new().maximum(Some(i64::MAX));
            largest.schema_type(Type::Integer).minimum(Some(1))
        }
        Parameter::Since | Parameter::Until => {
            text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        }
        Parameter::Cursor | Parameter::AuditAfter => text().min_length(Some(1)),
        Parameter::AuditOrg
        | Parameter::AuditKind
        | Parameter::TaskOrg
        | Parameter::TaskRepo
        | Parameter::IssueLabel
        | Parameter::IssueAssignee
        | Parameter::IssueRepo
        | Parameter::Name => text().max_length(Some(MAX_NAME_CHARS)),
        Parameter::LogFrom => {
            ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).default(Some(0.into()))
        }
        _ => text().enum_values(parameter.values()),
    };
    match parameter.default_value() {
        Some(value) => schema.default(Some(value.into())).build().into(),
        None => schema.build().into(),
    }
}

/// Returns the schema of a parameter that is repeated for each metric.
fn metrics_schema() -> Schema {
    let metric = ObjectBuilder::new().schema_type(Type::String).enum_values(Parameter::Metrics.values());
    ArrayBuilder::new()
        .items(metric)
        .min_items(Some(1))
        .unique_items(true)
        .default(Some(vec![DEFAULT_METRIC].into()))
        .build()
        .into()
}

fn description(parameter: Parameter) -> String {
    match parameter {
        Parameter::Id => "GitHub's id of the repository, as listings show it. Distinguishes repositories that had \
                          the same name. Default: the one that was read last"
            .to_owned(),
        Parameter::Since => {
            format!(
                "The first day of the range, in the organization's time zone. It must be before `until`: an empty range is refused. Default: \
                 {DEFAULT_DAYS} days before `until`"
            )
        }
        Parameter::Until => "The day after the last of the range, in the organization's time zone. It must be after \
                             `since`. Default: tomorrow, so that the range ends with today"
            .to_owned(),
        Parameter::Bots => {
            "Whose work counts. `auto`: people's, and everybody's releases and deployments; listings, \
             `active_members` and `total_members` contain people only. `exclude`: people's. `include`: \
             everybody's. `only`: bots'. A bot requested by name always has its own numbers"
                .to_owned()
        }
        Parameter::Compare => {
            "`previous` compares the range with the same number of days before it. The answer then has `previous` and \
             `change`. They are null if the range before would begin before 1970-01-01"
                .to_owned()
        }
        Parameter::Metrics => format!(
            "The metric. Repeat the parameter for several metrics: the points then have `values` by metric instead of \
             `value`, and each value counts as a point.\n\n{}",
            metric_list()
        ),
        Parameter::DurationMetric => "The metric, one whose values are distributions".to_owned(),
        Parameter::Type => "Short for a metric: `commit` for `commits`, `pull_request` for `prs_opened`, \
                            `code_change` for `lines_changed`, `deploy` for `deploys`"
            .to_owned(),
        Parameter::Granularity => {
            format!("The length of a bucket. Weeks are ISO weeks. A series has at most {MAX_POINTS} points")
        }
        Parameter::Sort => "`name`, or the metric to sort by. A distribution sorts by its median".to_owned(),
        Parameter::Order => {
            "The sort direction. Entries with equal values are in order of their names, then of their ids. Default: \
             `asc` by name, `desc` by a metric"
                .to_owned()
        }
        Parameter::Theme => "The colours: `light`, `dark`, or `auto` for those that the viewer's system prefers"
            .to_owned(),
        Parameter::Width => "The width in pixels. The height follows from it".to_owned(),
        Parameter::Lang => "The language of the chart's texts, numbers and dates".to_owned(),
        Parameter::Name => {
            "A text that the names contain, in any case. The empty text is in every name".to_owned()
        }
        Parameter::IssueState => "Only issues in this state, or `all`. Closed ones stay for 90 days".to_owned(),
        Parameter::IssueLabel => "Only issues with the label of this name, in any case".to_owned(),
        Parameter::IssueAssignee => {
            "Only issues that are assigned to this login, in any case, or to nobody: `none`".to_owned()
        }
        Parameter::IssueRepo => "Only issues of the repository with this name, in any case".to_owned(),
        Parameter::Assignable => "Only issues that workers can claim now, or only others".to_owned(),
        Parameter::TaskOrg => "Only those of this organization. Default: all that the token includes".to_owned(),
        Parameter::TaskState => "Only tasks in this state".to_owned(),
        Parameter::ActionState => "Only actions in this state".to_owned(),
        Parameter::DryRun => "Whether to do nothing, and to answer what would be done".to_owned(),
        Parameter::TaskRepo => "Only those of the repository with this name, in any case".to_owned(),
        Parameter::AuditOrg => {
            "Only the log of this organization, or `_`: rows of no organization, such as those of tokens. Default: all \
             that the token includes"
                .to_owned()
        }
        Parameter::AuditKind => "Only rows of this kind, such as `token_created`".to_owned(),
        Parameter::AuditAfter => {
            "The `next` value of an answer. It stays valid for ever. Default: the beginning of the log".to_owned()
        }
        Parameter::AuditTail => {
            "Adds rows that no segment has yet, at the end of the last page. They come again when a segment has them"
                .to_owned()
        }
        Parameter::LogFrom => "The `next` value of the previous page".to_owned(),
        Parameter::AgentBy => {
            "What the entries are. `repo` and `member` are lists of an organization".to_owned()
        }
        Parameter::AgentDivision => {
            "What to divide the series by. The metric must be known by it: responses, tokens and cost by `model`, calls \
             and lines by `tool`, all of these by `branch`"
                .to_owned()
        }
        Parameter::AgentMetric => format!(
            "The metric. Default: `agent_tool_calls` by tool, else `agent_cost_usd`\n\n{}",
            agent_metric_list()
        ),
        Parameter::AgentSort => {
            "The metric to sort by. Default: `agent_tool_calls` by tool, else `agent_cost_usd`".to_owned()
        }
        Parameter::AgentOrder => {
            "The sort direction. Entries with equal values are in order of their names".to_owned()
        }
        Parameter::AgentParts => {
            "The most parts that a divided series names. All others are one sum".to_owned()
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

/// Returns the catalogue of metrics of sessions as a Markdown list.
fn agent_metric_list() -> String {
    let entries = AGENT_CATALOGUE
        .iter()
        .map(|metric| format!("* `{}`, in {}: {}", metric.name, metric.unit, metric.meaning));
    entries.collect::<Vec<_>>().join("\n")
}

/// Returns the catalogue as a Markdown list.
fn metric_list() -> String {
    let entries =
        CATALOGUE.iter().map(|metric| format!("* `{}`, in {}: {}", metric.name, metric.unit, metric.meaning));
    entries.collect::<Vec<_>>().join("\n")
}

/// Returns the names of all charts.
fn chart_names() -> impl Iterator<Item = String> {
    let names = CATALOGUE.iter().map(|metric| metric.name);
    let of_sessions = AGENT_CATALOGUE.iter().map(|metric| metric.name);
    names.chain(of_sessions).map(|name| format!("{name}.svg"))
}
