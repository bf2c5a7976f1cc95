//! Decodes rows to events.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrowPrimitiveType, BooleanArray, Int32Array, Int64Array, ListArray, PrimitiveArray, RecordBatch,
    StringArray, TimestampMillisecondArray,
};
use chrono::{DateTime, Utc};
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Member, MemberKind};

use super::{UNKNOWN_PATH, column, conform};
use crate::error::{Error, Result};

/// Returns the rows as events, in the same order.
///
/// # Errors
/// [`Error::Damaged`] if the rows are not valid events; [`Error::NewerFormat`] if a row has a kind of event
/// or member that only a newer version of the program knows.
pub fn decode(batch: &RecordBatch) -> Result<Vec<Event>> {
    let rows = EventRows::from_batch(batch)?;
    (0..batch.num_rows()).map(|row| rows.event(row)).collect()
}

/// Returns the rows of some repositories as events, in the same order. The rows of other repositories are not
/// decoded.
///
/// # Errors
/// As [`decode`].
pub fn decode_repos(batch: &RecordBatch, repo_ids: &BTreeSet<i64>) -> Result<Vec<Event>> {
    let rows = EventRows::from_batch(batch)?;
    let wanted = (0..batch.num_rows()).filter(|row| repo_ids.contains(&rows.repo_id.value(*row)));
    wanted.map(|row| rows.event(row)).collect()
}

/// Returns whether a batch with the column `repo_id` has a row of one of the repositories.
pub fn has_repo(batch: &RecordBatch, repo_ids: &BTreeSet<i64>) -> bool {
    let ids = batch.column_by_name(column::REPO_ID).and_then(|ids| ids.as_primitive_opt::<Int64Type>());
    ids.is_some_and(|ids| {
        // The rows of a repository are neighbours.
        ids.values().chunk_by(|a, b| a == b).any(|same| repo_ids.contains(&same[0]))
    })
}

/// A column of dictionary-encoded strings.
#[derive(Debug, Clone)]
pub(crate) struct DictionaryStrings {
    keys: Int32Array,
    values: StringArray,
}

impl DictionaryStrings {
    /// Panics if the array has another type.
    pub(crate) fn from_array(array: &dyn Array) -> Self {
        let dictionary = array.as_dictionary::<Int32Type>();
        DictionaryStrings {
            keys: dictionary.keys().clone(),
            values: dictionary.values().as_string::<i32>().clone(),
        }
    }

    /// Returns the number of strings in the dictionary.
    pub(crate) fn dictionary_len(&self) -> usize {
        self.values.len()
    }

    /// Returns the index of the row's string in the dictionary; `None` if the row has no value.
    pub(crate) fn key(&self, row: usize) -> Option<usize> {
        let key = self.keys.is_valid(row).then(|| usize::try_from(self.keys.value(row)).ok())??;
        self.values.is_valid(key).then_some(key)
    }

    /// Returns a string of the dictionary. Panics if there is no such key.
    pub(crate) fn value(&self, key: usize) -> &str {
        self.values.value(key)
    }

    /// Returns the row's string; `None` if the row has no value.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        self.key(row).map(|key| self.value(key))
    }
}

/// The rows of a batch, as typed columns.
struct EventRows {
    event_id: StringArray,
    version: Int64Array,
    kind: DictionaryStrings,
    org: DictionaryStrings,
    repo: DictionaryStrings,
    repo_id: Int64Array,
    member: DictionaryStrings,
    member_id: Int64Array,
    member_kind: DictionaryStrings,
    occurred_at: TimestampMillisecondArray,
    collected_at: TimestampMillisecondArray,
    retracted: BooleanArray,
    sha: StringArray,
    parents: Int32Array,
    additions: Int64Array,
    deletions: Int64Array,
    files_changed: Int64Array,
    co_authors: ListArray,
    number: Int64Array,
    pr_member: DictionaryStrings,
    state: DictionaryStrings,
    draft: BooleanArray,
    created_at: TimestampMillisecondArray,
    merged_at: TimestampMillisecondArray,
    first_reviews: ListArray,
    labels: ListArray,
    review_state: DictionaryStrings,
    environment: DictionaryStrings,
    tag: StringArray,
    reading: Int64Array,
    head_ref: StringArray,
    head_repo_id: Int64Array,
    merge_sha: StringArray,
    workflow: DictionaryStrings,
    author_name_hash: DictionaryStrings,
}

