//! Checks of records, one caller at a time.

use chrono::{DateTime, TimeDelta, Utc};

use super::{NEIGHBOURS, ORG, ORG_OTHER_CASE, UNUSUAL_NAMES, unusual_bodies};
use crate::error::Error;
use crate::keys::KeyPart::{Number, Text};
use crate::keys::{KeyPart, RecordKey, RecordKind, RecordRange};
use crate::record::{
    CommitOutcome, Expectation, MAX_COMMIT_BYTES, MAX_COMMIT_WRITES, MAX_RECORD_BYTES, Record, RecordCommit,
    RecordCommitId, RecordStore,
};

use CommitOutcome::{Committed, Conflict};
use Expectation::{Absent, Any, Revision};

/// Returns the time at which most checks happen, in the middle of a second.
pub(super) fn noon() -> DateTime<Utc> {
    "2026-01-02T12:00:00.5Z".parse().expect("a time")
}

fn key_of(org: Option<&str>, kind: RecordKind, parts: &[KeyPart<'_>]) -> RecordKey {
    RecordKey::new(org, kind, parts).expect("a key")
}

/// Returns the key of a claim in [`ORG`].
pub(super) fn claim(number: u64) -> RecordKey {
    key_of(Some(ORG), RecordKind::Claim, &[Number(number)])
}

/// Returns all records of a kind in [`ORG`].
pub(super) fn all(kind: RecordKind) -> RecordRange {
    RecordRange::new(Some(ORG), kind, &[]).expect("a range")
}

pub(super) fn new_commit() -> RecordCommit {
    RecordCommit::new(RecordCommitId::random())
}

pub(super) async fn get<S: RecordStore>(store: &S, key: &RecordKey) -> Option<Record> {
    store.get(key, noon()).await.expect("get")
}

pub(super) async fn commit<S: RecordStore>(store: &S, commit: &RecordCommit) -> CommitOutcome {
    store.commit(commit, noon()).await.expect("commit")
}

/// Stores a record whatever is there, and returns its revision.
pub(super) async fn put<S: RecordStore>(store: &S, key: &RecordKey, body: &str) -> RecordCommitId {
    let write = new_commit().put(key.clone(), body, Any);
    assert_eq!(commit(store, &write).await, Committed, "a write without an expectation");
    write.id()
}

async fn keys_in<S: RecordStore>(store: &S, range: &RecordRange, limit: usize) -> Vec<RecordKey> {
    let records = store.range(range, limit, noon()).await.expect("range");
    records.into_iter().map(|(key, _)| key).collect()
}

pub(super) async fn check_expectations<S: RecordStore>(store: &S) {
    let (absent, live, expired) = (claim(1), claim(2), claim(3));
    let other = RecordCommitId::random();
    let first = put(store, &live, "first").await;
    let long_ago = new_commit().put_until(expired.clone(), "expired", noon(), Any);
    assert_eq!(commit(store, &long_ago).await, Committed);
    assert_eq!(get(store, &absent).await, None, "nothing was stored");
    let record = Record { revision: first, expires: None, body: "first".to_owned() };
    assert_eq!(get(store, &live).await, Some(record.clone()), "a record is read as it was written");
    assert_eq!(get(store, &expired).await, None, "an expired record");

    for (key, expectation) in [
        (&absent, Revision(other)),
        (&expired, Revision(long_ago.id())),
        (&live, Absent),
        (&live, Revision(other)),
    ] {
        let writes = [
            new_commit().put(key.clone(), "refused", expectation),
            new_commit().delete(key.clone(), expectation),
            new_commit().check(key.clone(), expectation),
        ];
        for write in writes {
            assert_eq!(commit(store, &write).await, Conflict(vec![0]), "{write:?}");
        }
    }
    assert_eq!(get(store, &live).await, Some(record), "a conflict changes nothing");
    assert_eq!(get(store, &absent).await, None, "a conflict writes nothing");

    let checks = new_commit()
        .check(absent.clone(), Absent)
        .check(expired.clone(), Absent)
        .check(live.clone(), Revision(first))
        .check(claim(4), Any);
    assert_eq!(commit(store, &checks).await, Committed, "all expectations hold");
    assert_eq!(get(store, &live).await.map(|record| record.revision), Some(first), "a check changes nothing");

    let second = new_commit()
        .put(live.clone(), "second", Revision(first))
        .put(absent.clone(), "new", Absent)
        .put(expired.clone(), "new", Absent);
    assert_eq!(commit(store, &second).await, Committed);
    for key in [&live, &absent, &expired] {
        let revision = get(store, key).await.map(|record| record.revision);
        assert_eq!(revision, Some(second.id()), "the revision is the commit that wrote the record: {key:?}");
    }

    let delete = new_commit()
        .delete(live.clone(), Revision(second.id()))
        .delete(absent.clone(), Any)
        .delete(claim(5), Absent);
    assert_eq!(commit(store, &delete).await, Committed);
    assert_eq!(get(store, &live).await, None, "a deleted record");
    put(store, &live, "first").await;
    let stale = new_commit().put(live.clone(), "stale", Revision(first));
    assert_eq!(commit(store, &stale).await, Conflict(vec![0]), "a record written again has another revision");
    assert_eq!(commit(store, &new_commit()).await, Committed, "a commit without writes");
}

pub(super) async fn check_all_or_none<S: RecordStore>(store: &S) {
    let row = key_of(None, RecordKind::AuditRow, &[Number(1)]);
    let old = put(store, &claim(1), "old").await;
    put(store, &claim(2), "old").await;
    let mixed = new_commit()
        .put(claim(1), "changed", Revision(old))
        .put(row.clone(), "changed", Absent)
        .put(claim(3), "changed", Any)
        .delete(claim(2), Absent)
        .check(claim(4), Revision(old));
    match commit(store, &mixed).await {
        Conflict(failed) => {
            assert!(!failed.is_empty() && failed.iter().all(|index| [3, 4].contains(index)), "{failed:?}");
        }
        Committed => panic!("a commit whose expectations do not hold"),
    }
    let bodies = async |key: &RecordKey| get(store, key).await.map(|record| record.body);
    assert_eq!(bodies(&claim(1)).await.as_deref(), Some("old"), "no write of a conflict is applied");
    assert_eq!(bodies(&claim(2)).await.as_deref(), Some("old"), "no delete of a conflict is applied");
    assert_eq!(bodies(&claim(3)).await, None, "not even a write that expects nothing");
    assert_eq!(bodies(&row).await, None, "nor one of another organization");
}

pub(super) async fn check_limits<S: RecordStore>(store: &S) {
    let writes = |count: usize| {
        (0..count as u64).fold(new_commit(), |commit, n| commit.put(claim(n), n.to_string(), Absent))
    };
    let repeated_key = writes(3).delete(claim(1), Any);
    let long_body = writes(1).put(claim(9), "x".repeat(MAX_RECORD_BYTES + 1), Any);
    let many_long_bodies = (0..=MAX_COMMIT_BYTES as u64 / 350_000)
        .fold(new_commit(), |commit, n| commit.put(claim(n), "x".repeat(350_000), Any));
    for invalid in [writes(MAX_COMMIT_WRITES + 1), repeated_key, long_body, many_long_bodies] {
        let error = store.commit(&invalid, noon()).await.expect_err("an invalid commit");
        assert!(matches!(error, Error::InvalidArgument { .. }), "{error:?}");
    }
    assert_eq!(keys_in(store, &all(RecordKind::Claim), 10).await, [], "an invalid commit writes nothing");

    let full = writes(MAX_COMMIT_WRITES);
    assert_eq!(commit(store, &full).await, Committed, "the greatest number of writes");
    let stored = store.range(&all(RecordKind::Claim), 1_000, noon()).await.expect("range");
    let expected: Vec<_> = (0..MAX_COMMIT_WRITES as u64)
        .map(|n| (claim(n), Record { revision: full.id(), expires: None, body: n.to_string() }))
        .collect();
    assert_eq!(stored, expected, "all writes of a commit");

    let last = claim(MAX_COMMIT_WRITES as u64);
    let longest = incompressible(MAX_RECORD_BYTES);
    put(store, &last, &longest).await;
    assert_eq!(get(store, &last).await.map(|record| record.body), Some(longest), "the longest body");
}

/// Returns printable ASCII that compression shortens little.
fn incompressible(length: usize) -> String {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b' ' + ((state >> 33) % 95) as u8)
    };
    (0..length).map(|_| next()).collect()
}

