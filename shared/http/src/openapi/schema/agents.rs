//! The schemas of the answers about sessions of coding agents.

use gam_model::agent_metric::{AGENT_CATALOGUE, AgentAggregation, AgentMetric};
use gam_model::{AgentDimension, Grain, MemberKind, ToolOutcome};
use gam_query::{AgentListing, PrClass};
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Object, RefOr, Schema};

use super::{
    Field, NamedSchema, array, bucket_with, choice, comparison, count, named, number_or_null, object,
    org_name, range_fields, reference, repo_id, schema_name, string,
};

pub(super) fn all() -> Vec<NamedSchema> {
    vec![
        named(schema_name::AGENT_METRICS, metrics_answer()),
        named(schema_name::AGENT_COVERAGE, coverage()),
        named(schema_name::AGENT_VALUES, values()),
        named(schema_name::AGENT_PREVIOUS_METRICS, comparison::previous_metrics(schema_name::AGENT_VALUES)),
        named(schema_name::AGENT_PREVIOUS_VALUES, comparison::previous_values(schema_name::AGENT_VALUES)),
        named(schema_name::AGENT_CHANGES, changes()),
        named(schema_name::AGENT_NUMBER_CHANGE, comparison::number_change()),
        named(schema_name::AGENT_LIST, list_answer()),
        named(schema_name::AGENT_ENTRY, entry()),
        named(schema_name::AGENT_SERIES, series_answer()),
        named(
            schema_name::AGENT_PART_SERIES,
            with_part_name(object([(
                "points",
                array(
                    schema_name::AGENT_POINT,
                    "One point for every bucket that overlaps the range, in order",
                )
                .into(),
            )])),
        ),
        named(schema_name::AGENT_PRS, prs_answer()),
        named(schema_name::AGENT_PR_CLASS, pr_class()),
        named(schema_name::AGENT_POINT, bucket_with(("value", any_value()))),
        named(schema_name::SESSION_FACTS, session_facts()),
    ]
}

/// Returns the fixed list of fields that leave the machine of a session. Each kind of event has its own.
fn session_facts() -> Object {
    let time = |description: &str| {
        let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        RefOr::from(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(format))
                .description(Some(description)),
        )
    };
    let boolean = |description: &str| {
        RefOr::from(ObjectBuilder::new().schema_type(Type::Boolean).description(Some(description)))
    };
    let quarter = object([
        ("at", time("When the quarter of an hour begins, UTC")),
        ("active_ms", count("Active milliseconds of the quarter")),
    ]);
    let outcomes = ToolOutcome::ALL.map(ToolOutcome::as_str).to_vec();
    with_optional(
        Object::with_type(Type::Object),
        [
            ("subagent", string("The subagent that did it; missing for the session itself")),
            ("branch", string("The git branch, or `~` and the first 12 hex digits of its SHA-256")),
            ("replayed", boolean("Whether the only copies are in the copied history of a fork")),
            ("model", string("Responses: the model, as the log names it")),
            ("input_tokens", count("Responses: input tokens, without those of the cache")),
            ("output_tokens", count("Responses: output tokens, including reasoning")),
            ("reasoning_tokens", count("Responses: output tokens of reasoning")),
            ("cache_read_tokens", count("Responses: input tokens read from the cache")),
            ("cache_write_5m_tokens", count("Responses: input tokens written to the cache for five minutes")),
            ("cache_write_1h_tokens", count("Responses: input tokens written to the cache for an hour")),
            ("web_searches", count("Responses: web searches")),
            ("speed", string("Responses: the speed class")),
            ("is_final", boolean("Responses: whether the log has the end of the response")),
            ("tool", string("Tool calls: the name of the tool")),
            ("outcome", choice(outcomes, "Tool calls: how the call ended")),
            ("duration_ms", count("Tool calls: milliseconds from the call to its result")),
            ("additions", count("Tool calls: lines added to files")),
            ("deletions", count("Tool calls: lines deleted from files")),
            ("started_at", time("Sessions: the first own line of the session, UTC")),
            ("prompts", count("Sessions: what people submitted on this UTC day")),
            ("turns", count("Sessions: turns that the agent finished on this UTC day")),
            (
                "active",
                ArrayBuilder::new()
                    .items(quarter)
                    .max_items(Some(96))
                    .description(Some("Sessions: active time on this UTC day"))
                    .into(),
            ),
            ("client_version", string("Sessions: the version of the agent")),
            ("entrypoint", string("Sessions: how the agent was started")),
            ("forked_from", string("Sessions: the session whose history this one continues")),
            ("pr_repo", string("Links to pull requests: `owner/name` of the repository")),
            ("number", count("Links to pull requests: the number of the pull request")),
            ("sha", string("Commits: the first digits of the SHA")),
        ],
    )
}

