//! All keys of the table, typed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use gam_model::{Month, WeekOfMonth};
use gam_store::keys::{CheckpointKey, RecordKey, RecordKind, org_key};
use gam_store::{Epoch, ItemClass, ItemKey, NameKind, SubjectKind};

/// The primary key of an item, or of all items of a partition whose sort key starts with `sk`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TableKey {
    pub(super) pk: String,
    pub(super) sk: String,
}

/// Returns a text as a part of a key, with `#` escaped because it separates the parts.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('#', "%23")
}

/// Returns the organization as a part of a key.
fn org_part(org: &str) -> String {
    escaped(&org_key(org))
}

impl TableKey {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        TableKey { pk, sk: sk.into() }
    }

    pub(super) fn registered(org: &str) -> Self {
        TableKey::new("orgs".to_owned(), format!("org#{}", org_key(org)))
    }

    pub(super) fn all_registered() -> Self {
        TableKey::new("orgs".to_owned(), "org#")
    }

    /// Epochs have leading zeros, so that one is no prefix of another.
    pub(super) fn marker(org: &str, epoch: Epoch, month: Month) -> Self {
        let Epoch(epoch) = epoch;
        TableKey::new(format!("org#{}", org_part(org)), format!("marker#{epoch:020}#{month}"))
    }

    pub(super) fn markers(org: &str, epoch: Epoch) -> Self {
        let Epoch(epoch) = epoch;
        TableKey::new(format!("org#{}", org_part(org)), format!("marker#{epoch:020}#"))
    }

    /// Ids have leading zeros, so that they sort as numbers do.
    pub(super) fn name(org: &str, kind: NameKind, id: i64) -> Self {
        TableKey::new(format!("org#{}", org_part(org)), format!("name#{}#{id:020}", kind.as_str()))
    }

    pub(super) fn names(org: &str, kind: NameKind) -> Self {
        TableKey::new(format!("org#{}", org_part(org)), format!("name#{}#", kind.as_str()))
    }

    pub(super) fn checkpoint(key: &CheckpointKey) -> Self {
        let sk = match key {
            CheckpointKey::Org(_) => "org".to_owned(),
            CheckpointKey::Head(_) => "head".to_owned(),
            CheckpointKey::Repo(_, id) => format!("repo#{id:020}"),
        };
        TableKey::new(format!("checkpoint#{}", org_part(&key.org())), sk)
    }

    pub(super) fn repo_checkpoints(org: &str) -> Self {
        TableKey::new(format!("checkpoint#{}", org_part(org)), "repo#")
    }

    pub(super) fn record(key: &RecordKey) -> Self {
        TableKey::new(record_partition(key.org(), key.kind()), key.sort())
    }

    pub(super) fn item(org: &str, epoch: Epoch, key: &ItemKey) -> Self {
        let sk = match key.class {
            ItemClass::Breakdown(_) => format!("{}#{}", key.month, key.week.number()),
            ItemClass::Days(_) | ItemClass::List(_) => key.month.to_string(),
        };
        TableKey::new(item_partition(org, epoch, &key.class), sk)
    }

    /// Returns the key of a part of an item's body. Parts are in partitions of their own, so that reads of items
    /// do not return them.
    pub(super) fn part(org: &str, epoch: Epoch, key: &ItemKey, parts: &PartsKey, number: usize) -> Self {
        let PartsKey { generation, id } = parts;
        let sk = format!("{}#{generation:020}#{id}#{number:04}", part_owner(key));
        TableKey::new(TableKey::parts(org, epoch, key.month).pk, sk)
    }

    /// Returns the key of all parts of a month.
    pub(super) fn parts(org: &str, epoch: Epoch, month: Month) -> Self {
        let Epoch(epoch) = epoch;
        TableKey::new(format!("parts#{}#{epoch}#{month}", org_part(org)), "")
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

/// All partitions of an organization.
pub(super) struct OrgPartitions {
    /// Partition keys, and what others start with.
    keys: [String; 2],
    prefixes: [String; 3],
}

impl OrgPartitions {
    pub(super) fn new(org: &str) -> Self {
        let org = org_part(org);
        OrgPartitions {
            keys: [format!("org#{org}"), format!("checkpoint#{org}")],
            // Another organization's part differs before the `#`.
            prefixes: ["items", "parts", "record"].map(|kind| format!("{kind}#{org}#")),
        }
    }

    /// Returns the condition of a filter for the items of these partitions.
    pub(super) fn condition(&self) -> &'static str {
        "pk IN (:k0, :k1) OR begins_with(pk, :p0) OR begins_with(pk, :p1) OR begins_with(pk, :p2)"
    }

    /// Returns the values of that condition.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, &String)> {
        let keys = self.keys.iter().enumerate().map(|(n, key)| (format!(":k{n}"), key));
        keys.chain(self.prefixes.iter().enumerate().map(|(n, prefix)| (format!(":p{n}"), prefix)))
    }
}

