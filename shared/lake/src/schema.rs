//! The Arrow schema of the Parquet table `events`, and its rows as [`Event`]s.
//!
//! Columns are found by name. A file may lack later nullable columns (they read as null) and may hold
//! further ones (they are ignored); one that lacks a required column, or holds one of another type,
//! is damaged. Times are UTC milliseconds: what is finer is cut off on writing.

mod decode;
mod encode;

use std::sync::{Arc, LazyLock};

use arrow_array::{Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use gam_model::Event;

pub(crate) use decode::{Rows, Strings};
pub use decode::{decode, decode_row};
pub use encode::encode;

use crate::error::{Error, Result};

/// The names of the columns, in the order in which they are written.
pub mod column {
    /// The event's deterministic id; one row an id.
    pub const EVENT_ID: &str = "event_id";
    /// Which telling of the fact is newer.
    pub const VERSION: &str = "version";
    /// What sort of fact it is.
    pub const KIND: &str = "kind";
    /// The organization's login.
    pub const ORG: &str = "org";
    /// The repository's name when the event was collected.
    pub const REPO: &str = "repo";
    /// GitHub's numeric repository id.
    pub const REPO_ID: &str = "repo_id";
    /// Who is credited.
    pub const MEMBER: &str = "member";
    /// GitHub's numeric account id, where there is an account.
    pub const MEMBER_ID: &str = "member_id";
    /// What sort of actor the member is.
    pub const MEMBER_KIND: &str = "member_kind";
    /// When it happened, UTC.
    pub const OCCURRED_AT: &str = "occurred_at";
    /// When it was read from GitHub, UTC.
    pub const COLLECTED_AT: &str = "collected_at";
    /// The fact stopped being true.
    pub const RETRACTED: &str = "retracted";
    /// Commits and deployments: the object id.
    pub const SHA: &str = "sha";
    /// Commits: how many parents.
    pub const PARENTS: &str = "parents";
    /// Commits: lines added.
    pub const ADDITIONS: &str = "additions";
    /// Commits: lines deleted.
    pub const DELETIONS: &str = "deletions";
    /// Commits: files changed.
    pub const FILES_CHANGED: &str = "files_changed";
    /// Commits: members named by trailers.
    pub const CO_AUTHORS: &str = "co_authors";
    /// Pull requests, reviews, issues: the number.
    pub const NUMBER: &str = "number";
    /// Reviews: the author of the pull request.
    pub const PR_MEMBER: &str = "pr_member";
    /// Pull requests and issues: the state.
    pub const STATE: &str = "state";
    /// Pull requests: whether it is a draft.
    pub const DRAFT: &str = "draft";
    /// When it was created, UTC.
    pub const CREATED_AT: &str = "created_at";
    /// Pull requests: when it was merged, UTC.
    pub const MERGED_AT: &str = "merged_at";
    /// Merged pull requests: each reviewer's first review, as `member`, `member_kind`, `at`.
    pub const FIRST_REVIEWS: &str = "first_reviews";
    /// Pull requests and issues: label names.
    pub const LABELS: &str = "labels";
    /// Reviews: what the review said.
    pub const REVIEW_STATE: &str = "review_state";
    /// Deployments: the environment.
    pub const ENVIRONMENT: &str = "environment";
    /// Releases: the tag.
    pub const TAG: &str = "tag";
    /// Within [`FIRST_REVIEWS`]: when the review was submitted, UTC.
    pub const AT: &str = "at";
}

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(build()));

/// The schema of the table `events`.
pub fn events() -> SchemaRef {
    Arc::clone(&EVENTS)
}

fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

// The element is named as the Parquet specification names it, so that strict readers find it.
fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, false)))
}

fn first_review_fields() -> Fields {
    Fields::from(vec![
        Field::new(column::MEMBER, DataType::Utf8, false),
        Field::new(column::MEMBER_KIND, DataType::Utf8, false),
        Field::new(column::AT, timestamp(), false),
    ])
}

fn build() -> Schema {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Schema::new(vec![
        required(column::EVENT_ID, Utf8),
        required(column::VERSION, Int64),
        required(column::KIND, dictionary()),
        required(column::ORG, dictionary()),
        required(column::REPO, dictionary()),
        required(column::REPO_ID, Int64),
        required(column::MEMBER, dictionary()),
        optional(column::MEMBER_ID, Int64),
        required(column::MEMBER_KIND, dictionary()),
        required(column::OCCURRED_AT, timestamp()),
        required(column::COLLECTED_AT, timestamp()),
        required(column::RETRACTED, Boolean),
        optional(column::SHA, Utf8),
        optional(column::PARENTS, Int32),
        optional(column::ADDITIONS, Int64),
        optional(column::DELETIONS, Int64),
        optional(column::FILES_CHANGED, Int64),
        optional(column::CO_AUTHORS, list_of(Utf8)),
        optional(column::NUMBER, Int64),
        optional(column::PR_MEMBER, dictionary()),
        optional(column::STATE, dictionary()),
        optional(column::DRAFT, Boolean),
        optional(column::CREATED_AT, timestamp()),
        optional(column::MERGED_AT, timestamp()),
        optional(column::FIRST_REVIEWS, list_of(DataType::Struct(first_review_fields()))),
        optional(column::LABELS, list_of(Utf8)),
        optional(column::REVIEW_STATE, dictionary()),
        optional(column::ENVIRONMENT, dictionary()),
        optional(column::TAG, Utf8),
    ])
}

