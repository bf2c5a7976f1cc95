//! All keys of the table, typed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{Datelike, NaiveDate};
use gam_model::{Grain, Month, RollupKey, Subject, SubjectKind};
use gam_store::NameKind;
use gam_store::keys::{CheckpointKey, RecordKey, RecordKind, org_key};

/// The index that lists rollups by kind of subject.
pub(super) const KIND_INDEX: &str = "by_kind";

/// The primary key of an item, or of all items of a partition whose sort key starts with `sk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ItemKey {
    pub(super) pk: String,
    pub(super) sk: String,
}

/// Returns the organization as a part of a key, with `#` escaped because it separates the parts.
fn org_part(org: &str) -> String {
    org_key(org).replace('%', "%25").replace('#', "%23")
}

impl ItemKey {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        ItemKey { pk, sk: sk.into() }
    }

    pub(super) fn registered(org: &str) -> Self {
        ItemKey::new("orgs".to_owned(), format!("org#{}", org_key(org)))
    }

    pub(super) fn all_registered() -> Self {
        ItemKey::new("orgs".to_owned(), "org#")
    }

    pub(super) fn marker(org: &str, month: Month) -> Self {
        ItemKey::new(format!("org#{}", org_part(org)), format!("marker#{month}"))
    }

    pub(super) fn markers(org: &str) -> Self {
        ItemKey::new(format!("org#{}", org_part(org)), "marker#")
    }

    /// Ids have leading zeros, so that they sort as numbers do.
    pub(super) fn name(org: &str, kind: NameKind, id: i64) -> Self {
        ItemKey::new(format!("org#{}", org_part(org)), format!("name#{}#{id:020}", kind.as_str()))
    }

    pub(super) fn names(org: &str, kind: NameKind) -> Self {
        ItemKey::new(format!("org#{}", org_part(org)), format!("name#{}#", kind.as_str()))
    }

    pub(super) fn checkpoint(key: &CheckpointKey) -> Self {
        let sk = match key {
            CheckpointKey::Org(_) => "org".to_owned(),
            CheckpointKey::Repo(_, id) => format!("repo#{id:020}"),
        };
        ItemKey::new(format!("checkpoint#{}", org_part(&key.org())), sk)
    }

    pub(super) fn repo_checkpoints(org: &str) -> Self {
        ItemKey::new(format!("checkpoint#{}", org_part(org)), "repo#")
    }

    pub(super) fn record(key: &RecordKey) -> Self {
        ItemKey::new(record_partition(key.org(), key.kind()), key.sort())
    }

    pub(super) fn rollup(org: &str, key: &RollupKey) -> Self {
        ItemKey::new(
            subject_partition(org, &key.subject),
            format!("{}#{}#{}", key.grain.as_str(), key.start, key.month),
        )
    }

    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    /// Returns the condition of a query for all items of the partition whose sort key starts with `sk`.
    pub(super) fn condition(&self) -> &'static str {
        if self.sk.is_empty() { "pk = :pk" } else { "pk = :pk AND begins_with(sk, :sk)" }
    }

    /// Returns the values of that condition. DynamoDB rejects empty values and values that are not used.
    pub(super) fn values(&self) -> HashMap<String, AttributeValue> {
        let all = [(":pk", &self.pk), (":sk", &self.sk)].into_iter().filter(|(_, value)| !value.is_empty());
        all.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone()))).collect()
    }
}

/// Parses the sort key of [`ItemKey::registered`], and returns the organization in lower case.
pub(super) fn parse_org(sk: &str) -> Option<&str> {
    sk.strip_prefix("org#")
}

/// Parses the id in the sort key of [`ItemKey::name`] or [`ItemKey::checkpoint`].
pub(super) fn parse_id(sk: &str) -> Option<i64> {
    sk.rsplit('#').next()?.parse().ok()
}

/// Returns the partition key of an organization's records of a kind.
pub(super) fn record_partition(org: &str, kind: RecordKind) -> String {
    format!("record#{}#{}", org_part(org), kind.as_str())
}

