//! All keys of the table, typed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{Datelike, NaiveDate};
use gam_model::{Grain, Month, RollupKey, Subject, SubjectKind};
use gam_store::NameKind;
use gam_store::keys::{CheckpointKey, org_key};

/// The index of rollups by kind.
pub const INDEX: &str = "by_kind";

/// The place of an item, or the beginning of the places of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

/// The organization as it stands in keys: `#` parts a key.
pub(super) fn org_part(org: &str) -> String {
    org_key(org).replace('%', "%25").replace('#', "%23")
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Key { pk, sk: sk.into() }
    }

    pub(super) fn registered(org: &str) -> Self {
        Key::new("orgs".to_owned(), format!("org#{}", org_key(org)))
    }

    pub(super) fn all_registered() -> Self {
        Key::new("orgs".to_owned(), "org#")
    }

    pub(super) fn marker(org: &str, month: Month) -> Self {
        Key::new(format!("org#{}", org_part(org)), format!("marker#{month}"))
    }

    pub(super) fn markers(org: &str) -> Self {
        Key::new(format!("org#{}", org_part(org)), "marker#")
    }

    /// Ids are written with all their digits, so that their order is that of the numbers.
    pub(super) fn name(org: &str, kind: NameKind, id: i64) -> Self {
        Key::new(format!("org#{}", org_part(org)), format!("name#{}#{id:020}", kind.as_str()))
    }

    pub(super) fn names(org: &str, kind: NameKind) -> Self {
        Key::new(format!("org#{}", org_part(org)), format!("name#{}#", kind.as_str()))
    }

    pub(super) fn checkpoint(key: &CheckpointKey) -> Self {
        let sk = match key {
            CheckpointKey::Org(_) => "org".to_owned(),
            CheckpointKey::Repo(_, id) => format!("repo#{id:020}"),
        };
        Key::new(format!("checkpoint#{}", org_part(&key.org())), sk)
    }

    pub(super) fn repo_checkpoints(org: &str) -> Self {
        Key::new(format!("checkpoint#{}", org_part(org)), "repo#")
    }

    pub(super) fn rollup(org: &str, key: &RollupKey) -> Self {
        Key::new(subject(org, &key.subject), format!("{}#{}#{}", key.grain.as_str(), key.start, key.month))
    }

    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    /// The condition of a query for everything of the partition whose sort key begins so.
    pub(super) fn condition(&self) -> &'static str {
        if self.sk.is_empty() { "pk = :pk" } else { "pk = :pk AND begins_with(sk, :sk)" }
    }

    /// The values of that condition: DynamoDB takes neither an empty one nor one that is not named.
    pub(super) fn values(&self) -> HashMap<String, AttributeValue> {
        let all = [(":pk", &self.pk), (":sk", &self.sk)].into_iter().filter(|(_, value)| !value.is_empty());
        all.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.clone()))).collect()
    }
}

/// The organization, in lower case, that [`Key::registered`] wrote.
pub(super) fn org_of(sk: &str) -> Option<&str> {
    sk.strip_prefix("org#")
}

/// The id that [`Key::name`] or [`Key::checkpoint`] wrote.
pub(super) fn id_of(sk: &str) -> Option<i64> {
    sk.rsplit('#').next()?.parse().ok()
}

/// The partition of a subject's rollups.
pub(super) fn subject(org: &str, subject: &Subject) -> String {
    format!("rollup#{}#{}#{}", org_part(org), subject.kind().as_str(), subject.name())
}

/// The rollup's key, from the partition and the sort key that [`Key::rollup`] wrote.
pub(super) fn parse_rollup(pk: &str, sk: &str) -> Option<RollupKey> {
    let mut parts = pk.splitn(4, '#');
    let (_, _, kind, name) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let subject = Subject::parse(SubjectKind::parse(kind)?, name)?;
    let mut parts = sk.split('#');
    let (grain, start, month) = (parts.next()?, parts.next()?, parts.next()?);
    let grain = Grain::ALL.into_iter().find(|known| known.as_str() == grain)?;
    Some(RollupKey { subject, grain, start: start.parse().ok()?, month: Month::parse(month)? })
}

/// The stretch of time that a rollup's partition of the index holds: months by year, all else by month.
fn stretch(grain: Grain, day: NaiveDate) -> String {
    match grain {
        Grain::Month => format!("{:04}", day.year()),
        Grain::Day | Grain::Week => Month::of(day).to_string(),
    }
}

/// The partition of the index that holds the rollup.
pub(super) fn index_partition(org: &str, kind: SubjectKind, grain: Grain, day: NaiveDate) -> String {
    format!("rollup#{}#{}#{}#{}", org_part(org), kind.as_str(), grain.as_str(), stretch(grain, day))
}

/// The partitions of the index that meet `[from, to)`.
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
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn rollup_keys_survive_being_written() {
        for name in ["ann", "a#b", "~00ff", "x%23y"] {
            let start = day("2024-01-29");
            let key = RollupKey {
                subject: Subject::member(name),
                grain: Grain::Week,
                start,
                month: Month::parse("2024-02").unwrap(),
            };
            let written = Key::rollup("a#b%", &key);
            assert_eq!(written.sk, "week#2024-01-29#2024-02");
            assert_eq!(parse_rollup(&written.pk, &written.sk), Some(key));
        }
        assert_eq!(parse_rollup("rollup#a#member", "day#2024-01-01#2024-01"), None);
        assert_eq!(parse_rollup("rollup#a#member#ann", "day#2024-01-01"), None);
    }

    #[test]
    fn ids_are_ordered_as_numbers() {
        let sk = |id| Key::name("acme", NameKind::Repo, id).sk;
        assert!(sk(9) < sk(10) && sk(10) < sk(i64::MAX));
        assert_eq!(id_of(&sk(42)), Some(42));
    }

    #[test]
    fn a_range_meets_the_partitions_of_its_months_or_years() {
        let partitions = |grain, from, to| {
            let found = index_partitions("acme", SubjectKind::Member, grain, day(from), day(to));
            found.iter().map(|p| p.rsplit('#').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(partitions(Grain::Day, "2024-12-31", "2025-02-01"), ["2024-12", "2025-01"]);
        assert_eq!(partitions(Grain::Day, "2024-12-31", "2025-02-02"), ["2024-12", "2025-01", "2025-02"]);
        assert_eq!(partitions(Grain::Month, "2024-03-01", "2025-02-01"), ["2024", "2025"]);
        assert_eq!(partitions(Grain::Day, "2024-03-01", "2024-03-01"), Vec::<String>::new());
        assert_eq!(partitions(Grain::Day, "2024-03-02", "2024-03-01"), Vec::<String>::new());
    }
}