/// What errors call rows that come from no object.
const ROWS: &str = "the rows";

/// The batch with just the columns of [`events`], in their order.
///
/// # Errors
/// [`Error::Damaged`] where a required column is missing or a column is of another type.
pub(crate) fn conform(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = events();
    if Arc::ptr_eq(&batch.schema(), &schema) {
        return Ok(batch.clone());
    }
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(found) if found.data_type() != field.data_type() => Err(Error::damaged(
                ROWS,
                format!("column {} is {}, not {}", field.name(), found.data_type(), field.data_type()),
            )),
            Some(found) if !field.is_nullable() && found.is_nullable() => {
                Err(Error::damaged(ROWS, format!("column {} has rows without a value", field.name())))
            }
            Some(found) => Ok(Arc::clone(found)),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows)),
            None => Err(Error::damaged(ROWS, format!("column {} is missing", field.name()))),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|error| Error::damaged_by(ROWS, "its columns do not fit together", error))
}

/// Cuts the event's times to what the lake keeps, so that an event in memory and the same one read
/// back are equal.
pub(crate) fn cut_times(event: &mut Event) {
    let cut = |at: &mut DateTime<Utc>| {
        if let Some(kept) = DateTime::from_timestamp_millis(at.timestamp_millis()) {
            *at = kept;
        }
    };
    cut(&mut event.occurred_at);
    cut(&mut event.collected_at);
    event.facts.created_at.iter_mut().for_each(cut);
    event.facts.merged_at.iter_mut().for_each(cut);
    event.facts.first_reviews.iter_mut().flatten().for_each(|review| cut(&mut review.at));
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int32Array, Int64Array};
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{any_event, sample};

    #[test]
    fn the_columns_are_those_of_the_contract() {
        let names: Vec<_> = events().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(
            names.join(", "),
            "event_id, version, kind, org, repo, repo_id, member, member_id, member_kind, occurred_at, \
             collected_at, retracted, sha, parents, additions, deletions, files_changed, co_authors, \
             number, pr_member, state, draft, created_at, merged_at, first_reviews, labels, \
             review_state, environment, tag"
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

    fn with(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
        let mut fields: Vec<_> = batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
        let mut columns = batch.columns().to_vec();
        let field = Field::new(name, column.data_type().clone(), true);
        match fields.iter().position(|f| f.name() == name) {
            Some(at) => (fields[at], columns[at]) = (field, column),
            None => {
                fields.push(field);
                columns.push(column);
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn without(batch: &RecordBatch, name: &str) -> RecordBatch {
        let keep: Vec<_> =
            (0..batch.num_columns()).filter(|&i| batch.schema().field(i).name() != name).collect();
        batch.project(&keep).unwrap()
    }

    #[test]
    fn unknown_columns_are_ignored_and_later_ones_may_be_missing() {
        let mut expected = sample(3);
        let batch = encode(&expected).unwrap();
        let wider = with(&batch, "of_tomorrow", Arc::new(Int64Array::from(vec![1, 2, 3])));
        assert_eq!(decode(&wider).unwrap(), expected);
        expected.iter_mut().for_each(|event| event.facts.labels = None);
        assert_eq!(decode(&without(&batch, column::LABELS)).unwrap(), expected);
    }

    #[test]
    fn missing_mistyped_or_empty_required_columns_are_damage() {
        let batch = encode(&sample(2)).unwrap();
        let broken = [
            without(&batch, column::REPO_ID),
            with(&batch, column::VERSION, Arc::new(Int32Array::from(vec![1, 2]))),
            with(&batch, column::VERSION, Arc::new(Int64Array::from(vec![Some(1), None]))),
            with(&batch, column::TAG, Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        for batch in broken {
            assert!(matches!(decode(&batch), Err(Error::Damaged { .. })));
            assert!(matches!(decode_row(&batch, 0), Err(Error::Damaged { .. })));
        }
        assert!(matches!(decode_row(&batch, 2), Err(Error::Damaged { .. })));
    }

    #[test]
    fn an_unknown_kind_is_left_to_a_newer_program() {
        let batch = encode(&sample(1)).unwrap();
        let kinds: arrow_array::DictionaryArray<arrow_array::types::Int32Type> =
            ["wiki_edited"].into_iter().collect();
        let newer = with(&batch, column::KIND, Arc::new(kinds));
        assert!(matches!(decode(&newer), Err(Error::NewerFormat { .. })));
    }

    #[test]
    fn no_events_make_an_empty_batch() {
        let batch = encode(&[]).unwrap();
        assert_eq!(batch.num_rows(), 0);
        assert!(decode(&batch).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn events_come_back_as_they_were(events in prop::collection::vec(any_event(), 0..20)) {
            let batch = encode(&events).unwrap();
            prop_assert_eq!(decode(&batch).unwrap(), events.clone());
            for (row, event) in events.iter().enumerate() {
                prop_assert_eq!(&decode_row(&batch, row).unwrap(), event);
            }
        }

        #[test]
        fn times_are_cut_to_milliseconds(event in any_event(), nanos in 0i64..1_000_000) {
            let mut finer = event.clone();
            finer.occurred_at += chrono::TimeDelta::nanoseconds(nanos);
            finer.collected_at += chrono::TimeDelta::nanoseconds(nanos);
            prop_assert_eq!(decode_row(&encode(std::slice::from_ref(&finer)).unwrap(), 0).unwrap(), event.clone());
            cut_times(&mut finer);
            prop_assert_eq!(finer, event);
        }
    }
}
