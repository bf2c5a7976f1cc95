//! Rollups and markers in DynamoDB.

use async_trait::async_trait;
use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use gam_model::{Grain, Month};
use gam_store::error::{Error, Result};
use gam_store::keys::{RollupKey, Subject, SubjectKind};
use gam_store::port::{
    AdvanceOutcome, FoldScope, Logic, Marker, NameEntry, NameKind, NameStore, PutOutcome, RollupStore,
    StoredRollup,
};

use super::item::{Item, number, text};
use super::keys::{self, IndexKey, ItemKey};
use super::{ConditionalPut, DynamoStore, MAX_CONCURRENT_REQUESTS};

/// Number of attempts to advance a marker that others advance at the same time.
const MAX_ADVANCE_ATTEMPTS: usize = 100;

fn rollup_item(org: &str, key: &RollupKey, rollup: &StoredRollup) -> Item {
    let item = Item::new(&ItemKey::rollup(org, key))
        .with_number("version", rollup.logic.version)
        .with_text("identity", &rollup.logic.identity)
        .with_number("generation", rollup.generation)
        .with_body(&rollup.body);
    match IndexKey::rollup(org, key) {
        Some(index_key) => item.with_text("gpk", index_key.gpk).with_text("gsk", index_key.gsk),
        None => item,
    }
}

fn parse_rollup(item: &Item) -> Result<(RollupKey, StoredRollup)> {
    let key = keys::parse_rollup(item.text("pk")?, item.text("sk")?).ok_or_else(|| item.damaged("key"))?;
    Ok((
        key,
        StoredRollup {
            logic: parse_logic(item)?,
            generation: item.number("generation")?,
            body: item.body()?,
        },
    ))
}

fn parse_logic(item: &Item) -> Result<Logic> {
    Ok(Logic { version: item.number("version")?, identity: item.text("identity")?.to_owned() })
}

fn parse_marker(item: &Item) -> Result<Marker> {
    let month = item.text("sk")?.split_once('#').and_then(|(_, month)| Month::parse(month));
    Ok(Marker {
        month: month.ok_or_else(|| item.damaged("month"))?,
        logic: parse_logic(item)?,
        generation: item.number("generation")?,
        floor: item.number("floor")?,
    })
}

impl DynamoStore {
    /// Writes a rollup under its guard.
    async fn put_rollup(&self, org: &str, key: &RollupKey, rollup: &StoredRollup) -> Result<PutOutcome> {
        let request = self
            .put_request(rollup_item(org, key, rollup))
            .condition_expression(
                "attribute_not_exists(pk) OR (version <= :version AND generation <= :generation)",
            )
            .expression_attribute_values(":version", number(rollup.logic.version))
            .expression_attribute_values(":generation", number(rollup.generation));
        let mut outcome = PutOutcome::default();
        if let ConditionalPut::ConditionFailed(stored) =
            self.put_conditionally("writing a rollup", request).await?
        {
            outcome.record_if_refused(stored.number("version")?, stored.number("generation")?, rollup);
        }
        Ok(outcome)
    }

    /// Replaces the marker that was read. Returns false, and writes nothing, if another writer has moved it.
    async fn replace_marker(&self, org: &str, stored: Option<&Marker>, next: &Marker) -> Result<bool> {
        let item = Item::new(&ItemKey::marker(org, next.month))
            .with_number("version", next.logic.version)
            .with_text("identity", &next.logic.identity)
            .with_number("generation", next.generation)
            .with_number("floor", next.floor);
        let request = self.put_request(item);
        let request = match stored {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(stored) => request
                .condition_expression(
                    "version = :version AND #identity = :identity AND generation = :generation AND #floor = :floor",
                )
                .expression_attribute_names("#identity", "identity")
                .expression_attribute_names("#floor", "floor")
                .expression_attribute_values(":version", number(stored.logic.version))
                .expression_attribute_values(":identity", text(&stored.logic.identity))
                .expression_attribute_values(":generation", number(stored.generation))
                .expression_attribute_values(":floor", number(stored.floor)),
        };
        Ok(matches!(self.put_conditionally("moving a marker", request).await?, ConditionalPut::Written))
    }
}

