//! Records in DynamoDB. A commit is one transaction.
//!
//! The attribute `expires` is in epoch seconds, so that the table's time to live deletes expired records, some
//! days after they expired. Until then, conditions and reads take them for absent.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use gam_store::error::{Error, Result};
use gam_store::record::MAX_COMMIT_WRITES;
use gam_store::{
    CommitOutcome, Expectation, Record, RecordChange, RecordCommit, RecordCommitId, RecordKey, RecordRange,
    RecordStore, RecordWrite,
};

use super::DynamoStore;
use super::item::{Item, number, text};
use super::keys::{self, TableKey};

/// Number of writes in a transaction at most. A full commit leaves room for its receipt.
const MAX_TRANSACTION_WRITES: usize = 100;
const _: () = assert!(MAX_COMMIT_WRITES < MAX_TRANSACTION_WRITES);

/// Number of items that a query reads at once at most.
const MAX_PAGE_ITEMS: usize = 1_000;

const COMMITTING: &str = "committing records";

/// The attributes of a record. None is a reserved word of DynamoDB.
const REVISION: &str = "revision";
const EXPIRES: &str = "expires";

/// Always holds. DynamoDB requires a condition for a check.
const ANYTHING: &str = "attribute_exists(pk) OR attribute_not_exists(pk)";

/// The condition of a write, and the values that it names.
type Condition = (&'static str, Vec<(&'static str, AttributeValue)>);

fn condition(expectation: Expectation, now: DateTime<Utc>) -> Option<Condition> {
    let now = (":now", number(now.timestamp()));
    match expectation {
        Expectation::Any => None,
        Expectation::Absent => Some(("attribute_not_exists(pk) OR expires <= :now", vec![now])),
        Expectation::Revision(revision) => Some((
            "revision = :revision AND (attribute_not_exists(expires) OR expires > :now)",
            vec![now, (":revision", text(revision.to_string()))],
        )),
    }
}

fn record_item(
    key: &RecordKey,
    revision: RecordCommitId,
    body: &str,
    expires: Option<DateTime<Utc>>,
) -> Item {
    let item = Item::new(&TableKey::record(key)).with_text(REVISION, revision.to_string()).with_body(body);
    match expires {
        Some(expires) => item.with_number(EXPIRES, expires.timestamp()),
        None => item,
    }
}

fn parse_revision(item: &Item) -> Result<RecordCommitId> {
    RecordCommitId::parse(item.text(REVISION)?).ok_or_else(|| item.damaged(REVISION))
}

fn parse_record(item: &Item) -> Result<Record> {
    let expires = match item.0.contains_key(EXPIRES) {
        false => None,
        true => {
            let time = DateTime::from_timestamp(item.number(EXPIRES)?, 0);
            Some(time.ok_or_else(|| item.damaged(EXPIRES))?)
        }
    };
    Ok(Record { revision: parse_revision(item)?, expires, body: item.body()? })
}

/// What the reasons of a cancelled transaction say.
#[derive(Debug, PartialEq, Eq)]
enum Cancellation {
    /// The expectations decide: this is the outcome.
    Decided(CommitOutcome),
    /// Another transaction or the load of the table interfered. A retry may succeed.
    Contention,
    /// DynamoDB rejects a write, for this reason.
    Rejected(String),
}

/// Decodes the reasons of a cancelled transaction, which are in the order of its writes. A failed condition
/// decides, whatever happened to the other writes.
fn decode(commit: &RecordCommit, reasons: &[CancellationReason]) -> Cancellation {
    let code = |reason: &CancellationReason| reason.code().unwrap_or("None").to_owned();
    let failed: Vec<usize> =
        (0..reasons.len()).filter(|index| code(&reasons[*index]) == "ConditionalCheckFailed").collect();
    let is_own = |index: &usize| {
        let stored = reasons[*index].item().cloned().map(Item);
        let revision = stored.and_then(|stored| parse_revision(&stored).ok());
        // The last write is the receipt, which only this commit writes.
        *index >= commit.writes().len() || revision == Some(commit.id())
    };
    if failed.iter().any(is_own) {
        return Cancellation::Decided(CommitOutcome::Committed);
    }
    if !failed.is_empty() {
        return Cancellation::Decided(CommitOutcome::Conflict(failed));
    }
    let rejection = reasons.iter().find(|reason| {
        matches!(
            code(reason).as_str(),
            "ValidationError" | "ItemCollectionSizeLimitExceeded" | "AccessDenied"
        )
    });
    match rejection {
        Some(reason) => Cancellation::Rejected(format!(
            "{}: {}",
            code(reason),
            reason.message().unwrap_or("DynamoDB does not say why")
        )),
        None => Cancellation::Contention,
    }
}

