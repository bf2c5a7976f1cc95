//! The schemas of comparisons with the range before.

use gam_model::metric::CATALOGUE;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, RefBuilder, Type};
use utoipa::openapi::{Object, RefOr, Schema};

use super::{date, number_or_null, object, reference, schema_name};

/// Adds the fields that metrics have in a comparison. `previous` and `change` are the names of their schemas.
pub(super) fn of_metrics(answer: Object, previous: &str, change: &str) -> Object {
    ObjectBuilder::from(answer)
        .property("previous", or_null(previous, "The range before, if `compare` is set"))
        .property("change", or_null(change, "The change since `previous`, if `compare` is set"))
        .build()
}

/// Adds the field that a page has in a comparison.
pub(super) fn of_page(page: Object) -> Object {
    let previous = or_null(schema_name::PREVIOUS_RANGE, "The range before, if `compare` is set");
    ObjectBuilder::from(page).property("previous", previous).build()
}

/// Adds the fields that an entry of a page has in a comparison. `previous` and `change` are the names of their schemas.
pub(super) fn of_entry(entry: Object, previous: &str, change: &str) -> Object {
    ObjectBuilder::from(entry)
        .property("previous", described(previous, "The values in `previous` of the page"))
        .property("change", described(change, "The change since `previous`"))
        .build()
}

fn described(name: &str, description: &str) -> RefOr<Schema> {
    let reference = RefBuilder::new().ref_location_from_schema_name(name);
    reference.description(Some(description.to_owned())).build().into()
}

fn or_null(name: &str, description: &str) -> RefOr<Schema> {
    let description = format!("{description}. Null if that range would begin before 1970-01-01");
    OneOfBuilder::new()
        .item(reference(name))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(description))
        .into()
}

pub(super) fn previous_range() -> Object {
    object([
        ("since", date("The first day, in the organization's time zone")),
        ("until", date("The day after the last, in the organization's time zone")),
    ])
}

/// Returns the schema of values in the range before. `values` is the name of their schema.
pub(super) fn previous_values(values: &str) -> Object {
    object([("metrics", reference(values))])
}

/// Returns the schema of the range before with its values.
pub(super) fn previous_metrics(values: &str) -> Object {
    let mut previous = previous_range();
    let values = previous_values(values);
    previous.properties.extend(values.properties);
    previous.required.extend(values.required);
    previous
}

/// Returns the schema of the changes of all metrics.
pub(super) fn changes() -> Object {
    object(CATALOGUE.iter().map(|metric| {
        let schema = match metric.is_distribution() {
            true => schema_name::DISTRIBUTION_CHANGE,
            false => schema_name::COUNT_CHANGE,
        };
        (metric.name, reference(schema))
    }))
}

fn relative() -> RefOr<Schema> {
    number_or_null(
        "`difference` divided by the previous number: 0.25 is 25 % more. Null if that is 0 or missing",
    )
}

pub(super) fn count_change() -> Object {
    let difference = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .description(Some("The present number minus the previous one"));
    object([("difference", difference.into()), ("relative", relative())])
}

pub(super) fn hours_change() -> Object {
    change_of(
        "The present number minus the previous one, in hours. Null if one of the distributions is empty",
    )
}

pub(super) fn number_change() -> Object {
    change_of("The present number minus the previous one. Null if one of the ratios has no denominator")
}

fn change_of(difference: &str) -> Object {
    object([("difference", number_or_null(difference)), ("relative", relative())])
}

pub(super) fn distribution_change() -> Object {
    let hours = || reference(schema_name::HOURS_CHANGE);
    object([
        ("count", reference(schema_name::COUNT_CHANGE)),
        ("mean", hours()),
        ("p50", hours()),
        ("p90", hours()),
    ])
}
