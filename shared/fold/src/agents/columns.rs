//! The columns of the table `sessions` that a fold reads.

use arrow_array::{Array, Int64Array, ListArray, RecordBatch, StructArray, TimestampMillisecondArray};
use chrono::NaiveDate;
use gam_model::{Identity, PriceTable, TokenUsage};

pub(super) use crate::columns::nullable;
use crate::columns::{CountedRows, DictionaryColumn, column, elements};
use crate::fold::FoldError;

/// The names of the columns that a fold of the table `sessions` reads. Batches may lack all others.
pub const SESSION_COLUMNS: &[&str] = &[
    "kind",
    "repo",
    "repo_id",
    "member",
    "member_kind",
    "occurred_at",
    "retracted",
    "agent",
    "session",
    "branch",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "speed",
    "tool",
    "outcome",
    "additions",
    "deletions",
    "started_at",
    "prompts",
    "active",
];

/// All columns that a fold reads.
pub(super) struct SessionColumns<'a> {
    pub(super) kind: DictionaryColumn<'a>,
    pub(super) repo_id: &'a Int64Array,
    pub(super) member: DictionaryColumn<'a>,
    pub(super) member_kind: DictionaryColumn<'a>,
    pub(super) occurred_at: &'a TimestampMillisecondArray,
    counted: CountedRows<'a>,
    pub(super) agent: DictionaryColumn<'a>,
    pub(super) session: DictionaryColumn<'a>,
    pub(super) branch: DictionaryColumn<'a>,
    pub(super) usage: UsageColumns<'a>,
    pub(super) tool: DictionaryColumn<'a>,
    pub(super) outcome: DictionaryColumn<'a>,
    pub(super) additions: &'a Int64Array,
    pub(super) deletions: &'a Int64Array,
    pub(super) started_at: &'a TimestampMillisecondArray,
    pub(super) prompts: &'a Int64Array,
    pub(super) active: ActiveColumn<'a>,
}

impl<'a> SessionColumns<'a> {
    /// # Errors
    /// If a column is missing or has the wrong type.
    pub(super) fn from_batch(batch: &'a RecordBatch, identity: &Identity) -> Result<Self, FoldError> {
        let name = |name| DictionaryColumn::from_batch(batch, name);
        let number = |name| column::<Int64Array>(batch, name);
        Ok(SessionColumns {
            kind: name("kind")?,
            repo_id: number("repo_id")?,
            member: name("member")?,
            member_kind: name("member_kind")?,
            occurred_at: column(batch, "occurred_at")?,
            counted: CountedRows::from_batch(batch, identity)?,
            agent: name("agent")?,
            session: name("session")?,
            branch: name("branch")?,
            usage: UsageColumns::from_batch(batch)?,
            tool: name("tool")?,
            outcome: name("outcome")?,
            additions: number("additions")?,
            deletions: number("deletions")?,
            started_at: column(batch, "started_at")?,
            prompts: number("prompts")?,
            active: ActiveColumn::from_batch(batch)?,
        })
    }

    pub(super) fn row_count(&self) -> usize {
        self.repo_id.len()
    }

    /// Returns whether the event in the row counts.
    pub(super) fn counts(&self, row: usize) -> bool {
        self.counted.contains(row)
    }
}

/// The model of responses and what they used.
pub(crate) struct UsageColumns<'a> {
    pub(super) model: DictionaryColumn<'a>,
    input_tokens: &'a Int64Array,
    output_tokens: &'a Int64Array,
    cache_read_tokens: &'a Int64Array,
    cache_write_5m_tokens: &'a Int64Array,
    cache_write_1h_tokens: &'a Int64Array,
    web_searches: &'a Int64Array,
    speed: DictionaryColumn<'a>,
}

impl<'a> UsageColumns<'a> {
    /// # Errors
    /// If a column is missing or has the wrong type.
    pub(crate) fn from_batch(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        let number = |name| column::<Int64Array>(batch, name);
        Ok(UsageColumns {
            model: DictionaryColumn::from_batch(batch, "model")?,
            input_tokens: number("input_tokens")?,
            output_tokens: number("output_tokens")?,
            cache_read_tokens: number("cache_read_tokens")?,
            cache_write_5m_tokens: number("cache_write_5m_tokens")?,
            cache_write_1h_tokens: number("cache_write_1h_tokens")?,
            web_searches: number("web_searches")?,
            speed: DictionaryColumn::from_batch(batch, "speed")?,
        })
    }

    /// Returns the tokens of a response.
    pub(super) fn usage(&self, row: usize) -> TokenUsage {
        TokenUsage {
            input: count(self.input_tokens, row),
            output: count(self.output_tokens, row),
            cache_read: count(self.cache_read_tokens, row),
            cache_write_5m: count(self.cache_write_5m_tokens, row),
            cache_write_1h: count(self.cache_write_1h_tokens, row),
            web_searches: count(self.web_searches, row),
        }
    }

    /// Returns the list price of a response on a day, in nano-dollars, and its tokens without a price.
    pub(crate) fn price(&self, row: usize, day: NaiveDate, prices: &PriceTable) -> (u64, u64) {
        let usage = self.usage(row);
        let model = self.model.text(row).unwrap_or_default();
        match prices.rates(model, self.speed.text(row), day) {
            Some(rates) => (rates.cost(&usage), 0),
            None => (0, usage.tokens()),
        }
    }
}

/// Returns a row's count; 0 if it is null or negative.
pub(super) fn count(column: &Int64Array, row: usize) -> u64 {
    nullable(column, row).and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
}

/// The nested column `active`.
pub(super) struct ActiveColumn<'a> {
    list: &'a ListArray,
    at: &'a TimestampMillisecondArray,
    active_ms: &'a Int64Array,
}

impl<'a> ActiveColumn<'a> {
    fn from_batch(batch: &'a RecordBatch) -> Result<Self, FoldError> {
        const INVALID: FoldError = FoldError::InvalidColumn("active");
        let list: &ListArray = column(batch, "active")?;
        let quarters: &StructArray = list.values().as_any().downcast_ref().ok_or(INVALID)?;
        let field = |name: &str| quarters.column_by_name(name).ok_or(INVALID);
        Ok(ActiveColumn {
            list,
            at: field("at")?.as_any().downcast_ref().ok_or(INVALID)?,
            active_ms: field("active_ms")?.as_any().downcast_ref().ok_or(INVALID)?,
        })
    }

    /// Returns when each quarter of an hour of a row begins, in epoch milliseconds, and its active milliseconds.
    pub(super) fn quarters(&self, row: usize) -> impl Iterator<Item = (i64, i64)> + use<'a> {
        let (at, active_ms) = (self.at, self.active_ms);
        elements(self.list, row).map(move |index| (at.value(index), active_ms.value(index)))
    }
}
