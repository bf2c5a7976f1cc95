//! Builds the columns of snapshot rows, value by value, without an `Event` for each row.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Int32Builder, Int64Builder, ListBuilder, StringBuilder, StringDictionaryBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, ListArray, RecordBatch, StructArray, new_null_array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use gam_lake::schema::{column, events as events_schema};
use gam_model::EventKind;

use crate::facts::GeneratedReview;
use crate::population::{MemberProfile, Population};

/// The version of reading that the rows carry. Any version from 1 on says that releases without an author are
/// `unknown`.
const READING: i64 = 1;

/// The values of a row. Times are epoch seconds, UTC. Members and repositories are indexes.
pub(crate) struct RowValues<'a> {
    pub(crate) event_id: &'a str,
    pub(crate) version: i64,
    pub(crate) kind: EventKind,
    pub(crate) repo: u32,
    pub(crate) member: u32,
    pub(crate) occurred_at: i64,
    pub(crate) collected_at: i64,
    pub(crate) retracted: bool,
    pub(crate) facts: FactValues<'a>,
}

/// The values of a row that depend on its kind.
#[derive(Default)]
pub(crate) struct FactValues<'a> {
    pub(crate) sha: Option<&'a str>,
    pub(crate) parents: Option<i32>,
    /// Lines added, lines deleted and files changed.
    pub(crate) lines: Option<[i64; 3]>,
    pub(crate) co_authors: Option<&'a [u32]>,
    pub(crate) number: Option<i64>,
    pub(crate) pr_member: Option<u32>,
    pub(crate) state: Option<&'a str>,
    pub(crate) draft: Option<bool>,
    pub(crate) created_at: Option<i64>,
    pub(crate) merged_at: Option<i64>,
    pub(crate) first_reviews: Option<&'a [GeneratedReview]>,
    /// `Some(None)` for an empty list.
    pub(crate) label: Option<Option<&'a str>>,
    pub(crate) review_state: Option<&'a str>,
    pub(crate) environment: Option<&'a str>,
    pub(crate) tag: Option<&'a str>,
    pub(crate) head_ref: Option<&'a str>,
    pub(crate) head_repo_id: Option<i64>,
    pub(crate) merge_sha: Option<&'a str>,
    pub(crate) workflow: Option<&'a str>,
}

type Dictionary = StringDictionaryBuilder<Int32Type>;

/// The columns of up to a batch of rows.
pub(crate) struct Columns<'a> {
    population: &'a Population,
    org: &'a str,
    event_id: StringBuilder,
    version: Int64Builder,
    kind: Dictionary,
    org_column: Dictionary,
    repo: Dictionary,
    repo_id: Int64Builder,
    member: Dictionary,
    member_id: Int64Builder,
    member_kind: Dictionary,
    occurred_at: TimestampMillisecondBuilder,
    collected_at: TimestampMillisecondBuilder,
    retracted: BooleanBuilder,
    sha: StringBuilder,
    parents: Int32Builder,
    additions: Int64Builder,
    deletions: Int64Builder,
    files_changed: Int64Builder,
    co_authors: ListBuilder<StringBuilder>,
    number: Int64Builder,
    pr_member: Dictionary,
    state: Dictionary,
    draft: BooleanBuilder,
    created_at: TimestampMillisecondBuilder,
    merged_at: TimestampMillisecondBuilder,
    first_reviews: FirstReviewsBuilder,
    labels: ListBuilder<StringBuilder>,
    review_state: Dictionary,
    environment: Dictionary,
    tag: StringBuilder,
    reading: Int64Builder,
    head_ref: StringBuilder,
    head_repo_id: Int64Builder,
    merge_sha: StringBuilder,
    workflow: Dictionary,
    author_name_hash: Dictionary,
    rows: usize,
}

fn times() -> TimestampMillisecondBuilder {
    TimestampMillisecondBuilder::new().with_timezone("UTC")
}

fn strings() -> ListBuilder<StringBuilder> {
    ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, false))
}

fn milliseconds(seconds: i64) -> i64 {
    seconds * 1000
}