/// Adds properties that an object need not have.
fn with_optional(mut schema: Object, fields: impl IntoIterator<Item = Field>) -> Object {
    schema.properties.extend(fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    schema
}

/// Returns the fields that name the subject and repeat the query. Those of a repository or a member are optional.
fn with_context(fields: impl IntoIterator<Item = Field>) -> Object {
    let required = object([("org", org_name())].into_iter().chain(range_fields()).chain(fields));
    with_optional(
        required,
        [
            ("repo", string("The repository, if the answer is about one")),
            ("id", repo_id()),
            ("member", string("The member, if the answer is about one")),
        ],
    )
}

fn metrics_answer() -> Object {
    let models = ObjectBuilder::new().schema_type(Type::String).build();
    let models = utoipa::openapi::ArrayBuilder::new()
        .items(models)
        .description(Some(
            "The models whose tokens have no price. `agent_unpriced_tokens` counts their tokens",
        ))
        .build();
    let answer =
        with_context([("unpriced_models", models.into()), ("metrics", reference(schema_name::AGENT_VALUES))]);
    let optional = [("coverage", reference(schema_name::AGENT_COVERAGE)), ("kept_since", kept_since())];
    let answer = with_optional(answer, optional);
    comparison::of_metrics(answer, schema_name::AGENT_PREVIOUS_METRICS, schema_name::AGENT_CHANGES)
}

fn entry() -> Object {
    let entry = with_part_name(object([("metrics", reference(schema_name::AGENT_VALUES))]));
    comparison::of_entry(entry, schema_name::AGENT_PREVIOUS_VALUES, schema_name::AGENT_CHANGES)
}

/// Returns the schema of the changes of metrics. Those that a list cannot divide are missing.
fn changes() -> Object {
    let fields = AGENT_CATALOGUE.iter().map(|metric| {
        let schema = match metric.aggregation {
            AgentAggregation::Count(_) | AgentAggregation::DistinctMembers => schema_name::COUNT_CHANGE,
            AgentAggregation::SessionLength => schema_name::DISTRIBUTION_CHANGE,
            AgentAggregation::Hours(_) | AgentAggregation::Dollars(_) | AgentAggregation::Rate(..) => {
                schema_name::AGENT_NUMBER_CHANGE
            }
        };
        (metric.name, reference(schema))
    });
    with_optional(object([]), fields)
}

/// Returns the field that says from which day on sessions are kept.
fn kept_since() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Date)))
        .description(Some(
            "The first day, UTC, whose sessions are kept; missing if they are kept for ever. Sessions of earlier days were \
             deleted, so nothing is known of them",
        ))
        .into()
}

fn prs_answer() -> Object {
    let answer = with_context([
        ("rules", count("The version of the rules that decide the classes")),
        ("prs", count("Number of merged pull requests")),
        ("prs_with_sessions", count("Number of those of which a session is known: linked or probable")),
        ("coverage", reference(schema_name::AGENT_COVERAGE)),
        ("classes", array(schema_name::AGENT_PR_CLASS, "The classes: linked, probable, unknown").into()),
    ]);
    with_optional(answer, [("kept_since", kept_since())])
}

fn pr_class() -> Object {
    let classes = PrClass::ALL.map(PrClass::as_str).to_vec();
    object([
        (
            "class",
            choice(
                classes,
                "`linked`: a session names the pull request or made its merged commit. `probable`: a session worked on \
                 its branch within 21 days before the merge. `unknown`: no session is known, which does not say that there \
                 was none",
            ),
        ),
        ("prs", count("Number of merged pull requests")),
        ("cycle_time_hours", reference(schema_name::DISTRIBUTION)),
        ("cost_usd", reference(schema_name::DISTRIBUTION)),
        ("unpriced_tokens", count("Tokens on their branches that have no price")),
    ])
}

