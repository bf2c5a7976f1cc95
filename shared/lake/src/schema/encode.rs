//! Encodes events to rows.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMillisecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use chrono::{DateTime, Utc};
use gam_model::{Event, FirstReview};

use super::{events as schema, first_review_fields};
use crate::error::{Error, Result};

/// Returns the events as rows, in the same order. Truncates times to milliseconds.
///
/// # Errors
/// [`Error::Unusable`] if the columns do not fit together. No event can cause this.
pub fn encode(events: &[Event]) -> Result<RecordBatch> {
    let facts = || events.iter().map(|event| &event.facts);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(events.iter().map(|e| e.id.as_str()))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.version))),
        dictionary_array(events.iter().map(|e| Some(e.kind.as_str()))),
        dictionary_array(events.iter().map(|e| Some(e.org.as_str()))),
        dictionary_array(events.iter().map(|e| Some(e.repo.as_str()))),
        Arc::new(Int64Array::from_iter_values(events.iter().map(|e| e.repo_id))),
        dictionary_array(events.iter().map(|e| Some(e.member.name.as_str()))),
        Arc::new(Int64Array::from_iter(events.iter().map(|e| e.member.id))),
        dictionary_array(events.iter().map(|e| Some(e.member.kind.as_str()))),
        times_array(events.iter().map(|e| Some(e.occurred_at))),
        times_array(events.iter().map(|e| Some(e.collected_at))),
        Arc::new(BooleanArray::from_iter(events.iter().map(|e| Some(e.retracted)))),
        Arc::new(StringArray::from_iter(facts().map(|f| f.sha.as_deref()))),
        Arc::new(Int32Array::from_iter(facts().map(|f| f.parents))),
        Arc::new(Int64Array::from_iter(facts().map(|f| f.additions))),
        Arc::new(Int64Array::from_iter(facts().map(|f| f.deletions))),
        Arc::new(Int64Array::from_iter(facts().map(|f| f.files_changed))),
        strings(facts().map(|f| f.co_authors.as_deref())),
        Arc::new(Int64Array::from_iter(facts().map(|f| f.number))),
        dictionary_array(facts().map(|f| f.pr_member.as_deref())),
        dictionary_array(facts().map(|f| f.state.as_deref())),
        Arc::new(BooleanArray::from_iter(facts().map(|f| f.draft))),
        times_array(facts().map(|f| f.created_at)),
        times_array(facts().map(|f| f.merged_at)),
        first_reviews(facts().map(|f| f.first_reviews.as_deref())),
        strings(facts().map(|f| f.labels.as_deref())),
        dictionary_array(facts().map(|f| f.review_state.as_deref())),
        dictionary_array(facts().map(|f| f.environment.as_deref())),
        Arc::new(StringArray::from_iter(facts().map(|f| f.tag.as_deref()))),
        Arc::new(Int64Array::from_iter(events.iter().map(|e| (e.reading != 0).then_some(e.reading)))),
        Arc::new(StringArray::from_iter(facts().map(|f| f.head_ref.as_deref()))),
        Arc::new(Int64Array::from_iter(facts().map(|f| f.head_repo_id))),
        Arc::new(StringArray::from_iter(facts().map(|f| f.merge_sha.as_deref()))),
        dictionary_array(facts().map(|f| f.workflow.as_deref())),
        dictionary_array(facts().map(|f| f.author_name_hash.as_deref())),
    ];
    RecordBatch::try_new(schema(), columns)
        .map_err(|error| Error::unusable("cannot encode events as rows", error))
}

/// Returns a column of names, which repeat.
pub(crate) fn dictionary_array<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<DictionaryArray<Int32Type>>())
}

fn time_array(values: impl Iterator<Item = Option<DateTime<Utc>>>) -> TimestampMillisecondArray {
    TimestampMillisecondArray::from_iter(values.map(|at| at.map(|at| at.timestamp_millis())))
        .with_timezone("UTC")
}

/// Returns a column of times, truncated to milliseconds.
pub(crate) fn times_array(values: impl Iterator<Item = Option<DateTime<Utc>>>) -> ArrayRef {
    Arc::new(time_array(values))
}

/// Returns a column of lists; `values` are the elements of all lists, in order.
pub(crate) fn list_array<T>(lists: &[Option<&[T]>], element: DataType, values: ArrayRef) -> ArrayRef {
    let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.map_or(0, <[T]>::len)));
    let nulls = NullBuffer::from_iter(lists.iter().map(Option::is_some));
    Arc::new(ListArray::new(Arc::new(Field::new("element", element, false)), offsets, values, Some(nulls)))
}

fn strings<'a>(lists: impl Iterator<Item = Option<&'a [String]>>) -> ArrayRef {
    let lists: Vec<_> = lists.collect();
    let values = StringArray::from_iter_values(lists.iter().flatten().copied().flatten());
    list_array(&lists, DataType::Utf8, Arc::new(values))
}

fn first_reviews<'a>(lists: impl Iterator<Item = Option<&'a [FirstReview]>>) -> ArrayRef {
    let lists: Vec<_> = lists.collect();
    let reviews = || lists.iter().flatten().copied().flatten();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(reviews().map(|r| r.member.as_str()))),
        Arc::new(StringArray::from_iter_values(reviews().map(|r| r.member_kind.as_str()))),
        times_array(reviews().map(|r| Some(r.at))),
    ];
    let fields = first_review_fields();
    let values = StructArray::new(fields.clone(), columns, None);
    list_array(&lists, DataType::Struct(fields), Arc::new(values))
}