pub(super) async fn check_expiry<S: RecordStore>(store: &S) {
    let token = key_of(None, RecordKind::Token, &[Text("a")]);
    let tokens = RecordRange::new(None, RecordKind::Token, &[]).expect("a range");
    let expires = noon() + TimeDelta::milliseconds(90_300);
    let last_second = "2026-01-02T12:01:29.999Z".parse().expect("a time");
    let expiry: DateTime<Utc> = "2026-01-02T12:01:30Z".parse().expect("a time");
    let first = new_commit().put_until(token.clone(), "body", expires, Absent);
    assert_eq!(commit(store, &first).await, Committed);
    let record = Record { revision: first.id(), expires: Some(expiry), body: "body".to_owned() };

    let read = async |now| store.get(&token, now).await.expect("get");
    let list = async |now| store.range(&tokens, 5, now).await.expect("range");
    assert_eq!(read(last_second).await, Some(record.clone()), "expiry is rounded down to seconds");
    assert_eq!(list(last_second).await, [(token.clone(), record)], "a record before its expiry");
    assert_eq!(read(expiry).await, None, "a record at its expiry");
    assert_eq!(list(expiry).await, [], "a record at its expiry");

    let second = new_commit().put(token.clone(), "second", Absent);
    let early = store.commit(&second, last_second).await.expect("commit");
    assert_eq!(early, Conflict(vec![0]), "a record before its expiry is not absent");
    assert_eq!(
        store.commit(&second, expiry).await.expect("commit"),
        Committed,
        "an expired record is absent"
    );
    let record = Record { revision: second.id(), expires: None, body: "second".to_owned() };
    assert_eq!(
        read(expiry + TimeDelta::days(400)).await,
        Some(record),
        "a put without expiry removes the old one"
    );

    let soon = new_commit().put_until(token.clone(), "third", expires, Revision(second.id()));
    assert_eq!(store.commit(&soon, noon()).await.expect("commit"), Committed);
    let renewed = expires + TimeDelta::minutes(10);
    let renewal = new_commit().put_until(token.clone(), "third", renewed, Revision(soon.id()));
    assert_eq!(store.commit(&renewal, last_second).await.expect("commit"), Committed);
    assert_eq!(read(expiry).await.map(|record| record.revision), Some(renewal.id()), "a renewed record");
}

