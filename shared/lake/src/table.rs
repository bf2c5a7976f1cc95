//! What differs between the tables of the lake. Their inboxes, snapshots and merges are the same code.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use gam_model::{Event, EventBatch};
use parquet::basic::Encoding;

use crate::error::Result;
use crate::schema::{self, column};

/// A table of the lake: its place, its schema and the order of its rows.
pub trait Table: Debug + Send + Sync + 'static {
    /// A row.
    type Row: Clone + Debug + PartialEq + Send + Sync + 'static;

    /// The folder of the snapshots. In the store, it names the table.
    const SNAPSHOTS: &'static str;
    /// The folder of the batches.
    const INBOX: &'static str;
    /// The folder of the rejected batches.
    const REJECTED: &'static str;
    /// The version of the schema, for the footers of files. A greater one has more columns.
    const SCHEMA_VERSION: u32;
    /// The columns that identify and sort the rows.
    const KEY: KeyColumns;
    /// How columns are stored, by their paths in Parquet. All others have a dictionary.
    const STORAGE: &'static [(&'static str, ColumnStorage)];

    /// Returns the columns of the table. New columns are added at the end, nullable.
    fn schema() -> SchemaRef;

    /// Returns the rows as columns, in the same order.
    ///
    /// # Errors
    /// If the columns do not fit together.
    fn encode(rows: &[Self::Row]) -> Result<RecordBatch>;

    /// Returns the rows, in the same order.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if they are invalid.
    fn decode(batch: &RecordBatch) -> Result<Vec<Self::Row>>;

    /// Returns the organization's storage key in the row, in any case.
    fn org(row: &Self::Row) -> &str;

    /// Returns the winner of each id, sorted by id, as the lake stores it.
    fn winners(rows: Vec<Self::Row>) -> Vec<Self::Row>;

    /// Returns whether a row replaces a stored one with the same id.
    fn supersedes(row: &Self::Row, stored: &Self::Row) -> bool;

    /// Returns the row that takes the place of a stored one with the same id; `None` if the stored one stays. By
    /// default it is the new row, if that supersedes the stored one.
    ///
    /// A table whose rows are made of several sources can return a row of both. The result must not depend on the
    /// order in which rows arrive.
    fn combine(row: &Self::Row, stored: &Self::Row) -> Option<Self::Row> {
        Self::supersedes(row, stored).then(|| row.clone())
    }

    /// Returns about how many bytes of memory a row takes.
    fn memory_bytes(row: &Self::Row) -> usize;
}

/// The names of the columns that identify and sort the rows of a table. They are required. Rows are sorted by group,
/// time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyColumns {
    /// The text that identifies a row.
    pub id: &'static str,
    /// The text that rows are grouped by, with a dictionary.
    pub group: &'static str,
    /// The time in UTC milliseconds.
    pub time: &'static str,
}

/// How a column without a dictionary is stored. All programs that read Parquet know these encodings, Athena's too.
/// They are the smallest ones on generated months; `BYTE_STREAM_SPLIT` is left out because older readers lack it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnStorage {
    /// Numbers that grow row by row.
    Ascending,
    /// Texts of random digits. Only the frequencies of digits can be compressed.
    RandomText,
    /// Texts that start alike and contain random digits.
    DistinctText,
    /// Values that rarely repeat.
    Plain,
}

impl ColumnStorage {
    /// Returns the encoding, and the level of zstd. A greater level looks for matches in random digits, and the ones
    /// that it finds take more space than the digits.
    pub(crate) fn encoding(self) -> (Encoding, i32) {
        match self {
            ColumnStorage::Ascending => (Encoding::DELTA_BINARY_PACKED, 1),
            ColumnStorage::RandomText => (Encoding::DELTA_LENGTH_BYTE_ARRAY, 1),
            ColumnStorage::DistinctText => (Encoding::PLAIN, 1),
            ColumnStorage::Plain => (Encoding::PLAIN, 3),
        }
    }
}

/// Returns the schema of those columns that have one of these names.
pub(crate) fn projected(schema: &SchemaRef, columns: &[&str]) -> SchemaRef {
    let fields = schema.fields().iter().filter(|field| columns.contains(&field.name().as_str()));
    Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
}

/// The table `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {}

impl Table for Events {
    type Row = Event;

    const SNAPSHOTS: &'static str = "events";
    const INBOX: &'static str = "inbox";
    const REJECTED: &'static str = "rejected";
    const SCHEMA_VERSION: u32 = schema::SCHEMA_VERSION;
    const KEY: KeyColumns =
        KeyColumns { id: column::EVENT_ID, group: column::REPO, time: column::OCCURRED_AT };
    const STORAGE: &'static [(&'static str, ColumnStorage)] = &[
        (column::EVENT_ID, ColumnStorage::DistinctText),
        (column::SHA, ColumnStorage::RandomText),
        (column::MERGE_SHA, ColumnStorage::RandomText),
        (column::OCCURRED_AT, ColumnStorage::Ascending),
        (column::VERSION, ColumnStorage::Plain),
        (column::NUMBER, ColumnStorage::Plain),
        (column::CREATED_AT, ColumnStorage::Plain),
        (column::MERGED_AT, ColumnStorage::Plain),
        (column::HEAD_REF, ColumnStorage::Plain),
        ("first_reviews.list.element.at", ColumnStorage::Plain),
    ];

    fn schema() -> SchemaRef {
        schema::events()
    }

    fn encode(rows: &[Event]) -> Result<RecordBatch> {
        schema::encode(rows)
    }

    fn decode(batch: &RecordBatch) -> Result<Vec<Event>> {
        schema::decode(batch)
    }

    fn org(row: &Event) -> &str {
        &row.org
    }

    fn winners(mut rows: Vec<Event>) -> Vec<Event> {
        // Otherwise a more precise time would differ from the same time as the lake stores it.
        rows.iter_mut().for_each(schema::truncate_times);
        EventBatch::new(String::new(), rows).into_events()
    }

    fn supersedes(row: &Event, stored: &Event) -> bool {
        row.supersedes(stored)
    }

    fn memory_bytes(row: &Event) -> usize {
        let facts = &row.facts;
        let lists = [&facts.co_authors, &facts.labels].into_iter().flatten().flatten();
        let reviewers = facts.first_reviews.iter().flatten().map(|review| &review.member);
        let optional = [
            &facts.sha,
            &facts.pr_member,
            &facts.state,
            &facts.review_state,
            &facts.environment,
            &facts.tag,
            &facts.head_ref,
            &facts.merge_sha,
            &facts.workflow,
            &facts.author_name_hash,
        ];
        let texts = [&row.org, &row.repo, &row.member.name].into_iter().chain(optional.into_iter().flatten());
        let in_lists: usize = lists.map(|text| size_of::<String>() + text.len()).sum();
        let reviews: usize = reviewers.map(|name| size_of::<gam_model::FirstReview>() + name.len()).sum();
        size_of::<Event>()
            + row.id.as_str().len()
            + texts.map(String::len).sum::<usize>()
            + in_lists
            + reviews
    }
}