/// Parses the sort key of [`TableKey::registered`], and returns the organization in lower case.
pub(super) fn parse_org(sk: &str) -> Option<&str> {
    sk.strip_prefix("org#")
}

/// Parses the id in the sort key of [`TableKey::name`] or [`TableKey::checkpoint`].
pub(super) fn parse_id(sk: &str) -> Option<i64> {
    sk.rsplit('#').next()?.parse().ok()
}

/// Returns the partition key of an organization's records of a kind.
pub(super) fn record_partition(org: &str, kind: RecordKind) -> String {
    format!("record#{}#{}", org_part(org), kind.as_str())
}

/// Identifies the parts of one write of an item, so that no two writes share a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartsKey {
    /// The generation of the item.
    pub(super) generation: u64,
    /// A random text.
    pub(super) id: String,
}

/// Returns the partition key of the items of a class.
pub(super) fn item_partition(org: &str, epoch: Epoch, class: &ItemClass) -> String {
    let (Epoch(epoch), kind) = (epoch, class.kind().as_str());
    format!("items#{}#{epoch}#{}#{kind}#{}", org_part(org), class.as_str(), class.name())
}

/// Returns what the partitions of an epoch's items start with.
pub(super) fn item_partitions(org: &str, Epoch(epoch): Epoch) -> String {
    format!("items#{}#{epoch}#", org_part(org))
}

/// Returns the bounds, both included, of the sort keys of a class's items from one month to another.
pub(super) fn item_bounds(first: Month, last: Month) -> (String, String) {
    // Weeks follow the month and a `#`. Their digits are smaller than `~`.
    (first.to_string(), format!("{last}#~"))
}

/// Returns the bounds of the sort keys of an item's parts of generations before this one.
pub(super) fn older_part_bounds(key: &ItemKey, generation: u64) -> (String, String) {
    // The keys of the parts of `generation` itself are longer, so they are greater.
    let owner = part_owner(key);
    (format!("{owner}#"), format!("{owner}#{generation:020}"))
}