impl DynamoStore {
    /// Returns a write as a part of a transaction.
    fn transaction_write(
        &self,
        write: &RecordWrite,
        revision: RecordCommitId,
        now: DateTime<Utc>,
    ) -> Result<TransactWriteItem> {
        const RETURN_STORED: ReturnValuesOnConditionCheckFailure =
            ReturnValuesOnConditionCheckFailure::AllOld;
        let (condition, values) = condition(write.expectation, now).unzip();
        let values =
            values.map(|values| values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let key = TableKey::record(&write.key).attributes();
        let part = TransactWriteItem::builder();
        let part = match &write.change {
            RecordChange::Put { body, expires } => {
                let put = Put::builder()
                    .table_name(&self.table)
                    .set_item(Some(record_item(&write.key, revision, body, *expires).0))
                    .set_condition_expression(condition.map(str::to_owned))
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(RETURN_STORED);
                put.build().map(|put| part.put(put))
            }
            RecordChange::Delete => {
                let delete = Delete::builder()
                    .table_name(&self.table)
                    .set_key(Some(key))
                    .set_condition_expression(condition.map(str::to_owned))
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(RETURN_STORED);
                delete.build().map(|delete| part.delete(delete))
            }
            RecordChange::Check => {
                let check = ConditionCheck::builder()
                    .table_name(&self.table)
                    .set_key(Some(key))
                    .condition_expression(condition.unwrap_or(ANYTHING))
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(RETURN_STORED);
                check.build().map(|check| part.condition_check(check))
            }
        };
        Ok(part.map_err(|error| Error::unusable(COMMITTING, error))?.build())
    }
}

#[async_trait]
impl RecordStore for DynamoStore {
    async fn get(&self, key: &RecordKey, now: DateTime<Utc>) -> Result<Option<Record>> {
        let item = self.get_item("reading a record", &TableKey::record(key)).await?;
        let record = item.as_ref().map(parse_record).transpose()?;
        Ok(record.filter(|record| record.is_live(now)))
    }

    async fn range(
        &self,
        range: &RecordRange,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Result<Vec<(RecordKey, Record)>> {
        let mut records = Vec::new();
        if range.is_empty() || limit == 0 {
            return Ok(records);
        }
        // No key equals the end of a range, so `BETWEEN` excludes it.
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(keys::record_partition(range.org(), range.kind())))
            .expression_attribute_values(":from", text(range.from()))
            .expression_attribute_values(":to", text(range.to()));
        let mut last_key = None;
        loop {
            let page_items = (limit - records.len()).min(MAX_PAGE_ITEMS);
            let page = request
                .clone()
                .limit(page_items as i32)
                .set_exclusive_start_key(last_key)
                .send()
                .await
                .map_err(|error| self.error("reading records", &error))?;
            for item in page.items.into_iter().flatten().map(Item) {
                let key = RecordKey::parse(range, item.text("sk")?).ok_or_else(|| item.damaged("sk"))?;
                let record = parse_record(&item)?;
                if record.is_live(now) {
                    records.push((key, record));
                }
            }
            last_key = page.last_evaluated_key.filter(|key| !key.is_empty());
            if records.len() == limit || last_key.is_none() {
                return Ok(records);
            }
        }
    }

