//! The schemas of the answers. The answers' types live with the queries, which know nothing of this
//! document, so their schemas are written here; a test holds real answers against them.

use gam_model::metric::{CATALOGUE, Metric};
use gam_model::{Grain, MemberKind};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, RefBuilder, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{Array, Object, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::params::Parameter;
use crate::problem::{Code, Problem};
use crate::routes::{Health, MetricCatalogue, MetricEntry};

/// The schemas' names.
pub(crate) mod name {
    pub(crate) const ORGS: &str = "Orgs";
    pub(crate) const ORG_SUMMARY: &str = "OrgSummary";
    pub(crate) const ORG_METRICS: &str = "OrgMetrics";
    pub(crate) const REPO_METRICS: &str = "RepoMetrics";
    pub(crate) const MEMBER_METRICS: &str = "MemberMetrics";
    pub(crate) const ORG_SERIES: &str = "OrgSeries";
    pub(crate) const REPO_SERIES: &str = "RepoSeries";
    pub(crate) const MEMBER_SERIES: &str = "MemberSeries";
    pub(crate) const POINT: &str = "Point";
    pub(crate) const MEMBERS: &str = "Members";
    pub(crate) const MEMBER: &str = "Member";
    pub(crate) const REPOS: &str = "Repos";
    pub(crate) const REPO: &str = "Repo";
    pub(crate) const VALUES: &str = "MetricValues";
    pub(crate) const ORG_VALUES: &str = "OrgMetricValues";
    pub(crate) const DISTRIBUTION: &str = "Distribution";
    pub(crate) const CATALOGUE: &str = "MetricCatalogue";
    pub(crate) const HEALTH: &str = "Health";
    pub(crate) const PROBLEM: &str = "Problem";
}

type Named = (String, RefOr<Schema>);

/// Every schema of the document.
pub(super) fn all() -> Vec<Named> {
    let mut schemas = vec![
        named(name::ORGS, object([("orgs", array(name::ORG_SUMMARY, "In order of their names").into())])),
        named(name::ORG_SUMMARY, org_summary()),
        named(name::POINT, point()),
        named(name::MEMBERS, page("members", name::MEMBER)),
        named(name::MEMBER, member()),
        named(name::REPOS, page("repos", name::REPO)),
        named(name::REPO, object([("repo", repo_name()), ("metrics", reference(name::VALUES))])),
        named(name::VALUES, values(false)),
        named(name::ORG_VALUES, values(true)),
        named(name::DISTRIBUTION, distribution()),
    ];
    for (subject, metrics, series, values) in [
        (None, name::ORG_METRICS, name::ORG_SERIES, name::ORG_VALUES),
        (Some(("repo", repo_name())), name::REPO_METRICS, name::REPO_SERIES, name::VALUES),
        (Some(("member", member_name())), name::MEMBER_METRICS, name::MEMBER_SERIES, name::VALUES),
    ] {
        schemas.push(named(metrics, metrics_answer(subject.clone(), values)));
        schemas.push(named(series, series_answer(subject)));
    }
    schemas.extend([derived::<Health>(), derived::<MetricCatalogue>(), derived::<MetricEntry>()]);
    schemas.extend([derived::<Problem>(), derived::<Code>()]);
    schemas
}

fn named(name: &str, schema: Object) -> Named {
    (name.to_owned(), schema.into())
}

fn derived<T: ToSchema + PartialSchema>() -> Named {
    (T::name().into_owned(), T::schema())
}

type Field = (&'static str, RefOr<Schema>);

/// An object all of whose fields are always there.
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

fn number_or_null(description: &str) -> RefOr<Schema> {
    let schema =
        ObjectBuilder::new().schema_type([Type::Number, Type::Null].into_iter().collect::<SchemaType>());
    schema.description(Some(description)).into()
}

fn org_name() -> RefOr<Schema> {
    string("The organization, as GitHub spells it")
}

fn repo_name() -> RefOr<Schema> {
    string("The repository, as GitHub spells it")
}

fn member_name() -> RefOr<Schema> {
    string(
        "The member, as GitHub spells it: a bot's name ends in `[bot]`; `~` and 12 hex digits for an author \
         without an account; `ghost` for deleted accounts",
    )
}

fn org_summary() -> Object {
    object([
        ("org", org_name()),
        ("repos", count("Repositories ever credited with anything")),
        ("members", count("Members ever credited with anything, bots left out")),
        ("first_event", time_or_null("The time of the first event counted, UTC")),
        ("last_event", time_or_null("The time of the last event counted, UTC")),
    ])
}

fn metrics_answer(subject: Option<Field>, values: &str) -> Object {
    let bots = Parameter::Bots.values().unwrap_or_default();
    let fields = [("org", org_name())].into_iter().chain(subject).chain([
        ("since", date("The first day, UTC")),
        ("until", date("The day after the last, UTC")),
        ("bots", choice(bots, "Which members' work counts")),
        (
            "complete_since",
            time_or_null(
                "From when on GitHub has been read for every repository in question, UTC: what is earlier is \
                 not whole; null where that or `complete_until` is not known",
            ),
        ),
        (
            "complete_until",
            time_or_null(
                "Up to when GitHub has been read for every repository in question, UTC; null where some \
                          were never read whole",
            ),
        ),
        ("metrics", reference(values)),
    ]);
    object(fields)
}

fn series_answer(subject: Option<Field>) -> Object {
    let metrics = CATALOGUE.iter().map(|metric| metric.name).collect();
    let grains = Grain::ALL.map(Grain::as_str).to_vec();
    let points = array(name::POINT, "One for every bucket that meets the range, in order");
    let fields = [("org", org_name())].into_iter().chain(subject).chain([
        ("metric", choice(metrics, "The metric")),
        ("granularity", choice(grains, "The buckets' length; weeks are ISO weeks")),
        ("points", points.into()),
    ]);
    object(fields)
}

fn point() -> Object {
    let value = OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)))
        .item(Ref::from_schema_name(name::DISTRIBUTION))
        .description(Some(
            "The value of what lies in both the bucket and the range: a count, or a distribution",
        ));
    object([
        ("start", date("The bucket's first day, UTC")),
        ("end", date("The day after the bucket's last, UTC")),
        ("value", value.into()),
    ])
}