/// Parses the partition key and the sort key of [`TableKey::item`].
pub(super) fn parse_item(pk: &str, sk: &str) -> Option<ItemKey> {
    let mut parts = pk.splitn(6, '#').skip(3);
    let (class, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    let class = ItemClass::parse(class, SubjectKind::parse(kind)?, name)?;
    let (month, week) = match sk.split_once('#') {
        Some((month, week)) => (month, WeekOfMonth::new(week.parse().ok()?)?),
        None => (sk, WeekOfMonth::FIRST),
    };
    Some(ItemKey { class, month: Month::parse(month)?, week })
}

/// Parses the sort key of [`TableKey::marker`].
pub(super) fn parse_marker_month(sk: &str) -> Option<Month> {
    Month::parse(sk.rsplit('#').next()?)
}

/// Returns what the sort keys of an item's parts start with.
pub(super) fn part_owner(key: &ItemKey) -> String {
    let (class, kind, name) = (key.class.as_str(), key.class.kind().as_str(), escaped(&key.class.name()));
    format!("{class}#{kind}#{}#{name}", key.week.number())
}

/// Returns [`part_owner`] of the item that a part belongs to, from the sort key of [`TableKey::part`].
pub(super) fn parse_part_owner(sk: &str) -> Option<&str> {
    sk.rsplitn(4, '#').nth(3)
}

#[cfg(test)]
mod tests {
    use gam_store::{KeyPart, Subject};

    use super::*;

    fn month(text: &str) -> Month {
        Month::parse(text).unwrap()
    }

    fn breakdown(name: &str, week: u8) -> ItemKey {
        ItemKey::breakdown(Subject::member(name), month("2024-02"), WeekOfMonth::new(week).unwrap())
    }

    const EPOCH: Epoch = Epoch(12);

    #[test]
    fn item_keys_survive_a_round_trip() {
        let mut keys: Vec<_> = ["ann", "a#b", "~00ff", "x%23y", ""].map(|name| breakdown(name, 4)).to_vec();
        for subject in [Subject::Org, Subject::Repo(42), Subject::member("ann#1")] {
            keys.push(ItemKey::new(ItemClass::List(subject.kind()), month("2024-02")));
            keys.push(ItemKey::new(ItemClass::Days(subject), month("9998-12")));
        }
        for key in keys {
            let table_key = TableKey::item("a#b%", EPOCH, &key);
            assert_eq!(parse_item(&table_key.pk, &table_key.sk), Some(key));
        }
        assert_eq!(parse_item("items#a#1#days#member", "2024-01"), None);
        assert_eq!(parse_item("items#a#1#days#repo#ann", "2024-01"), None);
        assert_eq!(parse_item("items#a#1#days#repo#1", "2024-13"), None);
        assert_eq!(parse_item("items#a#1#breakdown#repo#1", "2024-12#5"), None);
    }

    #[test]
    fn bounds_include_every_week_of_the_first_and_last_month_and_no_other_month() {
        let (from, to) = item_bounds(month("2024-02"), month("2024-11"));
        let sk = |text: &str, week| {
            let subject = Subject::Repo(1);
            let week = WeekOfMonth::new(week).unwrap();
            TableKey::item("acme", EPOCH, &ItemKey::breakdown(subject, month(text), week)).sk
        };
        for (text, is_inside) in
            [("2024-01", false), ("2024-02", true), ("2024-10", true), ("2024-11", true), ("2024-12", false)]
        {
            for week in 0..WeekOfMonth::COUNT {
                let sk = sk(text, week);
                assert_eq!(from <= sk && sk <= to, is_inside, "{sk}");
            }
            let days = ItemKey::new(ItemClass::Days(Subject::Org), month(text));
            let sk = TableKey::item("acme", EPOCH, &days).sk;
            assert_eq!(from <= sk && sk <= to, is_inside, "{sk}");
        }
        let (from, to) = item_bounds(month("2024-03"), month("2024-02"));
        assert!(from > to, "DynamoDB rejects inverted bounds, so nothing sends them");
    }

    #[test]
    fn a_part_belongs_to_one_item() {
        let parts = PartsKey { generation: 7, id: "0a".to_owned() };
        for name in ["ann", "ann#1", "ann%231", "#", ""] {
            for week in [0, 4] {
                let key = breakdown(name, week);
                let part = TableKey::part("acme", EPOCH, &key, &parts, 3);
                assert_eq!(part.pk, TableKey::parts("acme", EPOCH, month("2024-02")).pk);
                assert_eq!(parse_part_owner(&part.sk), Some(&*part_owner(&key)));
            }
        }
        assert_ne!(part_owner(&breakdown("ann#1", 0)), part_owner(&breakdown("ann%231", 0)));
        assert_eq!(parse_part_owner("a#b#c"), None);
    }

    #[test]
    fn older_parts_are_those_of_the_same_item_and_earlier_generations() {
        let part = |key: &ItemKey, generation| {
            let parts = PartsKey { generation, id: "ff".to_owned() };
            TableKey::part("acme", EPOCH, key, &parts, 1).sk
        };
        let key = breakdown("ann", 1);
        let (from, to) = older_part_bounds(&key, 10);
        let is_older = |sk: &String| from <= *sk && *sk <= to;
        assert!(is_older(&part(&key, 0)) && is_older(&part(&key, 2)) && is_older(&part(&key, 9)));
        assert!(!is_older(&part(&key, 10)) && !is_older(&part(&key, 11)) && !is_older(&part(&key, 1 << 40)));
        for other in [breakdown("ann", 0), breakdown("an", 1), breakdown("ann#1", 1), breakdown("annb", 1)] {
            assert!(!is_older(&part(&other, 2)), "{other:?}");
        }
    }

    #[test]
    fn ids_and_epochs_sort_as_numbers() {
        let sk = |id| TableKey::name("acme", NameKind::Repo, id).sk;
        assert!(sk(9) < sk(10) && sk(10) < sk(i64::MAX));
        assert_eq!(parse_id(&sk(42)), Some(42));
        let marker = TableKey::marker("acme", Epoch(7), month("2024-02")).sk;
        assert_eq!(parse_marker_month(&marker), Some(month("2024-02")));
        assert!(marker.starts_with(&TableKey::markers("acme", Epoch(7)).sk));
        assert!(!marker.starts_with(&TableKey::markers("acme", Epoch(0)).sk));
        let oldest = "marker#2024-02";
        assert!(!oldest.starts_with(&TableKey::markers("acme", Epoch(2)).sk), "markers without an epoch");
    }

    /// Tables that exist are found under these keys.
    #[test]
    fn the_layout_of_the_table_never_changes() {
        let (org, month) = ("Acme#Works", month("2024-02"));
        let mut lines = Vec::new();
        let mut note = |what: &str, key: TableKey| lines.push(format!("{what:<34} {} | {}", key.pk, key.sk));
        note("registered", TableKey::registered(org));
        note("all_registered", TableKey::all_registered());
        note("marker", TableKey::marker(org, EPOCH, month));
        note("markers", TableKey::markers(org, EPOCH));
        for kind in [NameKind::Org, NameKind::Repo, NameKind::Member] {
            note("name", TableKey::name(org, kind, 42));
            note("names", TableKey::names(org, kind));
        }
        for (org, kind) in [(Some(org), RecordKind::Claim), (None, RecordKind::Token)] {
            let parts = [KeyPart::Number(42), KeyPart::Text("x#y")];
            note("record", TableKey::record(&RecordKey::new(org, kind, &parts).unwrap()));
        }
        note("checkpoint of the organization", TableKey::checkpoint(&CheckpointKey::Org(org.to_owned())));
        note("head of the organization", TableKey::checkpoint(&CheckpointKey::Head(org.to_owned())));
        note("checkpoint of a repository", TableKey::checkpoint(&CheckpointKey::Repo(org.to_owned(), 42)));
        note("repo_checkpoints", TableKey::repo_checkpoints(org));
        let parts = PartsKey { generation: 7, id: "00ff".to_owned() };
        for subject in [Subject::Org, Subject::Repo(42), Subject::member("Ann#1")] {
            let list = ItemKey::new(ItemClass::List(subject.kind()), month);
            let days = ItemKey::new(ItemClass::Days(subject.clone()), month);
            let week = ItemKey::breakdown(subject, month, WeekOfMonth::new(3).unwrap());
            for key in [list, days, week] {
                note("item", TableKey::item(org, EPOCH, &key));
                note("  part", TableKey::part(org, EPOCH, &key, &parts, 1));
            }
        }
        lines.push(format!("all parts of a month: {}", TableKey::parts(org, EPOCH, month).pk));
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!("dynamodb_keys", lines.join("\n"));
        });
    }
}
