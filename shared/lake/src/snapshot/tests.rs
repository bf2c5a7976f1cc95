//! Tests of snapshots of the table `events`.

use parquet::file::metadata::ParquetMetaDataReader;
use parquet::schema::printer::print_schema;

use super::*;
use crate::memory::MemoryObjects;
use crate::schema::{decode, encode};
use crate::testing::{FIRST_COLUMNS, commit, older_file, sample};

fn march() -> Month {
    Month::parse("2026-03").unwrap()
}

fn stamp(generation: u64) -> Stamp {
    Stamp::new(generation, 7, 3)
}

#[tokio::test]
async fn a_snapshot_is_replaced_only_with_its_current_etag() {
    let objects = MemoryObjects::new();
    assert!(read::<Events>(&objects, "acme", march()).await.unwrap().is_none());
    assert_eq!(read_stamp::<Events>(&objects, "acme", march()).await.unwrap(), None);
    let one = [encode(&sample(3)).unwrap()];
    let two = [encode(&sample(4)).unwrap()];
    let first = write::<Events>(&objects, "Acme", march(), &one, &stamp(1), None).await.unwrap().unwrap();
    assert_eq!(write::<Events>(&objects, "acme", march(), &two, &stamp(1), None).await.unwrap(), None);
    let second =
        write::<Events>(&objects, "acme", march(), &two, &stamp(2), Some(&first)).await.unwrap().unwrap();
    assert_eq!(
        write::<Events>(&objects, "acme", march(), &one, &stamp(2), Some(&first)).await.unwrap(),
        None
    );

    let snapshot = read::<Events>(&objects, "ACME", march()).await.unwrap().unwrap();
    assert_eq!((snapshot.stamp, snapshot.etag), (stamp(2), second));
    assert_eq!(decode(&snapshot.batches[0]).unwrap(), sample(4));
    assert_eq!(read_stamp::<Events>(&objects, "acme", march()).await.unwrap(), Some(stamp(2)));
    let metadata = objects.metadata(&paths::snapshot::<Events>("acme", march())).unwrap();
    assert_eq!(metadata, [("generation", "2".to_owned()), ("logic", "3".to_owned())]);
}

/// Other programs read these files. New columns come last and are optional.
#[tokio::test]
async fn the_format_of_a_snapshot_file_never_changes() {
    let objects = MemoryObjects::new();
    let rows = [encode(&sample(1)).unwrap()];
    write::<Events>(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
    let bytes = objects.get(&paths::snapshot::<Events>("acme", march())).await.unwrap().unwrap().bytes;
    let file = ParquetMetaDataReader::new().parse_and_finish(&bytes).unwrap();
    let mut text = Vec::new();
    print_schema(&mut text, file.file_metadata().schema());
    let mut text = String::from_utf8(text).unwrap();
    for pair in file.file_metadata().key_value_metadata().into_iter().flatten() {
        // The Arrow schema is base64, and says what the schema above says.
        if pair.key != "ARROW:schema" {
            text.push_str(&format!("{} = {}\n", pair.key, pair.value.as_deref().unwrap_or_default()));
        }
    }
    let (first, sorting) = (file.row_group(0), file.row_group(0).sorting_columns());
    for sorted in sorting.into_iter().flatten() {
        let column = first.column(sorted.column_idx as usize).column_path();
        text.push_str(&format!("sorted by {column}, descending: {}\n", sorted.descending));
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("snapshot_file", text);
    });
}

#[tokio::test]
async fn months_are_listed_in_order() {
    let objects = MemoryObjects::new();
    for month in ["2026-03", "2025-12", "2026-01"] {
        let month = Month::parse(month).unwrap();
        write::<Events>(&objects, "acme", month, &[], &stamp(1), None).await.unwrap();
    }
    write::<Events>(&objects, "acme-two", march(), &[], &stamp(1), None).await.unwrap();
    let months: Vec<_> =
        months::<Events>(&objects, "Acme").await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(months, ["2025-12", "2026-01", "2026-03"]);
}

