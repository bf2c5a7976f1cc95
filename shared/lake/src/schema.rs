//! The Arrow schema of the Parquet table `events`, and the conversion between its rows and [`Event`]s.
//!
//! Columns are found by name. A nullable column may be missing and reads as null, because older versions did
//! not write every column. Unknown columns are ignored. A file is damaged if a required column is missing or
//! if a column has the wrong type. Times are UTC, truncated to milliseconds.

mod decode;
mod encode;

use std::sync::{Arc, LazyLock};

use arrow_array::{Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use gam_model::Event;

pub(crate) use decode::{DictionaryStrings, member_kind, number, required, text, time, unknown_kind};
pub use decode::{decode, decode_repos, has_repo};
pub use encode::encode;
pub(crate) use encode::{dictionary_array, list_array, times_array};

use crate::error::{Error, Result};

/// The names of the columns, in the order in which they are written. Times are UTC.
pub mod column {
    /// The event's deterministic id.
    pub const EVENT_ID: &str = "event_id";
    /// The version of the fact; the greater one is newer.
    pub const VERSION: &str = "version";
    /// The stored name of the event kind.
    pub const KIND: &str = "kind";
    /// The organization's storage key: the login at its first collection, in GitHub's upper and lower case.
    pub const ORG: &str = "org";
    /// The repository's name when the event was collected.
    pub const REPO: &str = "repo";
    /// GitHub's numeric repository id.
    pub const REPO_ID: &str = "repo_id";
    /// The name of the member credited with the event.
    pub const MEMBER: &str = "member";
    /// GitHub's numeric id of the member's account; null without an account.
    pub const MEMBER_ID: &str = "member_id";
    /// The stored name of the member's kind.
    pub const MEMBER_KIND: &str = "member_kind";
    /// When the event occurred.
    pub const OCCURRED_AT: &str = "occurred_at";
    /// When the event was read from GitHub.
    pub const COLLECTED_AT: &str = "collected_at";
    /// Whether the fact is no longer true.
    pub const RETRACTED: &str = "retracted";
    /// Commits: the commit's SHA. Deployments: the SHA of the deployed commit.
    pub const SHA: &str = "sha";
    /// Commits: the number of parents.
    pub const PARENTS: &str = "parents";
    /// Commits: lines added.
    pub const ADDITIONS: &str = "additions";
    /// Commits: lines deleted.
    pub const DELETIONS: &str = "deletions";
    /// Commits: files changed.
    pub const FILES_CHANGED: &str = "files_changed";
    /// Commits: names of members from `Co-authored-by` trailers.
    pub const CO_AUTHORS: &str = "co_authors";
    /// Pull requests, reviews and issues: the number of the pull request or issue.
    pub const NUMBER: &str = "number";
    /// Reviews: the name of the pull request's author.
    pub const PR_MEMBER: &str = "pr_member";
    /// Pull requests and issues: `open`, `closed` or `merged`.
    pub const STATE: &str = "state";
    /// Pull requests: whether it is a draft.
    pub const DRAFT: &str = "draft";
    /// Pull requests, issues, releases and deployments: when it was created.
    pub const CREATED_AT: &str = "created_at";
    /// Pull requests: when it was merged.
    pub const MERGED_AT: &str = "merged_at";
    /// Merged pull requests: the first review of each reviewer, as a list of `member`, `member_kind` and
    /// `at`.
    pub const FIRST_REVIEWS: &str = "first_reviews";
    /// Pull requests and issues: label names.
    pub const LABELS: &str = "labels";
    /// Reviews: `approved`, `changes_requested`, `commented` or `dismissed`.
    pub const REVIEW_STATE: &str = "review_state";
    /// Deployments: the name of the environment.
    pub const ENVIRONMENT: &str = "environment";
    /// Releases: the name of the tag.
    pub const TAG: &str = "tag";
    /// The version of the code that read the event from GitHub's answer; null for 0.
    pub const READING: &str = "reading";
    /// Pull requests: the name of the branch that is to be merged.
    pub const HEAD_REF: &str = "head_ref";
    /// Pull requests: GitHub's numeric id of the repository that has that branch.
    pub const HEAD_REPO_ID: &str = "head_repo_id";
    /// Merged pull requests: the SHA of the commit that the merge made.
    pub const MERGE_SHA: &str = "merge_sha";
    /// Workflow runs that count as deployments: the file name of the workflow.
    pub const WORKFLOW: &str = "workflow";
    /// Commits whose author has no account: the hash of the author's name.
    pub const AUTHOR_NAME_HASH: &str = "author_name_hash";
    /// Within [`FIRST_REVIEWS`]: when the review was submitted.
    pub const AT: &str = "at";
}

/// The version of the schema, for the footers of files. Increment it with every new column, so that an older
/// program does not write rows back without it.
///
/// - 1: up to `tag`; files of that version do not name it.
/// - 2: `reading`, `head_ref`, `head_repo_id`, `merge_sha`, `workflow`, `author_name_hash`.
pub const SCHEMA_VERSION: u32 = 2;

static EVENTS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(build_schema()));