fn coverage() -> Object {
    object([
        (
            "active_members",
            count("Number of people who did something on GitHub in the range, whatever `bots` is"),
        ),
        (
            "active_members_with_sessions",
            count("Number of those with a session in the range. Of the others, no session is known"),
        ),
    ])
}

fn list_answer() -> Object {
    let by = AgentListing::ALL.map(AgentListing::as_str).to_vec();
    let list = with_context([
        ("by", choice(by, "What the entries are")),
        ("sort", choice(names(None), "The metric that sorts the entries")),
        ("entries", array(schema_name::AGENT_ENTRY, "The entries, sorted, up to the limit").into()),
        ("count", count("Number of all entries, also of those beyond the limit")),
    ]);
    comparison::of_page(list)
}

fn series_answer() -> Object {
    let answer = with_context([
        ("metric", choice(names(None), "The metric")),
        ("granularity", choice(Grain::ALL.map(Grain::as_str).to_vec(), "The length of the buckets")),
    ]);
    let by = AgentDimension::ALL.map(AgentDimension::as_str).to_vec();
    with_optional(
        answer,
        [
            (
                "points",
                array(schema_name::AGENT_POINT, "One point for every bucket, in order. Only without `by`").into(),
            ),
            ("by", choice(by, "What the series is divided by")),
            (
                "series",
                array(
                    schema_name::AGENT_PART_SERIES,
                    "The greatest parts, the greatest first. The last one is the sum of all others, if there are any: it \
                     has no name. Only with `by`",
                )
                .into(),
            ),
        ],
    )
}

/// Adds the fields that name a model, a tool, a branch, a repository or a member.
fn with_part_name(schema: Object) -> Object {
    with_optional(
        schema,
        [
            ("model", string("The model, as logs name it")),
            ("tool", string("The tool")),
            (
                "branch",
                string(
                    "The branch, or `~` and 12 hex digits of the hash of its name. Empty outside of a branch",
                ),
            ),
            ("repo", string("The repository, also that of a branch")),
            ("id", repo_id()),
            ("member", string("The member")),
            (
                "kind",
                choice(MemberKind::ALL.map(MemberKind::as_str).to_vec(), "The kind of the member's account"),
            ),
        ],
    )
}

fn names(dimension: Option<AgentDimension>) -> Vec<&'static str> {
    AgentMetric::divided_by(dimension).map(|metric| metric.name).collect()
}

fn values() -> Object {
    let fields = AGENT_CATALOGUE.iter().map(|metric| (metric.name, value(metric)));
    with_optional(object([]), fields)
}

fn value(metric: &AgentMetric) -> RefOr<Schema> {
    let description = format!("In {}: {}", metric.unit, metric.meaning);
    match metric.aggregation {
        AgentAggregation::Count(_) | AgentAggregation::DistinctMembers => count(&description),
        AgentAggregation::SessionLength => reference(schema_name::DISTRIBUTION),
        AgentAggregation::Hours(_) | AgentAggregation::Dollars(_) | AgentAggregation::Rate(..) => {
            number_or_null(&description)
        }
    }
}

/// Returns the schema of a value of any metric.
fn any_value() -> RefOr<Schema> {
    utoipa::openapi::schema::OneOfBuilder::new()
        .item(reference(schema_name::DISTRIBUTION))
        .item(number_or_null(
            "A count, hours, dollars or a ratio. Null for a ratio without a denominator, and for dollars if there are \
             tokens and none of them has a price",
        ))
        .into()
}

#[cfg(test)]
mod tests {
    use gam_model::SessionFacts;

    use super::*;

    #[test]
    fn the_schema_has_every_field_of_session_events() {
        let facts = serde_json::to_value(SessionFacts::default()).unwrap();
        let expected: Vec<&String> = facts.as_object().unwrap().keys().collect();
        let schema = session_facts();
        let mut fields: Vec<&String> = schema.properties.keys().collect();
        fields.sort();
        let mut sorted = expected.clone();
        sorted.sort();
        assert_eq!(fields, sorted);
    }
}
