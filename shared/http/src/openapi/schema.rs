//! The schemas of the answers. The types of most answers belong to `gam-query`, which does not know
//! this document, so their schemas are written here. A test compares real answers with them.

mod agents;
mod comparison;

use gam_model::metric::{CATALOGUE, Metric};
use gam_model::{Grain, MemberKind};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, RefBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Array, Object, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::{Problem, ProblemCode};
use crate::params::Parameter;

/// The names of the schemas.
pub(crate) mod schema_name {
    pub(crate) const ORGS: &str = "Orgs";
    pub(crate) const ORG_SUMMARY: &str = "OrgSummary";
    pub(crate) const ORG_METRICS: &str = "OrgMetrics";
    pub(crate) const REPO_METRICS: &str = "RepoMetrics";
    pub(crate) const MEMBER_METRICS: &str = "MemberMetrics";
    pub(crate) const ORG_SERIES: &str = "OrgSeries";
    pub(crate) const REPO_SERIES: &str = "RepoSeries";
    pub(crate) const MEMBER_SERIES: &str = "MemberSeries";
    pub(crate) const POINT: &str = "Point";
    pub(crate) const ORG_SERIES_OF_METRICS: &str = "OrgSeriesOfMetrics";
    pub(crate) const REPO_SERIES_OF_METRICS: &str = "RepoSeriesOfMetrics";
    pub(crate) const MEMBER_SERIES_OF_METRICS: &str = "MemberSeriesOfMetrics";
    pub(crate) const POINT_OF_METRICS: &str = "PointOfMetrics";
    pub(crate) const SOME_VALUES: &str = "SomeMetricValues";
    pub(crate) const ORG_HISTOGRAM: &str = "OrgHistogram";
    pub(crate) const REPO_HISTOGRAM: &str = "RepoHistogram";
    pub(crate) const MEMBER_HISTOGRAM: &str = "MemberHistogram";
    pub(crate) const BIN: &str = "HistogramBin";
    pub(crate) const PREVIOUS_METRICS: &str = "PreviousMetrics";
    pub(crate) const PREVIOUS_RANGE: &str = "PreviousRange";
    pub(crate) const PREVIOUS_VALUES: &str = "PreviousValues";
    pub(crate) const CHANGES: &str = "MetricChanges";
    pub(crate) const COUNT_CHANGE: &str = "CountChange";
    pub(crate) const HOURS_CHANGE: &str = "HoursChange";
    pub(crate) const DISTRIBUTION_CHANGE: &str = "DistributionChange";
    pub(crate) const GAP: &str = "Gap";
    pub(crate) const MEMBERS: &str = "Members";
    pub(crate) const MEMBER: &str = "Member";
    pub(crate) const REPOS: &str = "Repos";
    pub(crate) const REPO: &str = "Repo";
    pub(crate) const VALUES: &str = "MetricValues";
    pub(crate) const ORG_VALUES: &str = "OrgMetricValues";
    pub(crate) const DISTRIBUTION: &str = "Distribution";
    pub(crate) const CATALOGUE: &str = "MetricCatalogue";
    pub(crate) const HEALTH: &str = "Health";
    pub(crate) const TASK_REQUEST: &str = "TaskRequest";
    pub(crate) const ASSIGNED_TASK: &str = "AssignedTask";
    pub(crate) const CLAIM_REPORT: &str = "ClaimReport";
    pub(crate) const CLAIM_STATUS: &str = "ClaimStatus";
    pub(crate) const LOG_LINES: &str = "LogLines";
    pub(crate) const LOG_APPENDED: &str = "LogAppended";
    pub(crate) const ISSUE_LIST: &str = "IssueList";
    pub(crate) const HOOK_LIST: &str = "HookList";
    pub(crate) const WEBHOOK_RECEIPT: &str = "WebhookReceipt";
    pub(crate) const TASK_LIST: &str = "TaskList";
    pub(crate) const TASK_LOG: &str = "TaskLog";
    pub(crate) const CREATE_ISSUE: &str = "CreateIssue";
    pub(crate) const CREATE_COMMENT: &str = "CreateComment";
    pub(crate) const CREATE_PR: &str = "CreatePr";
    pub(crate) const APPROVE_MERGE_PR: &str = "ApproveMergePr";
    pub(crate) const ACTION_ANSWER: &str = "ActionAnswer";
    pub(crate) const ACTION: &str = "Action";
    pub(crate) const ACTION_LIST: &str = "ActionList";
    pub(crate) const APPROVAL: &str = "Approval";
    pub(crate) const REJECTION: &str = "Rejection";
    pub(crate) const APPROVAL_LINK: &str = "ApprovalLink";
    pub(crate) const APPROVAL_LINK_REQUEST: &str = "ApprovalLinkRequest";
    pub(crate) const RESOLUTION: &str = "Resolution";
    pub(crate) const AUDIT_LOG_PAGE: &str = "AuditLogPage";
    pub(crate) const AGENT_METRICS: &str = "AgentMetrics";
    pub(crate) const AGENT_COVERAGE: &str = "AgentCoverage";
    pub(crate) const AGENT_VALUES: &str = "AgentMetricValues";
    pub(crate) const AGENT_PREVIOUS_METRICS: &str = "PreviousAgentMetrics";
    pub(crate) const AGENT_PREVIOUS_VALUES: &str = "PreviousAgentMetricValues";
    pub(crate) const AGENT_CHANGES: &str = "AgentMetricChanges";
    pub(crate) const AGENT_NUMBER_CHANGE: &str = "NumberChange";
    pub(crate) const AGENT_LIST: &str = "AgentList";
    pub(crate) const AGENT_ENTRY: &str = "AgentListEntry";
    pub(crate) const AGENT_SERIES: &str = "AgentSeries";
    pub(crate) const AGENT_PART_SERIES: &str = "AgentPartSeries";
    pub(crate) const AGENT_PRS: &str = "AgentPullRequests";
    pub(crate) const AGENT_PR_CLASS: &str = "AgentPullRequestClass";
    pub(crate) const AGENT_POINT: &str = "AgentPoint";
    pub(crate) const SESSION_PUSH: &str = "SessionPush";
    pub(crate) const SESSION_FACTS: &str = "SessionFacts";
    pub(crate) const SESSIONS_PUSHED: &str = "SessionsPushed";
    pub(crate) const PROBLEM: &str = "Problem";
}