#[async_trait]
impl RollupStore for DynamoStore {
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        let writes: Vec<_> = rollups.iter().map(|(key, rollup)| self.put_rollup(org, key, rollup)).collect();
        futures::stream::iter(writes)
            .buffer_unordered(MAX_CONCURRENT_REQUESTS)
            .try_fold(PutOutcome::default(), async |mut total, outcome| {
                total.merge(outcome);
                Ok(total)
            })
            .await
    }

    async fn range(
        &self,
        org: &str,
        subject: &Subject,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        if from >= to {
            return Ok(Vec::new());
        }
        // A sort key has more parts after the day, so `BETWEEN` excludes the keys of `to` itself.
        let bound = |day: NaiveDate| text(format!("{}#{day}", grain.as_str()));
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(keys::subject_partition(org, subject)))
            .expression_attribute_values(":from", bound(from))
            .expression_attribute_values(":to", bound(to));
        self.query_all_pages("reading rollups", request).await?.iter().map(parse_rollup).collect()
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        if kind == SubjectKind::Org {
            return self.range(org, &Subject::Org, grain, from, to).await;
        }
        if !keys::is_indexed(kind, grain) {
            let what = format!(
                "cannot list rollups by {}: the index {} holds days and months only",
                grain.as_str(),
                keys::KIND_INDEX
            );
            return Err(Error::Unusable { what, source: None });
        }
        let reads = keys::index_partitions(org, kind, grain, from, to).into_iter().map(|partition| {
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(keys::KIND_INDEX)
                .key_condition_expression("gpk = :pk AND gsk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":from", text(from.to_string()))
                .expression_attribute_values(":to", text(to.to_string()));
            self.query_all_pages("listing rollups", request)
        });
        let pages: Vec<Vec<Item>> =
            futures::stream::iter(reads).buffered(MAX_CONCURRENT_REQUESTS).try_collect().await?;
        pages.iter().flatten().map(parse_rollup).collect()
    }

    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>> {
        let item = self.get_item("reading a marker", &ItemKey::marker(org, month)).await?;
        item.as_ref().map(parse_marker).transpose()
    }

    async fn markers(&self, org: &str) -> Result<Vec<Marker>> {
        self.query_prefix("reading markers", &ItemKey::markers(org)).await?.iter().map(parse_marker).collect()
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        for _ in 0..MAX_ADVANCE_ATTEMPTS {
            let stored = self.marker(org, month).await?;
            let Some(next) = Marker::advanced(stored.as_ref(), month, logic, generation, scope) else {
                return Ok(AdvanceOutcome::Refused);
            };
            self.register(org).await?;
            if self.replace_marker(org, stored.as_ref(), &next).await? {
                return Ok(AdvanceOutcome::Advanced);
            }
        }
        let what = format!("other writers keep moving the marker of {month} of {org}");
        Err(Error::Unavailable { what, source: None })
    }
}

#[async_trait]
impl NameStore for DynamoStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.write_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.read_names(org, kind).await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.read_orgs().await
    }

    async fn org(&self, org: &str) -> Result<Option<String>> {
        self.read_org(org).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables that exist hold items of this form.
    #[test]
    fn the_attributes_of_a_rollup_never_change() {
        let start = "2024-01-29".parse().unwrap();
        let month = Month::parse("2024-02").unwrap();
        let key = RollupKey { subject: Subject::member("Ann"), grain: Grain::Month, start, month };
        let logic = Logic { version: 3, identity: "abc".to_owned() };
        let rollup = StoredRollup { logic, generation: 2, body: "{}".to_owned() };
        let item = rollup_item("Acme", &key, &rollup);
        let mut lines: Vec<String> =
            item.0.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_rollup", lines.join("\n"));
        });
    }

    fn key(subject: Subject, grain: Grain) -> RollupKey {
        let start = "2024-01-01".parse().unwrap();
        RollupKey { subject, grain, start, month: Month::of(start) }
    }

    fn rollup() -> StoredRollup {
        let logic = Logic { version: 3, identity: "identity".to_owned() };
        StoredRollup { logic, generation: 7, body: "{}".to_owned() }
    }

    #[test]
    fn only_listed_rollups_are_in_the_index() {
        for (subject, is_listed) in
            [(Subject::Org, false), (Subject::Repo(1), true), (Subject::member("ann"), true)]
        {
            for (grain, is_listed) in
                [(Grain::Day, is_listed), (Grain::Week, false), (Grain::Month, is_listed)]
            {
                let key = key(subject.clone(), grain);
                let item = rollup_item("acme", &key, &rollup());
                let index_attributes = ["gpk", "gsk"].map(|name| item.0.contains_key(name));
                assert_eq!(index_attributes, [is_listed; 2], "{key:?}");
                assert_eq!(keys::is_indexed(subject.kind(), grain), is_listed, "{key:?}");
            }
        }
    }

    /// Earlier versions wrote the index attributes on every rollup.
    #[test]
    fn items_of_earlier_versions_are_read_like_new_ones() {
        for subject in [Subject::Org, Subject::Repo(1), Subject::member("ann")] {
            for grain in Grain::ALL {
                let key = key(subject.clone(), grain);
                let new = rollup_item("acme", &key, &rollup());
                let old = new.clone().with_text("gpk", "anything").with_text("gsk", "anything");
                for item in [new, old] {
                    assert_eq!(parse_rollup(&item).unwrap(), (key.clone(), rollup()));
                }
            }
        }
    }

    #[tokio::test]
    async fn weeks_cannot_be_listed() {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .build();
        let store = DynamoStore::new(&config, "table");
        let (from, to) = ("2024-01-01".parse().unwrap(), "2024-02-01".parse().unwrap());
        for kind in [SubjectKind::Repo, SubjectKind::Member] {
            let error = store.range_of_kind("acme", kind, Grain::Week, from, to).await.unwrap_err();
            assert!(!error.is_retryable());
            assert!(error.to_string().contains("cannot list rollups by week"), "{error}");
        }
    }
}
