//! Tests of segments: every changed byte shows.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::memory::MemoryObjects;

fn entry(number: usize) -> AuditEntry {
    AuditEntry {
        event_id: format!("task:{number}:claimed"),
        kind: "task_claimed".to_owned(),
        org: Some("acme".to_owned()),
        repo: Some("site".to_owned()),
        repo_id: Some(7),
        number: Some(number as i64),
        principal: "token:ab".to_owned(),
        subject: format!("issue site#{number}"),
        outcome: "ok".to_owned(),
        occurred_at: DateTime::from_timestamp_millis(1_772_000_000_000 + number as i64).unwrap(),
        count: None,
        origin: None,
        commit_id: format!("{number:032x}"),
        detail: number.is_multiple_of(2).then(|| r#"{"fence":3}"#.to_owned()),
    }
}

fn entries(count: usize) -> Vec<AuditEntry> {
    (0..count).map(entry).collect()
}

#[test]
fn the_schema_never_changes() {
    let lines = schema()
        .fields()
        .iter()
        .map(|field| {
            let presence = if field.is_nullable() { "optional" } else { "required" };
            format!("{:<12} {presence} {}", field.name(), field.data_type())
        })
        .collect::<Vec<_>>();
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("audit_schema", lines.join("\n"));
    });
}

#[tokio::test]
async fn a_segment_is_written_once_and_read_back() {
    let objects = Arc::new(MemoryObjects::new());
    let rows = entries(5);
    let PutSegment::Written(first) = put(&*objects, "acme", 1, SegmentHash::NONE, &rows).await.unwrap()
    else {
        panic!("nothing was there")
    };
    let read_back = read(&*objects, "acme", 1).await.unwrap().unwrap();
    assert_eq!((read_back.entries, read_back.hash), (rows, first));
    let second = put(&*objects, "acme", 2, first, &entries(1)).await.unwrap();
    assert!(matches!(second, PutSegment::Written(_)));
    assert_eq!(put(&*objects, "acme", 2, first, &entries(9)).await.unwrap(), PutSegment::Exists);
    let second = read(&*objects, "acme", 2).await.unwrap().unwrap();
    assert_eq!((second.previous, second.entries.len()), (first, 1));
    let file = objects.get(&paths::audit_segment("acme", 1)).await.unwrap().unwrap();
    assert_eq!(SegmentHash::of(&file.bytes), first, "anybody can compute the hash: it is of the file");
    assert_eq!(read(&*objects, "acme", 3).await.unwrap(), None);
    put(&*objects, "_", 1, SegmentHash::NONE, &entries(1)).await.unwrap();
    assert_eq!(logs(&*objects).await.unwrap(), ["_", "acme"]);
    assert_eq!(numbers(&*objects, "acme").await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn a_segment_in_the_place_of_another_is_damage() {
    let objects = MemoryObjects::new();
    let (bytes, _) = encode("acme", 2, SegmentHash::NONE, &entries(1)).unwrap();
    objects.put_if_absent(&paths::audit_segment("acme", 1), bytes, &[]).await.unwrap();
    let error = read(&objects, "acme", 1).await.unwrap_err();
    assert!(
        matches!(&error, Error::DamagedSegment { what, .. } if what.contains("segment 2 of acme")),
        "{error}"
    );
}

#[test]
fn each_changed_byte_shows() {
    let (bytes, _) = encode("acme", 3, SegmentHash::of(b"before"), &entries(3)).unwrap();
    for position in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[position] ^= 1;
        let error = decode("x", Bytes::from(changed)).unwrap_err();
        assert!(
            matches!(error, Error::DamagedSegment { .. } | Error::NewerFormat { .. }),
            "{position}: {error}"
        );
    }
    for length in 0..bytes.len() {
        assert!(decode("x", bytes.slice(..length)).is_err(), "cut to {length}");
    }
}

proptest! {
    #[test]
    fn any_change_of_bytes_shows(
        count in 0usize..20,
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let (bytes, hash) = encode("_", 1, SegmentHash::NONE, &entries(count)).unwrap();
        let decoded = decode("x", bytes.clone()).unwrap();
        prop_assert_eq!((decoded.entries, decoded.hash), (entries(count), hash));
        let mut changed = bytes.to_vec();
        for (position, mask) in changes {
            let position = position.index(changed.len());
            changed[position] ^= mask;
        }
        if changed != bytes {
            prop_assert!(decode("x", Bytes::from(changed)).is_err());
        }
    }
}

#[test]
fn hashes_are_hexadecimal_digits() {
    let hash = SegmentHash::of(b"x");
    assert_eq!(SegmentHash::parse(&hash.to_string()), Some(hash));
    assert_eq!(SegmentHash::NONE.to_string(), NO_HASH);
    for invalid in ["", "0", &hash.to_string().to_uppercase(), &"g".repeat(64)] {
        assert_eq!(SegmentHash::parse(invalid), None, "{invalid}");
    }
}