/// A schema and its name in the document.
pub(crate) type NamedSchema = (String, RefOr<Schema>);

/// Returns the schemas of the answers of `gam-query`, and of errors.
pub(super) fn all() -> Vec<NamedSchema> {
    let mut schemas = vec![
        named(
            schema_name::ORGS,
            object([(
                "orgs",
                array(schema_name::ORG_SUMMARY, "The organizations in order of their names").into(),
            )]),
        ),
        named(schema_name::ORG_SUMMARY, org_summary()),
        named(schema_name::POINT, point()),
        named(schema_name::POINT_OF_METRICS, point_of_metrics()),
        named(schema_name::SOME_VALUES, some_values()),
        named(schema_name::BIN, bin()),
        named(schema_name::PREVIOUS_METRICS, comparison::previous_metrics(schema_name::VALUES)),
        named(schema_name::PREVIOUS_RANGE, comparison::previous_range()),
        named(schema_name::PREVIOUS_VALUES, comparison::previous_values(schema_name::VALUES)),
        named(schema_name::CHANGES, comparison::changes()),
        named(schema_name::COUNT_CHANGE, comparison::count_change()),
        named(schema_name::HOURS_CHANGE, comparison::hours_change()),
        named(schema_name::DISTRIBUTION_CHANGE, comparison::distribution_change()),
        named(schema_name::GAP, gap()),
        named(schema_name::MEMBERS, page("members", schema_name::MEMBER)),
        named(schema_name::MEMBER, member()),
        named(schema_name::REPOS, page("repos", schema_name::REPO)),
        named(schema_name::REPO, repo()),
        named(schema_name::VALUES, values(false)),
        named(schema_name::ORG_VALUES, values(true)),
        named(schema_name::DISTRIBUTION, distribution()),
    ];
    for names in SUBJECTS {
        schemas.push(named(names.metrics, metrics_answer((names.fields)(), names.values)));
        schemas.push(named(names.series, series_answer((names.fields)())));
        schemas.push(named(names.series_of_metrics, series_of_metrics_answer((names.fields)())));
        schemas.push(named(names.histogram, histogram_answer((names.fields)())));
    }
    schemas.extend(agents::all());
    schemas.extend([derived::<Problem>(), derived::<ProblemCode>()]);
    schemas
}