    async fn commit(&self, commit: &RecordCommit, now: DateTime<Utc>) -> Result<CommitOutcome> {
        let writes = commit.writes_with_receipt(now)?;
        let writes: Vec<TransactWriteItem> = writes
            .iter()
            .map(|write| self.transaction_write(write, commit.id(), now))
            .collect::<Result<_>>()?;
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(10)
            .with_jitter()
            .build();
        loop {
            // The client adds a token, under which DynamoDB applies retries of this request once. It is no
            // substitute for the receipt: it is another one when the caller repeats the commit.
            let request = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = request.send().await else { return Ok(CommitOutcome::Committed) };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
                error.as_service_error()
            else {
                return Err(self.error(COMMITTING, &error));
            };
            match decode(commit, cancelled.cancellation_reasons()) {
                Cancellation::Decided(outcome) => return Ok(outcome),
                Cancellation::Rejected(why) => {
                    let what = format!("{COMMITTING} in table {} was rejected: {why}", self.table);
                    return Err(Error::Unusable { what, source: None });
                }
                Cancellation::Contention => {}
            }
            let Some(pause) = pauses.next() else { return Err(self.error(COMMITTING, &error)) };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use gam_store::{KeyPart, RecordKind};

    use super::*;

    fn key() -> RecordKey {
        RecordKey::new(Some("Acme"), RecordKind::Claim, &[KeyPart::Number(7)]).unwrap()
    }

    fn reason(code: &str, item: Option<Item>) -> CancellationReason {
        CancellationReason::builder().code(code).set_item(item.map(|item| item.0)).build()
    }

    /// Tables that exist hold items of this form.
    #[test]
    fn the_attributes_of_a_record_never_change() {
        let revision = RecordCommitId::parse(&"0f".repeat(16)).unwrap();
        let expires = DateTime::from_timestamp(1_700_000_000, 900_000_000);
        let item = record_item(&key(), revision, "{}", expires);
        let mut lines: Vec<String> =
            item.0.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_record", lines.join("\n"));
        });
        let record =
            Record { revision, expires: DateTime::from_timestamp(1_700_000_000, 0), body: "{}".into() };
        assert_eq!(parse_record(&item).unwrap(), record);
    }

    #[test]
    fn damaged_records_are_errors() {
        let item = record_item(&key(), RecordCommitId::random(), "{}", None);
        for damaged in [item.clone().with_text(REVISION, "x"), item.clone().with_text(EXPIRES, "1")] {
            let error = parse_record(&damaged).unwrap_err();
            assert!(!error.is_retryable() && error.to_string().contains("point in time"), "{error}");
        }
        assert!(parse_record(&item.with_number(EXPIRES, i64::MAX)).is_err());
    }

    #[test]
    fn reasons_of_a_cancelled_transaction_decide_the_outcome() {
        let commit = RecordCommit::new(RecordCommitId::random())
            .put(key(), "{}", Expectation::Absent)
            .delete(key(), Expectation::Any);
        let stored = |revision| Some(record_item(&key(), revision, "{}", None));
        let none = || reason("None", None);
        let failed = |item| reason("ConditionalCheckFailed", item);
        let (own, other) = (stored(commit.id()), stored(RecordCommitId::random()));
        let decided = Cancellation::Decided;
        for (reasons, expected) in [
            (vec![none(), none(), failed(own.clone())], decided(CommitOutcome::Committed)),
            (vec![failed(other.clone()), none(), failed(own.clone())], decided(CommitOutcome::Committed)),
            (vec![failed(None), none(), failed(None)], decided(CommitOutcome::Committed)),
            (vec![failed(own), none()], decided(CommitOutcome::Committed)),
            (vec![failed(other.clone()), none(), none()], decided(CommitOutcome::Conflict(vec![0]))),
            (vec![failed(None), failed(other.clone()), none()], decided(CommitOutcome::Conflict(vec![0, 1]))),
            (
                vec![reason("TransactionConflict", None), failed(other), none()],
                decided(CommitOutcome::Conflict(vec![1])),
            ),
            (vec![none(), reason("TransactionConflict", None), none()], Cancellation::Contention),
            (vec![none(), reason("ThrottlingError", None), none()], Cancellation::Contention),
            (vec![none(), reason("ProvisionedThroughputExceeded", None), none()], Cancellation::Contention),
            (vec![], Cancellation::Contention),
        ] {
            assert_eq!(decode(&commit, &reasons), expected, "{reasons:?}");
        }
        let invalid = decode(&commit, &[none(), reason("ValidationError", None), none()]);
        assert!(
            matches!(&invalid, Cancellation::Rejected(why) if why.contains("ValidationError")),
            "{invalid:?}"
        );
    }
}