impl<'a> Columns<'a> {
    /// Creates empty columns for rows of the organization.
    pub(crate) fn new(population: &'a Population, org: &'a str) -> Self {
        Columns {
            population,
            org,
            event_id: StringBuilder::new(),
            version: Int64Builder::new(),
            kind: Dictionary::new(),
            org_column: Dictionary::new(),
            repo: Dictionary::new(),
            repo_id: Int64Builder::new(),
            member: Dictionary::new(),
            member_id: Int64Builder::new(),
            member_kind: Dictionary::new(),
            occurred_at: times(),
            collected_at: times(),
            retracted: BooleanBuilder::new(),
            sha: StringBuilder::new(),
            parents: Int32Builder::new(),
            additions: Int64Builder::new(),
            deletions: Int64Builder::new(),
            files_changed: Int64Builder::new(),
            co_authors: strings(),
            number: Int64Builder::new(),
            pr_member: Dictionary::new(),
            state: Dictionary::new(),
            draft: BooleanBuilder::new(),
            created_at: times(),
            merged_at: times(),
            first_reviews: FirstReviewsBuilder::default(),
            labels: strings(),
            review_state: Dictionary::new(),
            environment: Dictionary::new(),
            tag: StringBuilder::new(),
            reading: Int64Builder::new(),
            head_ref: StringBuilder::new(),
            head_repo_id: Int64Builder::new(),
            merge_sha: StringBuilder::new(),
            workflow: Dictionary::new(),
            author_name_hash: Dictionary::new(),
            rows: 0,
        }
    }

    fn member_name(&self, index: u32) -> &'a str {
        &self.population.members[index as usize].member.name
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &RowValues<'_>) {
        let repo = &self.population.repos[row.repo as usize];
        let MemberProfile { member, author_name_hash, .. } = &self.population.members[row.member as usize];
        self.rows += 1;
        self.event_id.append_value(row.event_id);
        self.version.append_value(row.version);
        self.kind.append_value(row.kind.as_str());
        self.org_column.append_value(self.org);
        self.repo.append_value(&repo.name);
        self.repo_id.append_value(repo.id);
        self.member.append_value(&member.name);
        self.member_id.append_option(member.id);
        self.member_kind.append_value(member.kind.as_str());
        self.occurred_at.append_value(milliseconds(row.occurred_at));
        self.collected_at.append_value(milliseconds(row.collected_at));
        self.retracted.append_value(row.retracted);
        self.reading.append_value(READING);
        let is_commit = row.kind == EventKind::Commit;
        self.author_name_hash.append_option(author_name_hash.as_ref().filter(|_| is_commit));
        self.push_facts(&row.facts);
    }

    fn push_facts(&mut self, facts: &FactValues<'_>) {
        self.sha.append_option(facts.sha);
        self.parents.append_option(facts.parents);
        self.additions.append_option(facts.lines.map(|lines| lines[0]));
        self.deletions.append_option(facts.lines.map(|lines| lines[1]));
        self.files_changed.append_option(facts.lines.map(|lines| lines[2]));
        for co_author in facts.co_authors.into_iter().flatten() {
            self.co_authors
                .values()
                .append_value(self.population.members[*co_author as usize].member.name.as_str());
        }
        self.co_authors.append(facts.co_authors.is_some());
        self.number.append_option(facts.number);
        self.pr_member.append_option(facts.pr_member.map(|index| self.member_name(index)));
        self.state.append_option(facts.state);
        self.draft.append_option(facts.draft);
        self.created_at.append_option(facts.created_at.map(milliseconds));
        self.merged_at.append_option(facts.merged_at.map(milliseconds));
        self.first_reviews.push(facts.first_reviews, self.population);
        if let Some(Some(label)) = facts.label {
            self.labels.values().append_value(label);
        }
        self.labels.append(facts.label.is_some());
        self.review_state.append_option(facts.review_state);
        self.environment.append_option(facts.environment);
        self.tag.append_option(facts.tag);
        self.head_ref.append_option(facts.head_ref);
        self.head_repo_id.append_option(facts.head_repo_id);
        self.merge_sha.append_option(facts.merge_sha);
        self.workflow.append_option(facts.workflow);
    }

    /// Returns the rows, with the columns of the lake's table `events`. A column that the generator does not
    /// know is null.
    ///
    /// # Errors
    /// If the columns are not those of the table: the generator must then be changed with it.
    pub(crate) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        let schema = events_schema();
        let rows = self.rows;
        let mut by_name = self.finish_columns()?;
        let columns = schema.fields().iter().map(|field| {
            by_name.remove(field.name().as_str()).unwrap_or_else(|| new_null_array(field.data_type(), rows))
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect())
    }

    fn finish_columns(&mut self) -> Result<HashMap<&'static str, ArrayRef>, ArrowError> {
        let columns: [(&str, ArrayRef); 35] = [
            (column::EVENT_ID, Arc::new(self.event_id.finish())),
            (column::VERSION, Arc::new(self.version.finish())),
            (column::KIND, Arc::new(self.kind.finish())),
            (column::ORG, Arc::new(self.org_column.finish())),
            (column::REPO, Arc::new(self.repo.finish())),
            (column::REPO_ID, Arc::new(self.repo_id.finish())),
            (column::MEMBER, Arc::new(self.member.finish())),
            (column::MEMBER_ID, Arc::new(self.member_id.finish())),
            (column::MEMBER_KIND, Arc::new(self.member_kind.finish())),
            (column::OCCURRED_AT, Arc::new(self.occurred_at.finish())),
            (column::COLLECTED_AT, Arc::new(self.collected_at.finish())),
            (column::RETRACTED, Arc::new(self.retracted.finish())),
            (column::SHA, Arc::new(self.sha.finish())),
            (column::PARENTS, Arc::new(self.parents.finish())),
            (column::ADDITIONS, Arc::new(self.additions.finish())),
            (column::DELETIONS, Arc::new(self.deletions.finish())),
            (column::FILES_CHANGED, Arc::new(self.files_changed.finish())),
            (column::CO_AUTHORS, Arc::new(self.co_authors.finish())),
            (column::NUMBER, Arc::new(self.number.finish())),
            (column::PR_MEMBER, Arc::new(self.pr_member.finish())),
            (column::STATE, Arc::new(self.state.finish())),
            (column::DRAFT, Arc::new(self.draft.finish())),
            (column::CREATED_AT, Arc::new(self.created_at.finish())),
            (column::MERGED_AT, Arc::new(self.merged_at.finish())),
            (column::FIRST_REVIEWS, self.first_reviews.finish()?),
            (column::LABELS, Arc::new(self.labels.finish())),
            (column::REVIEW_STATE, Arc::new(self.review_state.finish())),
            (column::ENVIRONMENT, Arc::new(self.environment.finish())),
            (column::TAG, Arc::new(self.tag.finish())),
            (column::READING, Arc::new(self.reading.finish())),
            (column::HEAD_REF, Arc::new(self.head_ref.finish())),
            (column::HEAD_REPO_ID, Arc::new(self.head_repo_id.finish())),
            (column::MERGE_SHA, Arc::new(self.merge_sha.finish())),
            (column::WORKFLOW, Arc::new(self.workflow.finish())),
            (column::AUTHOR_NAME_HASH, Arc::new(self.author_name_hash.finish())),
        ];
        Ok(columns.into())
    }
}