/// The names of the schemas of the answers about a kind of subject.
struct SubjectSchemas {
    /// Returns the fields that name the subject.
    fields: fn() -> Vec<Field>,
    metrics: &'static str,
    series: &'static str,
    series_of_metrics: &'static str,
    histogram: &'static str,
    /// The schema of the values of all metrics.
    values: &'static str,
}

const SUBJECTS: [SubjectSchemas; 3] = [
    SubjectSchemas {
        fields: Vec::new,
        metrics: schema_name::ORG_METRICS,
        series: schema_name::ORG_SERIES,
        series_of_metrics: schema_name::ORG_SERIES_OF_METRICS,
        histogram: schema_name::ORG_HISTOGRAM,
        values: schema_name::ORG_VALUES,
    },
    SubjectSchemas {
        fields: || vec![("repo", repo_name()), ("id", repo_id())],
        metrics: schema_name::REPO_METRICS,
        series: schema_name::REPO_SERIES,
        series_of_metrics: schema_name::REPO_SERIES_OF_METRICS,
        histogram: schema_name::REPO_HISTOGRAM,
        values: schema_name::VALUES,
    },
    SubjectSchemas {
        fields: || vec![("member", member_name())],
        metrics: schema_name::MEMBER_METRICS,
        series: schema_name::MEMBER_SERIES,
        series_of_metrics: schema_name::MEMBER_SERIES_OF_METRICS,
        histogram: schema_name::MEMBER_HISTOGRAM,
        values: schema_name::VALUES,
    },
];

fn named(name: &str, schema: Object) -> NamedSchema {
    (name.to_owned(), schema.into())
}

/// Returns the schema that a type derives.
pub(crate) fn derived<T: ToSchema + PartialSchema>() -> NamedSchema {
    (T::name().into_owned(), T::schema())
}

/// A field of an object, by name.
type Field = (&'static str, RefOr<Schema>);

/// Returns an object schema whose fields are all required.
fn object(fields: impl IntoIterator<Item = Field>) -> Object {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    fields
        .into_iter()
        .fold(object, |object, (name, schema)| object.property(name, schema).required(name))
        .build()
}

fn reference(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

fn array(of: &str, description: &str) -> Array {
    ArrayBuilder::new().items(Ref::from_schema_name(of)).description(Some(description)).build()
}

fn string(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).into()
}

fn choice(values: Vec<&'static str>, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(values))
        .description(Some(description))
        .into()
}

fn date(description: &str) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Date);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).description(Some(description)).into()
}

fn time_or_null(description: &str) -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::DateTime);
    let schema =
        ObjectBuilder::new().schema_type([Type::String, Type::Null].into_iter().collect::<SchemaType>());
    schema.format(Some(format)).description(Some(description)).into()
}

fn count(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).description(Some(description)).into()
}

fn count_or_null(description: &str) -> RefOr<Schema> {
    let schema =
        ObjectBuilder::new().schema_type([Type::Integer, Type::Null].into_iter().collect::<SchemaType>());
    schema.minimum(Some(0)).description(Some(description)).into()
}

fn number_or_null(description: &str) -> RefOr<Schema> {
    let schema =
        ObjectBuilder::new().schema_type([Type::Number, Type::Null].into_iter().collect::<SchemaType>());
    schema.description(Some(description)).into()
}

fn org_name() -> RefOr<Schema> {
    string("The organization's login as GitHub writes it")
}

fn time_zone() -> RefOr<Schema> {
    string("The IANA name of the organization's time zone, such as `Asia/Tokyo`. It decides where days begin")
}

fn repo_name() -> RefOr<Schema> {
    string("The repository's name as GitHub writes it")
}

fn repo_id() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some(
            "GitHub's id of the repository. Repositories that had the same name have different ids",
        ))
        .into()
}

fn member_name() -> RefOr<Schema> {
    string(
        "The member's login as GitHub writes it. A bot's login ends in `[bot]`. An author without an account is \
         `~` and 12 hex digits. Deleted accounts are `ghost`",
    )
}

fn org_summary() -> Object {
    object([
        ("org", org_name()),
        (
            "repos",
            count_or_null(
                "Number of repositories with at least one credited event. Null while the numbers are computed for the \
                 first time or in a new store",
            ),
        ),
        (
            "members",
            count_or_null("Number of members ever credited with an event, without bots. Null if `repos` is"),
        ),
        ("first_event", time_or_null("The time of the first event, UTC. Null if all are after today")),
        (
            "last_event",
            time_or_null(
                "The time of the last event, UTC, not after today: a commit can be dated in the future",
            ),
        ),
    ])
}