/// Returns the schema of the table `events`.
pub fn events() -> SchemaRef {
    Arc::clone(&EVENTS_SCHEMA)
}

/// Returns the type of a column of names, which repeat.
pub(crate) fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// Returns the type of a column of times.
pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// Returns the type of a column of lists.
// The Parquet specification requires this name of the element, and some readers insist on it.
pub(crate) fn list_type(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, false)))
}

fn first_review_fields() -> Fields {
    Fields::from(vec![
        Field::new(column::MEMBER, DataType::Utf8, false),
        Field::new(column::MEMBER_KIND, DataType::Utf8, false),
        Field::new(column::AT, timestamp_type(), false),
    ])
}

fn build_schema() -> Schema {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Schema::new(vec![
        required(column::EVENT_ID, Utf8),
        required(column::VERSION, Int64),
        required(column::KIND, dictionary_type()),
        required(column::ORG, dictionary_type()),
        required(column::REPO, dictionary_type()),
        required(column::REPO_ID, Int64),
        required(column::MEMBER, dictionary_type()),
        optional(column::MEMBER_ID, Int64),
        required(column::MEMBER_KIND, dictionary_type()),
        required(column::OCCURRED_AT, timestamp_type()),
        required(column::COLLECTED_AT, timestamp_type()),
        required(column::RETRACTED, Boolean),
        optional(column::SHA, Utf8),
        optional(column::PARENTS, Int32),
        optional(column::ADDITIONS, Int64),
        optional(column::DELETIONS, Int64),
        optional(column::FILES_CHANGED, Int64),
        optional(column::CO_AUTHORS, list_type(Utf8)),
        optional(column::NUMBER, Int64),
        optional(column::PR_MEMBER, dictionary_type()),
        optional(column::STATE, dictionary_type()),
        optional(column::DRAFT, Boolean),
        optional(column::CREATED_AT, timestamp_type()),
        optional(column::MERGED_AT, timestamp_type()),
        optional(column::FIRST_REVIEWS, list_type(DataType::Struct(first_review_fields()))),
        optional(column::LABELS, list_type(Utf8)),
        optional(column::REVIEW_STATE, dictionary_type()),
        optional(column::ENVIRONMENT, dictionary_type()),
        optional(column::TAG, Utf8),
        optional(column::READING, Int64),
        optional(column::HEAD_REF, Utf8),
        optional(column::HEAD_REPO_ID, Int64),
        optional(column::MERGE_SHA, Utf8),
        optional(column::WORKFLOW, dictionary_type()),
        optional(column::AUTHOR_NAME_HASH, dictionary_type()),
    ])
}

/// Stands for the path in errors about rows whose object is not known.
const UNKNOWN_PATH: &str = "the rows";

/// Returns the batch with exactly the columns of [`events`], in that order.
///
/// # Errors
/// [`Error::Damaged`] if a required column is missing or a column has the wrong type.
pub(crate) fn conform(batch: &RecordBatch) -> Result<RecordBatch> {
    conform_to(batch, events())
}