impl EventRows {
    /// # Errors
    /// [`Error::Damaged`] if the columns are not those of the table.
    fn from_batch(batch: &RecordBatch) -> Result<Self> {
        let batch = conform(batch)?;
        // `conform` has checked that every column exists and has its type.
        let get = |name: &str| batch.column_by_name(name).expect("a conforming batch has every column");
        let text = |name: &str| get(name).as_string::<i32>().clone();
        let integer = |name: &str| get(name).as_primitive::<Int64Type>().clone();
        let time = |name: &str| get(name).as_primitive::<TimestampMillisecondType>().clone();
        let list = |name: &str| get(name).as_list::<i32>().clone();
        let dictionary = |name: &str| DictionaryStrings::from_array(get(name));
        Ok(EventRows {
            event_id: text(column::EVENT_ID),
            version: integer(column::VERSION),
            kind: dictionary(column::KIND),
            org: dictionary(column::ORG),
            repo: dictionary(column::REPO),
            repo_id: integer(column::REPO_ID),
            member: dictionary(column::MEMBER),
            member_id: integer(column::MEMBER_ID),
            member_kind: dictionary(column::MEMBER_KIND),
            occurred_at: time(column::OCCURRED_AT),
            collected_at: time(column::COLLECTED_AT),
            retracted: get(column::RETRACTED).as_boolean().clone(),
            sha: text(column::SHA),
            parents: get(column::PARENTS).as_primitive::<Int32Type>().clone(),
            additions: integer(column::ADDITIONS),
            deletions: integer(column::DELETIONS),
            files_changed: integer(column::FILES_CHANGED),
            co_authors: list(column::CO_AUTHORS),
            number: integer(column::NUMBER),
            pr_member: dictionary(column::PR_MEMBER),
            state: dictionary(column::STATE),
            draft: get(column::DRAFT).as_boolean().clone(),
            created_at: time(column::CREATED_AT),
            merged_at: time(column::MERGED_AT),
            first_reviews: list(column::FIRST_REVIEWS),
            labels: list(column::LABELS),
            review_state: dictionary(column::REVIEW_STATE),
            environment: dictionary(column::ENVIRONMENT),
            tag: text(column::TAG),
            reading: integer(column::READING),
            head_ref: text(column::HEAD_REF),
            head_repo_id: integer(column::HEAD_REPO_ID),
            merge_sha: text(column::MERGE_SHA),
            workflow: dictionary(column::WORKFLOW),
            author_name_hash: dictionary(column::AUTHOR_NAME_HASH),
        })
    }

    /// Decodes the row. Panics if there is no such row.
    ///
    /// # Errors
    /// The same as of [`decode`].
    fn event(&self, row: usize) -> Result<Event> {
        let kind = required(self.kind.get(row), column::KIND)?;
        let kind =
            EventKind::parse(kind).ok_or_else(|| unknown_kind("an event", kind, EventKind::ALL.len()))?;
        Ok(Event {
            id: EventId::from_stored(self.event_id.value(row)),
            version: self.version.value(row),
            kind,
            org: required(self.org.get(row), column::ORG)?.to_owned(),
            repo: required(self.repo.get(row), column::REPO)?.to_owned(),
            repo_id: self.repo_id.value(row),
            member: Member {
                name: required(self.member.get(row), column::MEMBER)?.to_owned(),
                id: number(&self.member_id, row),
                kind: member_kind(required(self.member_kind.get(row), column::MEMBER_KIND)?)?,
            },
            occurred_at: time(self.occurred_at.value(row), column::OCCURRED_AT)?,
            collected_at: time(self.collected_at.value(row), column::COLLECTED_AT)?,
            retracted: self.retracted.value(row),
            reading: number(&self.reading, row).unwrap_or_default(),
            facts: self.facts(row)?,
        })
    }