pub(super) async fn check_pages<S: RecordStore>(store: &S) {
    let row = |repo, number| key_of(Some(ORG), RecordKind::Claim, &[Number(repo), Number(number)]);
    // Out of order, and with neighbours on both sides of the prefix.
    let mut numbers: Vec<(u64, u64)> = (0..40).map(|n| (7, n * 37 % 40)).collect();
    numbers.extend([(6, 1), (8, 0), (70, 0), (10_000_000_000, 5)]);
    let expiring = |number: u64| number % 3 == 1;
    let mut write = new_commit();
    for (repo, number) in &numbers {
        let expires = noon() + TimeDelta::seconds(if *repo == 7 && expiring(*number) { -1 } else { 60 });
        write = write.put_until(row(*repo, *number), "{}", expires, Absent);
    }
    assert_eq!(commit(store, &write).await, Committed);
    put(store, &claim(7), "{}").await;

    let mut expected: Vec<RecordKey> =
        numbers.iter().filter(|(repo, n)| *repo != 7 || !expiring(*n)).map(|(r, n)| row(*r, *n)).collect();
    expected.push(claim(7));
    expected.sort();
    let of_repo: Vec<RecordKey> = (0..40).filter(|n| !expiring(*n)).map(|n| row(7, n)).collect();
    let repo = RecordRange::new(Some(ORG), RecordKind::Claim, &[Number(7)]).expect("a range");
    for (range, expected) in [(all(RecordKind::Claim), expected), (repo.clone(), of_repo.clone())] {
        assert_eq!(keys_in(store, &range, 1_000).await, expected, "the records of a range, by key");
        for limit in [1, 4, 7, 26, 27] {
            let (mut listed, mut rest) = (Vec::new(), range.clone());
            loop {
                let page = keys_in(store, &rest, limit).await;
                assert!(page.len() <= limit, "a page of {limit} has {} records", page.len());
                let is_last = page.len() < limit;
                listed.extend(page);
                if is_last {
                    break;
                }
                rest = range.clone().after(listed.last().expect("a page"));
            }
            assert_eq!(listed, expected, "pages of {limit} hold each record once, in order");
        }
        assert_eq!(keys_in(store, &range, 0).await, [], "no records are requested");
    }
    let past_the_end = repo.clone().after(&row(8, 0));
    assert_eq!(keys_in(store, &past_the_end, 10).await, [], "a page after the end of its range");
    let before_the_range = repo.after(&row(6, 1));
    assert_eq!(keys_in(store, &before_the_range, 100).await, of_repo, "a page begins with its range");
}

