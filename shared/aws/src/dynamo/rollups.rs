//! Rollups and markers.

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

use super::entry::{Entry, number, text};
use super::keys::{self, Key};
use super::{DynamoStore, IN_FLIGHT, Put};

/// How often a marker is tried to be moved while others move it.
const ADVANCES: usize = 100;

fn entry_of(org: &str, key: &RollupKey, rollup: &StoredRollup) -> Entry {
    let partition = keys::index_partition(org, key.subject.kind(), key.grain, key.start);
    Entry::at(&Key::rollup(org, key))
        .with_text("gpk", partition)
        .with_text("gsk", format!("{}#{}#{}", key.start, key.month, key.subject.name()))
        .with_number("version", rollup.logic.version)
        .with_text("identity", &rollup.logic.identity)
        .with_number("generation", rollup.generation)
        .with_body(&rollup.body)
}

fn rollup_of(entry: &Entry) -> Result<(RollupKey, StoredRollup)> {
    let key = keys::parse_rollup(entry.text("pk")?, entry.text("sk")?).ok_or_else(|| entry.damaged("key"))?;
    Ok((
        key,
        StoredRollup {
            logic: logic_of(entry)?,
            generation: entry.number("generation")?,
            body: entry.body()?,
        },
    ))
}

fn logic_of(entry: &Entry) -> Result<Logic> {
    Ok(Logic { version: entry.number("version")?, identity: entry.text("identity")?.to_owned() })
}

fn marker_of(entry: &Entry) -> Result<Marker> {
    let month = entry.text("sk")?.split_once('#').and_then(|(_, month)| Month::parse(month));
    Ok(Marker {
        month: month.ok_or_else(|| entry.damaged("month"))?,
        logic: logic_of(entry)?,
        generation: entry.number("generation")?,
        floor: entry.number("floor")?,
    })
}

impl DynamoStore {
    /// Writes one rollup under its guard.
    async fn put_rollup(&self, org: &str, key: &RollupKey, rollup: &StoredRollup) -> Result<PutOutcome> {
        let request = self
            .put_request(entry_of(org, key, rollup))
            .condition_expression(
                "attribute_not_exists(pk) OR (version <= :version AND generation <= :generation)",
            )
            .expression_attribute_values(":version", number(rollup.logic.version))
            .expression_attribute_values(":generation", number(rollup.generation));
        let mut outcome = PutOutcome::default();
        if let Put::Refused(stored) = self.put_if("writing a rollup", request).await? {
            outcome.note_refusal(stored.number("version")?, stored.number("generation")?, rollup);
        }
        Ok(outcome)
    }

    /// Replaces the marker that was read; false where somebody else has.
    async fn replace_marker(&self, org: &str, stored: Option<&Marker>, next: &Marker) -> Result<bool> {
        let entry = Entry::at(&Key::marker(org, next.month))
            .with_number("version", next.logic.version)
            .with_text("identity", &next.logic.identity)
            .with_number("generation", next.generation)
            .with_number("floor", next.floor);
        let request = self.put_request(entry);
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
        Ok(matches!(self.put_if("moving a marker", request).await?, Put::Done))
    }
}

#[async_trait]
impl RollupStore for DynamoStore {
    async fn put(&self, org: &str, rollups: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        let writes: Vec<_> = rollups.iter().map(|(key, rollup)| self.put_rollup(org, key, rollup)).collect();
        futures::stream::iter(writes)
            .buffer_unordered(IN_FLIGHT)
            .try_fold(PutOutcome::default(), async |mut all, one| {
                all.merge(one);
                Ok(all)
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
        // A sort key goes on after the day, so the last one before `to` is less than `to` itself.
        let bound = |day: NaiveDate| text(format!("{}#{day}", grain.as_str()));
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", text(keys::subject(org, subject)))
            .expression_attribute_values(":from", bound(from))
            .expression_attribute_values(":to", bound(to));
        self.pages("reading rollups", request).await?.iter().map(rollup_of).collect()
    }

    async fn range_of_kind(
        &self,
        org: &str,
        kind: SubjectKind,
        grain: Grain,
        from: NaiveDate,
        to: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        let reads = keys::index_partitions(org, kind, grain, from, to).into_iter().map(|partition| {
            let request = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(keys::INDEX)
                .key_condition_expression("gpk = :pk AND gsk BETWEEN :from AND :to")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":from", text(from.to_string()))
                .expression_attribute_values(":to", text(to.to_string()));
            self.pages("listing rollups", request)
        });
        let pages: Vec<Vec<Entry>> = futures::stream::iter(reads).buffered(IN_FLIGHT).try_collect().await?;
        pages.iter().flatten().map(rollup_of).collect()
    }

    async fn marker(&self, org: &str, month: Month) -> Result<Option<Marker>> {
        let found = self.get("reading a marker", &Key::marker(org, month)).await?;
        found.as_ref().map(marker_of).transpose()
    }

    async fn markers(&self, org: &str) -> Result<Vec<Marker>> {
        self.all("reading markers", &Key::markers(org)).await?.iter().map(marker_of).collect()
    }

    async fn advance(
        &self,
        org: &str,
        month: Month,
        logic: &Logic,
        generation: u64,
        scope: FoldScope,
    ) -> Result<AdvanceOutcome> {
        for _ in 0..ADVANCES {
            let stored = self.marker(org, month).await?;
            let Some(next) = Marker::advanced(stored.as_ref(), month, logic, generation, scope) else {
                return Ok(AdvanceOutcome::Refused);
            };
            self.register(org).await?;
            if self.replace_marker(org, stored.as_ref(), &next).await? {
                return Ok(AdvanceOutcome::Advanced);
            }
        }
        let what = format!("the marker of {month} of {org} keeps moving");
        Err(Error::Unavailable { what, source: None })
    }
}

#[async_trait]
impl NameStore for DynamoStore {
    async fn put_names(&self, org: &str, entries: &[NameEntry]) -> Result<()> {
        self.keep_names(org, entries).await
    }

    async fn names(&self, org: &str, kind: NameKind) -> Result<Vec<NameEntry>> {
        self.read_names(org, kind).await
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.read_orgs().await
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
        let entry = entry_of("Acme", &key, &rollup);
        let mut lines: Vec<String> =
            entry.0.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_rollup", lines.join("\n"));
        });
    }
}