    fn facts(&self, row: usize) -> Result<Facts> {
        let optional_time = |array: &TimestampMillisecondArray, name| {
            number(array, row).map(|millis| time(millis, name)).transpose()
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Facts {
            sha: owned(text(&self.sha, row)),
            parents: number(&self.parents, row),
            additions: number(&self.additions, row),
            deletions: number(&self.deletions, row),
            files_changed: number(&self.files_changed, row),
            co_authors: texts(&self.co_authors, row, column::CO_AUTHORS)?,
            number: number(&self.number, row),
            pr_member: owned(self.pr_member.get(row)),
            state: owned(self.state.get(row)),
            draft: self.draft.is_valid(row).then(|| self.draft.value(row)),
            created_at: optional_time(&self.created_at, column::CREATED_AT)?,
            merged_at: optional_time(&self.merged_at, column::MERGED_AT)?,
            first_reviews: first_reviews(&self.first_reviews, row)?,
            labels: texts(&self.labels, row, column::LABELS)?,
            review_state: owned(self.review_state.get(row)),
            environment: owned(self.environment.get(row)),
            tag: owned(text(&self.tag, row)),
            head_ref: owned(text(&self.head_ref, row)),
            head_repo_id: number(&self.head_repo_id, row),
            merge_sha: owned(text(&self.merge_sha, row)),
            workflow: owned(self.workflow.get(row)),
            author_name_hash: owned(self.author_name_hash.get(row)),
        })
    }
}

/// Returns the error about a kind that only a newer version of the program knows.
pub(crate) fn unknown_kind(what: &str, kind: &str, known_kinds: usize) -> Error {
    Error::NewerFormat {
        path: UNKNOWN_PATH.to_owned(),
        actual: format!("{what} of kind {kind:?}"),
        supported: format!("{known_kinds} other kinds"),
    }
}

/// Returns the value of a required column.
///
/// # Errors
/// [`Error::Damaged`] if there is none.
pub(crate) fn required<T>(value: Option<T>, column: &str) -> Result<T> {
    value.ok_or_else(|| Error::damaged(UNKNOWN_PATH, format!("column {column} has a row without a value")))
}

/// Returns the row's number; `None` if the row has no value.
pub(crate) fn number<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// Returns the row's text; `None` if the row has no value.
pub(crate) fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

/// Returns the time.
///
/// # Errors
/// [`Error::Damaged`] if it is outside the calendar.
pub(crate) fn time(millis: i64, name: &str) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| {
        Error::damaged(UNKNOWN_PATH, format!("column {name} has an invalid time: {millis} ms"))
    })
}

/// Returns the kind of a member with this stored name.
///
/// # Errors
/// [`Error::NewerFormat`] if it is unknown.
pub(crate) fn member_kind(name: &str) -> Result<MemberKind> {
    MemberKind::parse(name).ok_or_else(|| unknown_kind("a member", name, MemberKind::ALL.len()))
}

fn texts(lists: &ListArray, row: usize, name: &str) -> Result<Option<Vec<String>>> {
    if lists.is_null(row) {
        return Ok(None);
    }
    let list = lists.value(row);
    let values = list.as_string::<i32>().iter().map(|value| required(value, name).map(str::to_owned));
    values.collect::<Result<_>>().map(Some)
}

fn first_reviews(lists: &ListArray, row: usize) -> Result<Option<Vec<FirstReview>>> {
    if lists.is_null(row) {
        return Ok(None);
    }
    let list = lists.value(row);
    let reviews = list.as_struct();
    let field = |name| required(reviews.column_by_name(name), column::FIRST_REVIEWS);
    let members = field(column::MEMBER)?.as_string::<i32>();
    let kinds = field(column::MEMBER_KIND)?.as_string::<i32>();
    let times = field(column::AT)?.as_primitive::<TimestampMillisecondType>();
    (0..reviews.len())
        .map(|index| {
            Ok(FirstReview {
                member: required(text(members, index), column::FIRST_REVIEWS)?.to_owned(),
                member_kind: member_kind(required(text(kinds, index), column::FIRST_REVIEWS)?)?,
                at: time(required(number(times, index), column::FIRST_REVIEWS)?, column::FIRST_REVIEWS)?,
            })
        })
        .collect::<Result<_>>()
        .map(Some)
}
