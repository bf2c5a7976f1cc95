//! Checks of range reads, of one subject and of all subjects of a kind.

use chrono::NaiveDate;
use gam_model::Grain;

use super::{NEIGHBOURS, ORG, ORG_OTHER_CASE, UNUSUAL_NAMES, day, key, month, rollup, stored};
use crate::keys::{RollupKey, Subject, SubjectKind};
use crate::port::{RollupStore, StoredRollup};

async fn put<S: RollupStore>(store: &S, org: &str, keys: &[RollupKey]) {
    let rollups: Vec<_> = keys.iter().map(|key| (key.clone(), named_after(org, key))).collect();
    let outcome = store.put(org, &rollups).await.expect("put");
    assert_eq!(outcome.refused, 0, "an empty store refuses nothing");
}

/// Returns a rollup whose body names its organization and key.
fn named_after(org: &str, key: &RollupKey) -> StoredRollup {
    rollup(1, 1, format!("{org} {key:?}"))
}

fn only_keys(rollups: Vec<(RollupKey, StoredRollup)>) -> Vec<RollupKey> {
    for (key, rollup) in &rollups {
        assert!(rollup.body.ends_with(&format!("{key:?}")), "{:?} was read as {key:?}", rollup.body);
    }
    rollups.into_iter().map(|(key, _)| key).collect()
}

pub(super) async fn check_bounds<S: RollupStore>(store: &S) {
    let ann = || Subject::member("ann");
    let range = async |grain, from: NaiveDate, to: NaiveDate| {
        only_keys(store.range(ORG, &ann(), grain, from, to).await.expect("range"))
    };
    assert_eq!(range(Grain::Day, day("2024-01-01"), day("2025-01-01")).await, [], "an empty store");

    // A day, a week and a month start on 1 January 2024. The week of 29 January is stored in two parts.
    let days = ["2023-12-31", "2024-01-01", "2024-01-02", "2024-01-10", "2024-01-31", "2024-02-01"]
        .map(|start| key(ann(), Grain::Day, start));
    let part = RollupKey { month: month("2024-02"), ..key(ann(), Grain::Week, "2024-01-29") };
    let weeks = [
        key(ann(), Grain::Week, "2024-01-01"),
        key(ann(), Grain::Week, "2024-01-29"),
        part.clone(),
        key(ann(), Grain::Week, "2024-02-05"),
    ];
    let months =
        ["2023-12-01", "2024-01-01", "2024-02-01", "2024-10-01"].map(|start| key(ann(), Grain::Month, start));
    let mut all = [days.as_slice(), &weeks, &months].concat();
    all.reverse();
    put(store, ORG, &all).await;

    let (first, last) = (gam_model::period::FIRST_DAY, gam_model::period::LAST_DAY);
    for (grain, keys) in [(Grain::Day, &days[..]), (Grain::Week, &weeks), (Grain::Month, &months)] {
        assert_eq!(range(grain, first, last).await, keys, "every {} in key order", grain.as_str());
    }
    let january = range(Grain::Day, day("2024-01-01"), day("2024-01-31")).await;
    assert_eq!(january, days[1..4], "a range includes its first day and excludes its end");
    assert_eq!(
        range(Grain::Day, day("2024-01-03"), day("2024-01-10")).await,
        [],
        "a range between two buckets"
    );
    let one = range(Grain::Day, day("2024-01-10"), day("2024-01-11")).await;
    assert_eq!(one, days[3..4], "a range of one day");
    assert_eq!(range(Grain::Day, day("2024-01-10"), day("2024-01-10")).await, [], "an empty range");
    assert_eq!(range(Grain::Day, day("2024-02-01"), day("2024-01-01")).await, [], "an inverted range");
    let split = range(Grain::Week, day("2024-01-29"), day("2024-02-05")).await;
    assert_eq!(split, weeks[1..3], "both parts of a week that spans two months, in order of their months");
    let second = stored(store, ORG, &part).await;
    assert_eq!(second, Some(named_after(ORG, &part)), "the second part of a week is separate from the first");
}

pub(super) async fn check_subjects_are_separate<S: RollupStore>(store: &S) {
    let repos = [1, 12, 123, 2, 9_007_199_254_740_993, i64::MAX];
    let mut subjects = vec![Subject::Org];
    subjects.extend(repos.map(Subject::Repo));
    subjects.extend(UNUSUAL_NAMES.map(Subject::member));
    let starts = ["2024-01-01", "2024-02-01"];
    let keys_of = |subject: &Subject| starts.map(|start| key(subject.clone(), Grain::Month, start));
    let all: Vec<_> = subjects.iter().flat_map(keys_of).collect();
    put(store, ORG, &all).await;

    for subject in &subjects {
        let rollups = store
            .range(ORG, subject, Grain::Month, day("2024-01-01"), day("2025-01-01"))
            .await
            .expect("range");
        assert_eq!(only_keys(rollups), keys_of(subject), "all rollups of {subject:?} and no others");
    }
    for kind in SubjectKind::ALL {
        let list = async |grain, from, to| {
            let rollups = store.range_of_kind(ORG, kind, grain, from, to).await.expect("range_of_kind");
            let mut keys = only_keys(rollups);
            keys.sort();
            keys
        };
        let mut expected: Vec<_> = all
            .iter()
            .filter(|key| key.subject.kind() == kind && key.start == day("2024-01-01"))
            .cloned()
            .collect();
        expected.sort();
        let january = list(Grain::Month, day("2024-01-01"), day("2024-02-01")).await;
        assert_eq!(january, expected, "{kind:?} in January");
        let both = list(Grain::Month, day("2023-01-01"), day("2024-02-02")).await;
        assert_eq!(both.len(), expected.len() * 2, "{kind:?} in both months");
        assert_eq!(list(Grain::Day, day("2024-01-01"), day("2025-01-01")).await, [], "{kind:?} by day");
        assert_eq!(list(Grain::Month, day("2024-02-02"), day("2025-01-01")).await, [], "{kind:?} later");
        assert_eq!(list(Grain::Month, day("2024-02-01"), day("2024-01-01")).await, [], "{kind:?} inverted");
    }
}

pub(super) async fn check_orgs_are_separate<S: RollupStore>(store: &S) {
    let key = key(Subject::Org, Grain::Day, "2024-01-01");
    let (from, to) = (day("2024-01-01"), day("2024-01-02"));
    for org in NEIGHBOURS {
        put(store, org, std::slice::from_ref(&key)).await;
    }
    assert_eq!(stored(store, ORG, &key).await, None, "another organization's rollup");
    let listed =
        store.range_of_kind(ORG, SubjectKind::Org, Grain::Day, from, to).await.expect("range_of_kind");
    assert_eq!(listed, [], "other organizations' rollups");

    put(store, ORG_OTHER_CASE, std::slice::from_ref(&key)).await;
    let own = named_after(ORG_OTHER_CASE, &key);
    assert_eq!(stored(store, ORG, &key).await, Some(own.clone()), "the case of the organization's login");
    let listed =
        store.range_of_kind(ORG, SubjectKind::Org, Grain::Day, from, to).await.expect("range_of_kind");
    assert_eq!(listed, [(key.clone(), own)], "the case of the organization's login, in a listing");
    let older = store.put(ORG, &[(key.clone(), rollup(1, 0, "older"))]).await.expect("put");
    assert_eq!(older.refused, 1, "the guard ignores the case of the organization's login");
    for org in NEIGHBOURS {
        assert_eq!(stored(store, org, &key).await, Some(named_after(org, &key)), "{org}");
    }
}