/// The nested column `first_reviews`.
struct FirstReviewsBuilder {
    lengths: Vec<usize>,
    is_present: Vec<bool>,
    member: StringBuilder,
    member_kind: StringBuilder,
    at: TimestampMillisecondBuilder,
}

impl Default for FirstReviewsBuilder {
    fn default() -> Self {
        FirstReviewsBuilder {
            lengths: Vec::new(),
            is_present: Vec::new(),
            member: StringBuilder::new(),
            member_kind: StringBuilder::new(),
            at: times(),
        }
    }
}

impl FirstReviewsBuilder {
    fn push(&mut self, reviews: Option<&[GeneratedReview]>, population: &Population) {
        self.lengths.push(reviews.map_or(0, <[GeneratedReview]>::len));
        self.is_present.push(reviews.is_some());
        for review in reviews.into_iter().flatten() {
            let member = &population.members[review.member as usize].member;
            self.member.append_value(&member.name);
            self.member_kind.append_value(member.kind.as_str());
            self.at.append_value(milliseconds(review.at));
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let schema = events_schema();
        let DataType::List(element) = schema.field_with_name(column::FIRST_REVIEWS)?.data_type() else {
            return Err(ArrowError::SchemaError("first_reviews is no list".to_owned()));
        };
        let DataType::Struct(fields) = element.data_type() else {
            return Err(ArrowError::SchemaError("first_reviews is no list of structures".to_owned()));
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.member.finish()),
            Arc::new(self.member_kind.finish()),
            Arc::new(self.at.finish()),
        ];
        let reviews = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        let nulls = NullBuffer::from(std::mem::take(&mut self.is_present));
        Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, Arc::new(reviews), Some(nulls))?))
    }
}