/// Returns the partition key of a subject's rollups.
pub(super) fn subject_partition(org: &str, subject: &Subject) -> String {
    format!("rollup#{}#{}#{}", org_part(org), subject.kind().as_str(), subject.name())
}

/// Parses the partition key and the sort key of [`ItemKey::rollup`].
pub(super) fn parse_rollup(pk: &str, sk: &str) -> Option<RollupKey> {
    let mut parts = pk.splitn(4, '#');
    let (_, _, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let subject = Subject::parse(SubjectKind::parse(kind)?, name)?;
    let mut parts = sk.split('#');
    let (grain, start, month) = (parts.next()?, parts.next()?, parts.next()?);
    let grain = Grain::ALL.into_iter().find(|candidate| candidate.as_str() == grain)?;
    Some(RollupKey { subject, grain, start: start.parse().ok()?, month: Month::parse(month)? })
}

/// The key of a rollup in [`KIND_INDEX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexKey {
    pub(super) gpk: String,
    pub(super) gsk: String,
}

impl IndexKey {
    /// Returns the key of a rollup in the index, or `None` if the index does not hold it.
    pub(super) fn rollup(org: &str, key: &RollupKey) -> Option<Self> {
        let kind = key.subject.kind();
        is_indexed(kind, key.grain).then(|| IndexKey {
            gpk: index_partition(org, kind, key.grain, key.start),
            gsk: format!("{}#{}#{}", key.start, key.month, key.subject.name()),
        })
    }
}

/// Returns whether the index holds rollups of that kind and grain: those that listings read.
pub(super) fn is_indexed(kind: SubjectKind, grain: Grain) -> bool {
    let kind_is_listed = match kind {
        SubjectKind::Repo | SubjectKind::Member => true,
        // There is one subject of this kind, and one query on the table reads its rollups.
        SubjectKind::Org => false,
    };
    let grain_is_listed = match grain {
        Grain::Day | Grain::Month => true,
        Grain::Week => false,
    };
    kind_is_listed && grain_is_listed
}

/// Returns the partition key in the index. A partition holds one month of days, or one year of months.
fn index_partition(org: &str, kind: SubjectKind, grain: Grain, day: NaiveDate) -> String {
    let period = match grain {
        Grain::Month => format!("{:04}", day.year()),
        Grain::Day | Grain::Week => Month::of(day).to_string(),
    };
    format!("rollup#{}#{}#{}#{period}", org_part(org), kind.as_str(), grain.as_str())
}

/// Returns the partition keys in the index for buckets that start in `[from, to)`.
pub(super) fn index_partitions(
    org: &str,
    kind: SubjectKind,
    grain: Grain,
    from: NaiveDate,
    to: NaiveDate,
) -> Vec<String> {
    let mut partitions = Vec::new();
    let mut month = Month::of(from);
    while from < to && month.first_day() < to {
        let partition = index_partition(org, kind, grain, month.first_day());
        if partitions.last() != Some(&partition) {
            partitions.push(partition);
        }
        month = Month::of(month.end());
    }
    partitions
}

#[cfg(test)]
mod tests {
    use gam_store::KeyPart;

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn rollup_keys_survive_a_round_trip() {
        for name in ["ann", "a#b", "~00ff", "x%23y"] {
            let start = day("2024-01-29");
            let key = RollupKey {
                subject: Subject::member(name),
                grain: Grain::Week,
                start,
                month: Month::parse("2024-02").unwrap(),
            };
            let item_key = ItemKey::rollup("a#b%", &key);
            assert_eq!(item_key.sk, "week#2024-01-29#2024-02");
            assert_eq!(parse_rollup(&item_key.pk, &item_key.sk), Some(key));
        }
        assert_eq!(parse_rollup("rollup#a#member", "day#2024-01-01#2024-01"), None);
        assert_eq!(parse_rollup("rollup#a#member#ann", "day#2024-01-01"), None);
    }