fn metrics_answer(subject: Vec<Field>, values: &str) -> Object {
    let fields = [("org", org_name())].into_iter().chain(subject).chain(range_fields()).chain(coverage());
    let fields = object(fields.chain([("metrics", reference(values))]));
    comparison::of_metrics(fields, schema_name::PREVIOUS_METRICS, schema_name::CHANGES)
}

/// Returns the fields of an answer that repeat the query.
fn range_fields() -> [Field; 4] {
    let bots = Parameter::Bots.values().unwrap_or_default();
    [
        ("since", date("The first day, in the organization's time zone")),
        ("until", date("The day after the last, in the organization's time zone")),
        ("timezone", time_zone()),
        ("bots", choice(bots, "Whose work counts")),
    ]
}

/// Returns the fields that say from when until when the data is complete, and what is missing.
fn coverage() -> [Field; 4] {
    [
        (
            "complete_since",
            time_or_null(
                "Data is complete from this time on for every repository in scope, UTC. Earlier numbers are \
                 partial. Null if this or `complete_until` is not known",
            ),
        ),
        (
            "complete_until",
            time_or_null(
                "Data is complete until this time for every repository in scope, UTC. Null if one of them was \
                 never read completely",
            ),
        ),
        ("gaps", array(schema_name::GAP, "What could not be read from GitHub: at most 20 gaps").into()),
        ("gap_count", count("Number of all gaps")),
    ]
}

fn gap() -> Object {
    let number = ObjectBuilder::new().schema_type(Type::Integer).description(Some(
        "The number of the pull request or issue, or the numeric id of the release or deployment, if a single one \
         is missing",
    ));
    let kinds = vec![
        "repository",
        "blocked",
        "commits",
        "line_counts",
        "pull_requests",
        "issues",
        "releases",
        "deployments",
    ];
    let fields = object([
        ("repo", repo_name()),
        ("kind", choice(kinds, "What is missing. `repository` is everything in it")),
        ("from", time_or_null("When the missing span begins, UTC. Null if it has no beginning")),
        ("until", time_or_null("When the missing span ends, UTC. Null if it has no end yet")),
        ("why", string("The reason, for people")),
    ]);
    ObjectBuilder::from(fields).property("number", number).build()
}

fn metric_names() -> Vec<&'static str> {
    CATALOGUE.iter().map(|metric| metric.name).collect()
}

fn series_answer(subject: Vec<Field>) -> Object {
    let metric = ("metric", choice(metric_names(), "The name of the metric"));
    series_of(subject, metric, schema_name::POINT)
}

fn series_of_metrics_answer(subject: Vec<Field>) -> Object {
    let name = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(metric_names()));
    let names = ArrayBuilder::new().items(name).description(Some("The metrics, in the requested order"));
    series_of(subject, ("metrics", names.into()), schema_name::POINT_OF_METRICS)
}

/// Returns the schema of a series: `metric` says which metrics it has, and `point` is the schema of its points.
fn series_of(subject: Vec<Field>, metric: Field, point: &str) -> Object {
    let grains = Grain::ALL.map(Grain::as_str).to_vec();
    let points = array(point, "One point for every bucket that overlaps the range, in order");
    let fields = [("org", org_name())]
        .into_iter()
        .chain(subject)
        .chain(range_fields())
        .chain([metric, ("granularity", choice(grains, "The length of the buckets. Weeks are ISO weeks"))])
        .chain(coverage())
        .chain([("points", points.into())]);
    object(fields)
}

fn histogram_answer(subject: Vec<Field>) -> Object {
    let metrics = Parameter::DurationMetric.values().unwrap_or_default();
    let bins = array(
        schema_name::BIN,
        "The bins, shortest durations first: their bounds are the same in every answer. The counts add up to that of \
         `value`. At most 64 durations are counted exactly; of more, one that is within 1 % of a bound can be in the \
         bin next to its own",
    );
    let fields = [("org", org_name())]
        .into_iter()
        .chain(subject)
        .chain(range_fields())
        .chain([("metric", choice(metrics, "The name of the metric"))])
        .chain(coverage())
        .chain([("value", reference(schema_name::DISTRIBUTION)), ("bins", bins.into())]);
    object(fields)
}

