//! Changes and deletes rows of a month's snapshot, a row group at a time.

use bytes::Bytes;
use gam_model::RowEdit;

use crate::error::Result;
use crate::parquet_file::{FileWriter, ParquetFile};
use crate::table::Table;

/// Changes and deletes rows of a file, which is written with these properties. A row that takes the place of another has the
/// same id, group and time, so the order stays. Returns `None` if no row changes.
///
/// # Errors
/// [`Error::Damaged`](crate::Error::Damaged) if the file is damaged; [`Error::NewerFormat`](crate::Error::NewerFormat)
/// if it has a row that only a newer version of the program knows.
pub(crate) fn edit<T: Table>(
    file: &ParquetFile,
    properties: Vec<(&str, String)>,
    edit: impl Fn(&T::Row) -> RowEdit<T::Row>,
) -> Result<Option<Bytes>> {
    let schema = T::schema();
    let mut writer = FileWriter::new::<T>(properties, file.bytes().len())?;
    let (encoder, can_copy) = (writer.encoder::<T>(), writer.can_copy_from(file));
    let mut has_changed = false;
    for group in 0..file.group_count() {
        let rows = T::decode(&file.group(group, &schema)?).map_err(|error| error.with_path(file.path()))?;
        let (edited, is_changed) = edit_rows(rows, &edit);
        has_changed |= is_changed;
        if !is_changed && can_copy {
            writer.copy(file, group)?;
        } else if !edited.is_empty() {
            writer.append(encoder.encode(&T::encode(&edited)?)?)?;
        }
    }
    has_changed.then(|| writer.finish()).transpose()
}

/// Returns the rows after they were edited, and whether one of them has changed.
fn edit_rows<R>(rows: Vec<R>, edit: impl Fn(&R) -> RowEdit<R>) -> (Vec<R>, bool) {
    let mut has_changed = false;
    let mut edited = Vec::with_capacity(rows.len());
    for row in rows {
        match edit(&row) {
            RowEdit::Keep => edited.push(row),
            RowEdit::Replace(row) => {
                has_changed = true;
                edited.push(*row);
            }
            RowEdit::Delete => has_changed = true,
        }
    }
    (edited, has_changed)
}

#[cfg(test)]
mod tests {
    use gam_model::Event;

    use super::*;
    use crate::merge;
    use crate::table::Events;
    use crate::testing::sample;

    fn file_of(rows: Vec<Event>) -> ParquetFile {
        let merged = merge::merge::<Events>(None, &Events::winners(rows), Vec::new()).unwrap();
        ParquetFile::open("month", merged.bytes.unwrap()).unwrap()
    }

    fn rows_of(file: &ParquetFile) -> Vec<Event> {
        let groups = 0..file.group_count();
        groups
            .flat_map(|group| Events::decode(&file.group(group, &Events::schema()).unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn rows_are_changed_and_deleted_and_the_others_stay_in_order() {
        let file = file_of(sample(50));
        let before = rows_of(&file);
        let (replaced, deleted) = (before[7].id.clone(), before[20].id.clone());
        let renamed = |row: &Event| {
            let mut row = row.clone();
            row.member.name = "someone".to_owned();
            row
        };
        let edited = edit::<Events>(&file, Vec::new(), |row| match &row.id {
            id if *id == replaced => RowEdit::Replace(Box::new(renamed(row))),
            id if *id == deleted => RowEdit::Delete,
            _ => RowEdit::Keep,
        });
        let edited = ParquetFile::open("month", edited.unwrap().unwrap()).unwrap();
        let mut expected = before.clone();
        expected[7] = renamed(&before[7]);
        expected.remove(20);
        assert_eq!(rows_of(&edited), expected);
        assert_eq!(edit::<Events>(&file, Vec::new(), |_| RowEdit::Keep).unwrap(), None);
        let none = edit::<Events>(&file, Vec::new(), |_| RowEdit::Delete).unwrap().unwrap();
        assert_eq!(ParquetFile::open("month", none).unwrap().group_count(), 0);
    }

    #[test]
    fn groups_without_changes_are_copied() {
        let before = rows_of(&file_of(sample(20)));
        let mut writer = FileWriter::new::<Events>(Vec::new(), 0).unwrap();
        let encoder = writer.encoder::<Events>();
        for rows in before.chunks(10) {
            writer.append(encoder.encode(&Events::encode(rows).unwrap()).unwrap()).unwrap();
        }
        let file = ParquetFile::open("month", writer.finish().unwrap()).unwrap();
        assert_eq!(file.group_count(), 2);
        let last = before.last().unwrap().id.clone();
        let delete_last = |row: &Event| if row.id == last { RowEdit::Delete } else { RowEdit::Keep };
        let edited = edit::<Events>(&file, Vec::new(), delete_last).unwrap().unwrap();
        let edited = ParquetFile::open("month", edited).unwrap();
        assert_eq!(rows_of(&edited), before[..19]);
        let sizes = [&edited, &file].map(|file| file.metadata().row_group(0).compressed_size());
        assert_eq!(sizes[0], sizes[1]);
    }
}