    #[test]
    fn ids_sort_as_numbers() {
        let sk = |id| ItemKey::name("acme", NameKind::Repo, id).sk;
        assert!(sk(9) < sk(10) && sk(10) < sk(i64::MAX));
        assert_eq!(parse_id(&sk(42)), Some(42));
    }

    #[test]
    fn a_range_reads_the_partitions_of_its_months_or_years() {
        let partitions = |grain, from, to| {
            let partitions = index_partitions("acme", SubjectKind::Member, grain, day(from), day(to));
            partitions.iter().map(|p| p.rsplit('#').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(partitions(Grain::Day, "2024-12-31", "2025-02-01"), ["2024-12", "2025-01"]);
        assert_eq!(partitions(Grain::Day, "2024-12-31", "2025-02-02"), ["2024-12", "2025-01", "2025-02"]);
        assert_eq!(partitions(Grain::Month, "2024-03-01", "2025-02-01"), ["2024", "2025"]);
        assert_eq!(partitions(Grain::Day, "2024-03-01", "2024-03-01"), Vec::<String>::new());
        assert_eq!(partitions(Grain::Day, "2024-03-02", "2024-03-01"), Vec::<String>::new());
    }

    /// Tables that exist are found under these keys.
    #[test]
    fn the_layout_of_the_table_never_changes() {
        let (org, month) = ("Acme#Works", Month::parse("2024-02").unwrap());
        let mut lines = Vec::new();
        let mut note = |what: &str, key: ItemKey| lines.push(format!("{what:<34} {} | {}", key.pk, key.sk));
        note("registered", ItemKey::registered(org));
        note("all_registered", ItemKey::all_registered());
        note("marker", ItemKey::marker(org, month));
        note("markers", ItemKey::markers(org));
        for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
            note("name", ItemKey::name(org, kind, 42));
            note("names", ItemKey::names(org, kind));
        }
        note("checkpoint of the organization", ItemKey::checkpoint(&CheckpointKey::Org(org.to_owned())));
        note("checkpoint of a repository", ItemKey::checkpoint(&CheckpointKey::Repo(org.to_owned(), 42)));
        note("repo_checkpoints", ItemKey::repo_checkpoints(org));
        let subjects = [Subject::Org, Subject::Repo(42), Subject::member("Ann")];
        for (subject, grain) in subjects.iter().zip(Grain::ALL) {
            let key = RollupKey { subject: subject.clone(), grain, start: day("2024-01-29"), month };
            note("rollup", ItemKey::rollup(org, &key));
        }
        for (org, kind) in [(Some(org), RecordKind::Claim), (None, RecordKind::Token)] {
            let parts = [KeyPart::Number(42), KeyPart::Text("x#y")];
            note("record", ItemKey::record(&RecordKey::new(org, kind, &parts).unwrap()));
        }
        lines.push(format!("index {KIND_INDEX}"));
        for kind in SubjectKind::ALL {
            for grain in Grain::ALL {
                lines.push(format!("  {}", index_partition(org, kind, grain, day("2024-01-29"))));
            }
        }
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_keys", lines.join("\n"));
        });
    }

    #[test]
    fn index_keys_are_in_the_partition_that_a_listing_reads() {
        let start = day("2024-01-31");
        let subject = Subject::member("ann");
        for (grain, gpk) in
            [(Grain::Day, "rollup#acme#member#day#2024-01"), (Grain::Month, "rollup#acme#member#month#2024")]
        {
            let key = RollupKey { subject: subject.clone(), grain, start, month: Month::of(start) };
            let index_key = IndexKey::rollup("Acme", &key).unwrap();
            assert_eq!((index_key.gpk.as_str(), index_key.gsk.as_str()), (gpk, "2024-01-31#2024-01#ann"));
            let next_day = day("2024-02-01");
            assert_eq!(index_partitions("acme", SubjectKind::Member, grain, start, next_day), [gpk]);
        }
    }
}