pub(super) async fn check_unusual_content<S: RecordStore>(store: &S) {
    let named = |name: &str| key_of(Some(ORG), RecordKind::Claim, &[Text(name), Number(1)]);
    for name in UNUSUAL_NAMES.into_iter().chain([""]) {
        put(store, &named(name), name).await;
    }
    for name in UNUSUAL_NAMES.into_iter().chain([""]) {
        assert_eq!(
            get(store, &named(name)).await.map(|record| record.body).as_deref(),
            Some(name),
            "{name:?}"
        );
        let range = RecordRange::new(Some(ORG), RecordKind::Claim, &[Text(name)]).expect("a range");
        assert_eq!(keys_in(store, &range, 10).await, [named(name)], "the prefix {name:?}");
    }
    let mut expected: Vec<RecordKey> = UNUSUAL_NAMES.into_iter().chain([""]).map(named).collect();
    expected.sort();
    assert_eq!(keys_in(store, &all(RecordKind::Claim), 100).await, expected, "all records, by key");
    for body in unusual_bodies() {
        put(store, &claim(1), &body).await;
        assert_eq!(
            get(store, &claim(1)).await.map(|record| record.body),
            Some(body),
            "a body is read as written"
        );
    }
}

pub(super) async fn check_orgs_are_separate<S: RecordStore>(store: &S) {
    let key = |org, kind| key_of(org, kind, &[Number(1)]);
    let (claims, rows) = (RecordKind::Claim, RecordKind::AuditRow);
    for neighbour in NEIGHBOURS {
        put(store, &key(Some(neighbour), claims), neighbour).await;
    }
    put(store, &key(None, claims), "no organization").await;
    put(store, &key(Some(ORG), rows), "another kind").await;
    assert_eq!(get(store, &key(Some(ORG), claims)).await, None, "another organization's record");
    assert_eq!(keys_in(store, &all(claims), 10).await, [], "other organizations' records");

    put(store, &key(Some(ORG_OTHER_CASE), claims), ORG).await;
    let same = get(store, &key(Some(ORG), claims)).await;
    assert_eq!(same.map(|record| record.body).as_deref(), Some(ORG), "an organization in another case");
    assert_eq!(keys_in(store, &all(claims), 10).await, [key(Some(ORG), claims)]);

    let mut both = new_commit().delete(key(Some(ORG), claims), Any);
    for neighbour in NEIGHBOURS {
        both = both.check(key(Some(neighbour), claims), Absent);
    }
    let Conflict(failed) = commit(store, &both).await else { panic!("neighbours' records exist") };
    assert!(!failed.contains(&0), "{failed:?}");
    let delete = new_commit().delete(key(Some(ORG), claims), Any).put(key(None, rows), "deleted", Absent);
    assert_eq!(commit(store, &delete).await, Committed, "one commit of several organizations");
    for neighbour in NEIGHBOURS {
        let body = get(store, &key(Some(neighbour), claims)).await.map(|record| record.body);
        assert_eq!(body.as_deref(), Some(neighbour), "the record of {neighbour}");
    }
    let body = get(store, &key(None, claims)).await.map(|record| record.body);
    assert_eq!(body.as_deref(), Some("no organization"));
    assert_eq!(keys_in(store, &all(rows), 10).await, [key(Some(ORG), rows)], "records of another kind");
}

/// A store that has tokens of its content has another one after each commit that changes a record.
pub(super) async fn check_content_tokens<S: RecordStore>(store: &S) {
    let mut last = store.content_token();
    if last.is_none() {
        return;
    }
    let key = claim(1);
    for change in [
        new_commit().put(key.clone(), "a", Any),
        new_commit().put(key.clone(), "b", Any),
        new_commit().delete(key.clone(), Any),
    ] {
        assert_eq!(commit(store, &change).await, Committed);
        let token = store.content_token();
        assert!(token.is_some() && token != last, "a commit changes the token");
        get(store, &key).await;
        assert_eq!(store.content_token(), token, "a read does not");
        last = token;
    }
}
