//! Events for the tests of this crate.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use gam_model::{Event, EventId, EventKind, Facts, FirstReview, Member, MemberKind};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use crate::snapshot::sort_rows;
use crate::table::Events;

/// The number of columns of the first schema.
pub(crate) const FIRST_COLUMNS: usize = 29;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z]{0,6}", 1 => "\\PC{0,12}"]
}

fn any_time() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        8 => 0i64..4_000_000_000_000,
        1 => -62_000_000_000_000i64..253_000_000_000_000,
    ]
    .prop_map(|millis| DateTime::from_timestamp_millis(millis).unwrap())
}

fn any_member() -> impl Strategy<Value = Member> {
    (any_text(), any::<Option<i64>>(), prop::sample::select(&MemberKind::ALL[..]))
        .prop_map(|(name, id, kind)| Member { name, id, kind })
}

fn any_first_review() -> impl Strategy<Value = FirstReview> {
    (any_text(), prop::sample::select(&MemberKind::ALL[..]), any_time())
        .prop_map(|(member, member_kind, at)| FirstReview { member, member_kind, at })
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let text = || prop::option::of(any_text());
    let texts = || prop::option::of(prop::collection::vec(any_text(), 0..3));
    let numbers = (any::<Option<i32>>(), any::<[Option<i64>; 4]>(), any::<Option<bool>>());
    let times = (prop::option::of(any_time()), prop::option::of(any_time()));
    let reviews = prop::option::of(prop::collection::vec(any_first_review(), 0..3));
    let strings = (text(), text(), text(), text(), text(), text());
    let heads = (text(), any::<Option<i64>>(), text(), text(), text());
    (numbers, times, reviews, strings, texts(), texts(), heads).prop_map(
        |(
            (parents, [additions, deletions, files_changed, number], draft),
            times,
            first_reviews,
            strings,
            co,
            labels,
            (head_ref, head_repo_id, merge_sha, workflow, author_name_hash),
        )| {
            let (sha, pr_member, state, review_state, environment, tag) = strings;
            Facts {
                sha,
                parents,
                additions,
                deletions,
                files_changed,
                co_authors: co,
                number,
                pr_member,
                state,
                draft,
                created_at: times.0,
                merged_at: times.1,
                first_reviews,
                labels,
                review_state,
                environment,
                tag,
                head_ref,
                head_repo_id,
                merge_sha,
                workflow,
                author_name_hash,
            }
        },
    )
}

/// Generates arbitrary events, with times in milliseconds.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let names = (any_text(), any_text(), any::<i64>(), any_member());
    let times = (any_time(), any_time());
    (
        any_text(),
        any::<i64>(),
        prop::sample::select(&EventKind::ALL[..]),
        names,
        times,
        (any::<bool>(), any::<i64>()),
        any_facts(),
    )
        .prop_map(
            |(id, version, kind, (org, repo, repo_id, member), times, (retracted, reading), facts)| Event {
                id: EventId::from_stored(id),
                version,
                kind,
                org,
                repo,
                repo_id,
                member,
                occurred_at: times.0,
                collected_at: times.1,
                retracted,
                reading,
                facts,
            },
        )
}

/// Generates versions of a few facts, so that ids, versions and contents often coincide.
pub(crate) fn any_version() -> impl Strategy<Value = Event> {
    any_version_of(12)
}

/// Generates versions of this many facts. A newer version can lie in another repository.
pub(crate) fn any_version_of(facts: i64) -> impl Strategy<Value = Event> {
    (0..facts, 0i64..3, any::<bool>(), 0i64..2, 0i64..3, 0i64..4, 0usize..3).prop_map(
        |(number, version, retracted, reading, state, collected, repo)| {
            let mut event = commit(number);
            event.version = version;
            event.retracted = retracted;
            event.reading = reading;
            event.repo = ["site", "api", "tools"][repo].to_owned();
            event.facts.state = Some(format!("s{state}"));
            event.collected_at = DateTime::from_timestamp(1_800_000_000 + collected, 0).unwrap();
            event
        },
    )
}

/// Returns the commit with this number. Commit 0 is at the start of March 2026; the others follow hourly.
pub(crate) fn commit(number: i64) -> Event {
    Event {
        id: EventId::commit(7, &format!("{number:040x}")),
        version: 1,
        kind: EventKind::Commit,
        org: "Acme".to_owned(),
        repo: ["site", "api"][(number % 2) as usize].to_owned(),
        repo_id: 7 + number % 2,
        member: Member::account(["ann", "bob", "cy"][(number % 3) as usize], Some(number % 3), false),
        occurred_at: DateTime::from_timestamp(1_772_323_200 + number * 3_600, 0).unwrap(),
        collected_at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        retracted: false,
        reading: 0,
        facts: Facts {
            sha: Some(format!("{number:040x}")),
            parents: Some(1),
            additions: Some(number),
            deletions: Some(1),
            files_changed: Some(1),
            co_authors: Some(vec!["dee".to_owned()]),
            labels: Some(vec![]),
            first_reviews: Some(vec![FirstReview {
                member: "bob".to_owned(),
                member_kind: MemberKind::User,
                at: DateTime::from_timestamp(1_772_323_300, 0).unwrap(),
            }]),
            ..Facts::default()
        },
    }
}

/// Returns the commits 0 to `count - 1`.
pub(crate) fn sample(count: i64) -> Vec<Event> {
    (0..count).map(commit).collect()
}

/// Returns a file as older programs wrote it: with other encodings, and only the first `columns` columns.
/// `properties` are those of the footer, next to the format.
pub(crate) fn older_file(
    events: Vec<Event>,
    group_rows: usize,
    columns: usize,
    properties: &[(&str, String)],
) -> Bytes {
    let batch = sort_rows::<Events>(events).unwrap().remove(0);
    let batch = batch.project(&(0..columns).collect::<Vec<_>>()).unwrap();
    let properties = properties.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let pairs = [KeyValue::new("gam.format".to_owned(), "1".to_owned())].into_iter().chain(properties);
    let properties = WriterProperties::builder().set_key_value_metadata(Some(pairs.collect())).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    for start in (0..batch.num_rows()).step_by(group_rows) {
        writer.write(&batch.slice(start, group_rows.min(batch.num_rows() - start))).unwrap();
        writer.flush().unwrap();
    }
    Bytes::from(writer.into_inner().unwrap())
}