fn bin() -> Object {
    let from =
        ObjectBuilder::new().schema_type(Type::Number).description(Some("The least duration, in hours"));
    object([
        ("from", from.into()),
        ("to", number_or_null("The duration that is too long for the bin, in hours. Null in the last bin")),
        ("count", count("Number of durations")),
    ])
}

fn point() -> Object {
    let value = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)))
        .item(Ref::from_schema_name(schema_name::DISTRIBUTION))
        .description(Some(
            "The value of the days that are both in the bucket and in the range: a count, or a distribution",
        ));
    bucket_with(("value", value.into()))
}

fn point_of_metrics() -> Object {
    bucket_with(("values", reference(schema_name::SOME_VALUES)))
}

/// Returns the schema of a bucket with its values.
fn bucket_with(values: Field) -> Object {
    let partial = ObjectBuilder::new().schema_type(Type::Boolean).description(Some(
        "True if the range cuts the bucket, so that only a part of it counts. Left out otherwise",
    ));
    let mut point = object([
        ("start", date("The first day of the bucket, in the organization's time zone")),
        ("end", date("The day after the last of the bucket, in the organization's time zone")),
        values,
    ]);
    point.properties.insert("partial".to_owned(), partial.into());
    point
}

/// Returns the schema of the values of some metrics: none is required.
fn some_values() -> Object {
    let values = ObjectBuilder::new().schema_type(Type::Object).description(Some(
        "The values of the requested metrics, of the days that are both in the bucket and in the range",
    ));
    CATALOGUE.iter().fold(values, |values, metric| values.property(metric.name, value(metric))).build()
}

fn page(list: &'static str, entry: &str) -> Object {
    let next = ObjectBuilder::new()
        .schema_type([Type::String, Type::Null].into_iter().collect::<SchemaType>())
        .description(Some("The `cursor` of the next page. Null on the last page"));
    let entries = array(entry, "The entries of this page, sorted by `sort`");
    let fields = [(list, entries.into()), ("next", next.into()), ("timezone", time_zone())];
    comparison::of_page(object(fields.into_iter().chain(coverage())))
}

fn repo() -> Object {
    let fields = [("repo", repo_name()), ("id", repo_id()), ("metrics", reference(schema_name::VALUES))];
    comparison::of_entry(object(fields), schema_name::PREVIOUS_VALUES, schema_name::CHANGES)
}

fn member() -> Object {
    // What has no author is not listed.
    let listed = MemberKind::ALL.into_iter().filter(|kind| *kind != MemberKind::Unknown);
    let kinds = listed.map(MemberKind::as_str).collect();
    let fields = [
        ("member", member_name()),
        ("kind", choice(kinds, "The kind of account behind the member")),
        ("metrics", reference(schema_name::VALUES)),
    ];
    comparison::of_entry(object(fields), schema_name::PREVIOUS_VALUES, schema_name::CHANGES)
}

/// Returns the schema of the values of all metrics. For an organization, it includes the totals.
fn values(of_org: bool) -> Object {
    let totals = [
        ("total_repos", count("Number of repositories with at least one credited event, in any range")),
        ("total_members", count("Number of members ever credited with an event, in any range")),
    ];
    object(
        CATALOGUE
            .iter()
            .map(|metric| (metric.name, value(metric)))
            .chain(totals.into_iter().filter(|_| of_org)),
    )
}

fn value(metric: &Metric) -> RefOr<Schema> {
    let mut description = format!("In {}: {}", metric.unit, metric.meaning);
    for (label, text) in [("credited to the", metric.credited_to), ("at", metric.at)] {
        if !text.is_empty() {
            description.push_str(&format!("; {label} {text}"));
        }
    }
    description.push_str(&format!(". Source: {}", metric.source));
    if metric.is_distribution() {
        RefBuilder::new()
            .ref_location_from_schema_name(schema_name::DISTRIBUTION)
            .description(Some(description))
            .build()
            .into()
    } else {
        count(&description)
    }
}

fn distribution() -> Object {
    object([
        ("count", count("Number of durations")),
        ("mean", number_or_null("The arithmetic mean. Null if `count` is 0")),
        (
            "p50",
            number_or_null(
                "The median by nearest rank. Exact if `count` is at most 64, else within 1 %. Null if `count` is 0",
            ),
        ),
        (
            "p90",
            number_or_null(
                "The 90th percentile by nearest rank. Exact if `count` is at most 64, else within 1 %. Null if \
                 `count` is 0",
            ),
        ),
    ])
}