#[tokio::test]
async fn a_restamped_snapshot_has_the_same_bytes_of_rows() {
    let objects = MemoryObjects::new();
    let events = sample(1_000);
    let rows = [encode(&events[..600]).unwrap(), encode(&events[600..]).unwrap()];
    write::<Events>(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    let other = Stamp::new(2, 8, 4);
    let etag = restamp(&objects, "acme", march(), &file, &other).await.unwrap();
    assert!(
        restamp(&objects, "acme", march(), &file, &other).await.unwrap().is_none(),
        "it was replaced meanwhile"
    );
    let copy = read::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!((copy.stamp, Some(copy.etag)), (other.clone(), etag));
    assert_eq!(copy.batches, file.rows.all().unwrap());
    let object = |bytes: &Bytes| ParquetMetaDataReader::new().parse_and_finish(bytes).unwrap();
    let copied = objects.get(&paths::snapshot::<Events>("acme", march())).await.unwrap().unwrap().bytes;
    let (old, new) = (object(file.rows.file.bytes()), object(&copied));
    let data = 4..old.row_groups()[0].columns()[0].compressed_size() as usize;
    assert_eq!(file.rows.file.bytes()[data.clone()], copied[data], "copied, not encoded again");
    assert_eq!(new.row_groups()[0].sorting_columns(), old.row_groups()[0].sorting_columns());
    assert_eq!(new.row_groups()[0].columns()[0].statistics(), old.row_groups()[0].columns()[0].statistics());
    // And once more, from the copy.
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    restamp(&objects, "acme", march(), &file, &stamp(3)).await.unwrap().unwrap();
    assert_eq!(read::<Events>(&objects, "acme", march()).await.unwrap().unwrap().stamp, stamp(3));
    let some = file.rows.batch(0, &["repo_id", "kind"]).unwrap();
    assert_eq!(some.num_columns(), 2);
    assert_eq!(some.num_rows(), 1_000);
}

#[tokio::test]
async fn a_footer_larger_than_the_first_read_is_complete() {
    let objects = MemoryObjects::new();
    let mut properties = stamp(9).properties();
    properties.push(("gam.comment", "x".repeat(3 * FIRST_TAIL_BYTES)));
    let bytes =
        parquet_file::write::<Events>(&[encode(&sample(10)).unwrap()], properties, RowOrder::Sorted).unwrap();
    objects.put_if_absent(&paths::snapshot::<Events>("acme", march()), bytes, &[]).await.unwrap();
    assert_eq!(read_stamp::<Events>(&objects, "acme", march()).await.unwrap(), Some(stamp(9)));
}

#[tokio::test]
async fn a_snapshot_names_its_schema_and_an_old_one_has_the_first() {
    let objects = MemoryObjects::new();
    let rows = [encode(&sample(1)).unwrap()];
    write::<Events>(&objects, "acme", march(), &rows, &stamp(1), None).await.unwrap();
    let path = paths::snapshot::<Events>("acme", march());
    let current = read_stamp::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!((current.schema_version, current.has_newer_schema::<Events>()), (SCHEMA_VERSION, false));
    for (written, expected) in [(None, 1), (Some(3), 3)] {
        let (properties, order) = (stamp(1).properties(), RowOrder::Sorted);
        let bytes =
            parquet_file::write_with_schema_version::<Events>(&rows, properties, order, written).unwrap();
        objects.delete(&path).await.unwrap();
        objects.put_if_absent(&path, bytes, &[]).await.unwrap();
        let stamp = read::<Events>(&objects, "acme", march()).await.unwrap().unwrap().stamp;
        assert_eq!(
            (stamp.schema_version, stamp.has_newer_schema::<Events>()),
            (expected, expected > SCHEMA_VERSION)
        );
    }
}

#[tokio::test]
async fn a_merge_upgrades_a_snapshot_of_an_older_schema_and_a_restamp_does_not() {
    let objects = MemoryObjects::new();
    let older = older_file(sample(30), 10, FIRST_COLUMNS, &stamp(1).properties());
    objects.put_if_absent(&paths::snapshot::<Events>("acme", march()), older, &[]).await.unwrap();
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    restamp(&objects, "acme", march(), &file, &stamp(2)).await.unwrap().unwrap();
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!((file.stamp.generation, file.stamp.schema_version), (2, 1));

    let mut newer = commit(3);
    (newer.version, newer.reading, newer.facts.head_ref) = (2, 1, Some("main".to_owned()));
    let merged = merge(Some(&file.rows), &Events::winners(vec![newer.clone()]), &stamp(3)).unwrap();
    assert_eq!(merged.changes, [RowChange { winner: newer.clone(), loser: Some(commit(3)) }]);
    let rows = merged.rows.unwrap();
    put(&objects, "acme", march(), &rows, &stamp(3), Some(&file.etag)).await.unwrap().unwrap();
    let upgraded = read::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!((upgraded.stamp.generation, upgraded.stamp.schema_version), (3, SCHEMA_VERSION));
    let mut stored: Vec<_> = upgraded.batches.iter().flat_map(|batch| decode(batch).unwrap()).collect();
    stored.sort_by_key(|event| event.occurred_at);
    let mut expected = sample(30);
    expected[3] = newer;
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn invalid_snapshots_are_damage() {
    let objects = MemoryObjects::new();
    let path = paths::snapshot::<Events>("acme", march());
    let unstamped =
        parquet_file::write::<Events>(&[encode(&sample(1)).unwrap()], vec![], RowOrder::Unsorted).unwrap();
    for bytes in
        [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![7; 3 * FIRST_TAIL_BYTES]), unstamped]
    {
        objects.delete(&path).await.unwrap();
        objects.put_if_absent(&path, bytes, &[]).await.unwrap();
        assert!(matches!(read::<Events>(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
        assert!(matches!(read_stamp::<Events>(&objects, "acme", march()).await, Err(Error::Damaged { .. })));
    }
}

#[tokio::test]
async fn a_month_without_rows_keeps_its_stamp() {
    let objects = MemoryObjects::new();
    let (first, second) = (stamp(1), stamp(2).without_erased(3));
    let rows = [encode(&sample(3)).unwrap()];
    let etag = write::<Events>(&objects, "acme", march(), &rows, &first, None).await.unwrap().unwrap();
    let empty = without_rows::<Events>(&second).unwrap();
    assert_eq!((empty.row_count(), empty.batch_count()), (0, 0));
    put(&objects, "acme", march(), &empty, &second, Some(&etag)).await.unwrap().unwrap();
    assert_eq!(read_stamp::<Events>(&objects, "acme", march()).await.unwrap(), Some(second.clone()));
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!((file.stamp.clone(), file.rows.row_count()), (second.clone(), 0));

    // It can be stamped again, and get rows again.
    let third = Stamp { generation: 3, ..second };
    restamp(&objects, "acme", march(), &file, &third).await.unwrap().unwrap();
    let file = fetch::<Events>(&objects, "acme", march()).await.unwrap().unwrap();
    assert_eq!(file.stamp, third);
    let merged = merge::<Events>(Some(&file.rows), &Events::winners(sample(2)), &third).unwrap();
    assert_eq!(merged.rows.unwrap().row_count(), 2);
}
