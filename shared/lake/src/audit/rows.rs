//! The columns of the table `audit`.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use gam_model::AuditEntry;

use crate::error::{Error, Result};
use crate::schema::{conform_to, number, required, text, time, times_array, timestamp_type};

/// The names of the columns, in the order in which they are written. Times are UTC.
pub mod column {
    /// Identifies the row.
    pub const EVENT_ID: &str = "event_id";
    /// What happened.
    pub const KIND: &str = "kind";
    /// The storage key of the organization; null for rows of none.
    pub const ORG: &str = "org";
    /// The name of the repository.
    pub const REPO: &str = "repo";
    /// GitHub's id of the repository.
    pub const REPO_ID: &str = "repo_id";
    /// The number of the issue or pull request.
    pub const NUMBER: &str = "number";
    /// Who made the change.
    pub const PRINCIPAL: &str = "principal";
    /// To what it happened.
    pub const SUBJECT: &str = "subject";
    /// How it ended, or why the change was made.
    pub const OUTCOME: &str = "outcome";
    /// When it happened.
    pub const OCCURRED_AT: &str = "occurred_at";
    /// Number of occurrences, for rows that count.
    pub const COUNT: &str = "count";
    /// A keyed hash of the sender's address.
    pub const ORIGIN: &str = "origin";
    /// The commit that stored the row with the change.
    pub const COMMIT_ID: &str = "commit_id";
    /// Further facts as a JSON object.
    pub const DETAIL: &str = "detail";
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    use DataType::{Int64, Utf8};
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        required(column::EVENT_ID, Utf8),
        required(column::KIND, Utf8),
        optional(column::ORG, Utf8),
        optional(column::REPO, Utf8),
        optional(column::REPO_ID, Int64),
        optional(column::NUMBER, Int64),
        required(column::PRINCIPAL, Utf8),
        required(column::SUBJECT, Utf8),
        required(column::OUTCOME, Utf8),
        required(column::OCCURRED_AT, timestamp_type()),
        optional(column::COUNT, Int64),
        optional(column::ORIGIN, Utf8),
        required(column::COMMIT_ID, Utf8),
        optional(column::DETAIL, Utf8),
    ]))
});

/// Returns the schema of the table `audit`.
pub fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Returns the entries as rows, in the same order.
///
/// # Errors
/// [`Error::Unusable`] if the columns do not fit together. No entry can cause this.
pub fn encode(entries: &[AuditEntry]) -> Result<RecordBatch> {
    let text = |field: fn(&AuditEntry) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(entries.iter().map(field)))
    };
    let optional_text = |field: fn(&AuditEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(entries.iter().map(field)))
    };
    let optional_number = |field: fn(&AuditEntry) -> Option<i64>| -> ArrayRef {
        Arc::new(Int64Array::from_iter(entries.iter().map(field)))
    };
    let columns = vec![
        text(|it| &it.event_id),
        text(|it| &it.kind),
        optional_text(|it| it.org.as_deref()),
        optional_text(|it| it.repo.as_deref()),
        optional_number(|it| it.repo_id),
        optional_number(|it| it.number),
        text(|it| &it.principal),
        text(|it| &it.subject),
        text(|it| &it.outcome),
        times_array(entries.iter().map(|it| Some(it.occurred_at))),
        optional_number(|it| it.count),
        optional_text(|it| it.origin.as_deref()),
        text(|it| &it.commit_id),
        optional_text(|it| it.detail.as_deref()),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|error| Error::unusable("cannot encode the audit log as rows", error))
}

/// Returns the rows as entries, in the same order.
///
/// # Errors
/// [`Error::Damaged`] if the rows are invalid.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<AuditEntry>> {
    let batch = conform_to(batch, schema())?;
    let column = |name: &str| batch.column_by_name(name).expect("a conforming batch has every column");
    let text_at = |name: &str, row: usize| text(column(name).as_string::<i32>(), row).map(str::to_owned);
    let number_at = |name: &str, row: usize| number(column(name).as_primitive::<Int64Type>(), row);
    let entry = |row: usize| {
        let required_text = |name: &str| required(text_at(name, row), name);
        let times = column(column::OCCURRED_AT).as_primitive::<TimestampMillisecondType>();
        Ok(AuditEntry {
            event_id: required_text(column::EVENT_ID)?,
            kind: required_text(column::KIND)?,
            org: text_at(column::ORG, row),
            repo: text_at(column::REPO, row),
            repo_id: number_at(column::REPO_ID, row),
            number: number_at(column::NUMBER, row),
            principal: required_text(column::PRINCIPAL)?,
            subject: required_text(column::SUBJECT)?,
            outcome: required_text(column::OUTCOME)?,
            occurred_at: time(required(number(times, row), column::OCCURRED_AT)?, column::OCCURRED_AT)?,
            count: number_at(column::COUNT, row),
            origin: text_at(column::ORIGIN, row),
            commit_id: required_text(column::COMMIT_ID)?,
            detail: text_at(column::DETAIL, row),
        })
    };
    (0..batch.num_rows()).map(entry).collect()
}