/// Returns the batch with exactly the columns of the schema, in that order.
///
/// # Errors
/// [`Error::Damaged`] if a required column is missing or a column has the wrong type.
pub(crate) fn conform_to(batch: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch> {
    if Arc::ptr_eq(&batch.schema(), &schema) {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() != field.data_type() => Err(Error::damaged(
                UNKNOWN_PATH,
                format!("column {} is {}, not {}", field.name(), column.data_type(), field.data_type()),
            )),
            Some(column) if !field.is_nullable() && column.is_nullable() => Err(Error::damaged(
                UNKNOWN_PATH,
                format!("column {} has a row without a value", field.name()),
            )),
            Some(column) => Ok(Arc::clone(column)),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
            None => Err(Error::damaged(UNKNOWN_PATH, format!("column {} is missing", field.name()))),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|error| Error::damaged_by(UNKNOWN_PATH, "its columns do not fit together", error))
}

/// Truncates the event's times to milliseconds, so that it equals the same event read from the lake.
pub(crate) fn truncate_times(event: &mut Event) {
    let truncate = |at: &mut DateTime<Utc>| {
        if let Some(truncated) = DateTime::from_timestamp_millis(at.timestamp_millis()) {
            *at = truncated;
        }
    };
    truncate(&mut event.occurred_at);
    truncate(&mut event.collected_at);
    event.facts.created_at.iter_mut().for_each(truncate);
    event.facts.merged_at.iter_mut().for_each(truncate);
    event.facts.first_reviews.iter_mut().flatten().for_each(|review| truncate(&mut review.at));
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int32Array, Int64Array};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_event, sample};

    #[test]
    fn column_names_and_order_do_not_change() {
        let names: Vec<_> = events().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(
            names.join(", "),
            "event_id, version, kind, org, repo, repo_id, member, member_id, member_kind, occurred_at, \
             collected_at, retracted, sha, parents, additions, deletions, files_changed, co_authors, \
             number, pr_member, state, draft, created_at, merged_at, first_reviews, labels, \
             review_state, environment, tag, reading, head_ref, head_repo_id, merge_sha, workflow, \
             author_name_hash"
        );
    }

    #[test]
    fn the_arrow_schema_never_changes() {
        let schema = events();
        let lines = schema.fields().iter().map(|field| {
            let presence = if field.is_nullable() { "optional" } else { "required" };
            format!("{:<14} {presence} {}", field.name(), field.data_type())
        });
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("arrow_schema", lines.collect::<Vec<_>>().join("\n"));
        });
    }

    fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
        let mut fields: Vec<_> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        let mut columns = batch.columns().to_vec();
        let field = Field::new(name, column.data_type().clone(), true);
        match fields.iter().position(|f| f.name() == name) {
            Some(index) => (fields[index], columns[index]) = (field, column),
            None => {
                fields.push(field);
                columns.push(column);
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn without_column(batch: &RecordBatch, name: &str) -> RecordBatch {
        let keep: Vec<_> =
            (0..batch.num_columns()).filter(|&i| batch.schema().field(i).name() != name).collect();
        batch.project(&keep).unwrap()
    }

    #[test]
    fn unknown_columns_are_ignored_and_nullable_ones_optional() {
        let mut expected = sample(3);
        let batch = encode(&expected).unwrap();
        let wider = with_column(&batch, "unknown", Arc::new(Int64Array::from(vec![1, 2, 3])));
        assert_eq!(decode(&wider).unwrap(), expected);
        expected.iter_mut().for_each(|event| event.facts.labels = None);
        assert_eq!(decode(&without_column(&batch, column::LABELS)).unwrap(), expected);
    }

    #[test]
    fn missing_or_mistyped_columns_are_damage() {
        let batch = encode(&sample(2)).unwrap();
        let broken = [
            without_column(&batch, column::REPO_ID),
            with_column(&batch, column::VERSION, Arc::new(Int32Array::from(vec![1, 2]))),
            with_column(&batch, column::VERSION, Arc::new(Int64Array::from(vec![Some(1), None]))),
            with_column(&batch, column::TAG, Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        for batch in broken {
            assert!(matches!(decode(&batch), Err(Error::Damaged { .. })));
        }
    }

    #[test]
    fn an_unknown_kind_is_a_newer_format() {
        let batch = encode(&sample(1)).unwrap();
        let kinds: arrow_array::DictionaryArray<arrow_array::types::Int32Type> =
            ["wiki_edited"].into_iter().collect();
        let newer = with_column(&batch, column::KIND, Arc::new(kinds));
        assert!(matches!(decode(&newer), Err(Error::NewerFormat { .. })));
    }

    #[test]
    fn no_events_encode_to_an_empty_batch() {
        let batch = encode(&[]).unwrap();
        assert_eq!(batch.num_rows(), 0);
        assert!(decode(&batch).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn events_decode_from_their_rows(events in prop::collection::vec(any_event(), 0..20)) {
            let batch = encode(&events).unwrap();
            prop_assert_eq!(decode(&batch).unwrap(), events);
        }

        #[test]
        fn times_are_truncated_to_milliseconds(event in any_event(), nanos in 0i64..1_000_000) {
            let mut precise = event.clone();
            precise.occurred_at += chrono::TimeDelta::nanoseconds(nanos);
            precise.collected_at += chrono::TimeDelta::nanoseconds(nanos);
            prop_assert_eq!(decode(&encode(std::slice::from_ref(&precise)).unwrap()).unwrap(), [event.clone()]);
            truncate_times(&mut precise);
            prop_assert_eq!(precise, event);
        }
    }
}