fn page(list: &'static str, entry: &str) -> Object {
    let next = ObjectBuilder::new()
        .schema_type([Type::String, Type::Null].into_iter().collect::<SchemaType>())
        .description(Some("The `cursor` of the next page, or null on the last"));
    let entries = array(entry, "Who is credited with something in the range, sorted as asked");
    object([(list, entries.into()), ("next", next.into())])
}

fn member() -> Object {
    let kinds = MemberKind::ALL.map(MemberKind::as_str).to_vec();
    object([
        ("member", member_name()),
        ("kind", choice(kinds, "What sort of actor the member is")),
        ("metrics", reference(name::VALUES)),
    ])
}

/// The values of all metrics; an organization's also hold its totals.
fn values(of_org: bool) -> Object {
    let totals = [
        ("total_repos", count("Repositories ever credited with anything, whatever the range")),
        ("total_members", count("Members ever credited with anything, whatever the range")),
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
            .ref_location_from_schema_name(name::DISTRIBUTION)
            .description(Some(description))
            .build()
            .into()
    } else {
        count(&description)
    }
}

fn distribution() -> Object {
    object([
        ("count", count("How many values there are")),
        ("mean", number_or_null("Their arithmetic mean; null where there are none")),
        ("p50", number_or_null("Their median by nearest rank, within 1 %; null where there are none")),
        (
            "p90",
            number_or_null("Their 90th percentile by nearest rank, within 1 %; null where there are none"),
        ),
    ])
}
