//! Collects rows of several batches into new ones.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::interleave::interleave;
use rustc_hash::FxHashMap;

use super::scan::KeyRows;
use crate::error::{Error, Result};
use crate::schema::DictionaryStrings;
use crate::table::Table;

/// The index of a batch, and the index of a row in it.
type RowPosition = (usize, usize);

/// Returns the rows of the batches but the removed ones, and some of the new rows, sorted, in batches of about equal
/// size and at most `group_rows` rows. `removed` has the indexes of rows of each batch in ascending order, and
/// `inserted` those of new rows, sorted by key.
pub(super) fn sorted_rows<T: Table>(
    mut batches: Vec<RecordBatch>,
    removed: &[&[usize]],
    new: &RecordBatch,
    inserted: &[usize],
    group_rows: usize,
) -> Result<Vec<RecordBatch>> {
    let mut positions: Vec<RowPosition> = Vec::new();
    for (index, (batch, removed)) in batches.iter().zip(removed).enumerate() {
        let mut removed = removed.iter().peekable();
        let rows = (0..batch.num_rows()).filter(|row| removed.next_if_eq(&row).is_none());
        positions.extend(rows.map(|row| (index, row)));
    }
    positions.extend(inserted.iter().map(|&row| (batches.len(), row)));
    batches.push(new.clone());
    let keys = batches.iter().map(KeyRows::from_batch::<T>).collect::<Result<Vec<_>>>()?;
    // Fast, because the sort takes advantage of the rows that are sorted already.
    positions.sort_by(|a, b| keys[a.0].key(a.1).cmp(&keys[b.0].key(b.1)));
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    let groups = positions.len().div_ceil(group_rows);
    let schema = T::schema();
    let chunks = positions.chunks(positions.len().div_ceil(groups));
    chunks.map(|chunk| gather_rows(&schema, &batches, chunk)).collect()
}

/// Returns the rows at the positions as one batch.
fn gather_rows(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    positions: &[RowPosition],
) -> Result<RecordBatch> {
    let merge_error = |error: ArrowError| Error::damaged_by("the month", "its rows cannot be merged", error);
    let columns = (0..schema.fields().len()).map(|index| {
        let columns: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        match schema.field(index).data_type() {
            DataType::Dictionary(..) => gather_dictionary(&columns, positions),
            _ => interleave(&columns, positions),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(merge_error)?;
    let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(merge_error)
}

/// Returns the strings at the positions, with a dictionary that contains each of them once.
///
/// With Arrow's `interleave`, dictionaries would grow with every merge.
fn gather_dictionary(columns: &[&dyn Array], positions: &[RowPosition]) -> Result<ArrayRef, ArrowError> {
    let columns: Vec<DictionaryStrings> =
        columns.iter().map(|column| DictionaryStrings::from_array(*column)).collect();
    // The new key of each dictionary entry, by batch and by the entry's old key.
    let mut new_keys: Vec<Vec<Option<i32>>> =
        columns.iter().map(|column| vec![None; column.dictionary_len()]).collect();
    let mut keys_by_value: FxHashMap<&str, i32> = FxHashMap::default();
    let mut values: Vec<&str> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(positions.len());
    for &(batch, row) in positions {
        let Some(old_key) = columns[batch].key(row) else {
            keys.push(None);
            continue;
        };
        let key = match new_keys[batch][old_key] {
            Some(key) => key,
            None => {
                let value = columns[batch].value(old_key);
                let next_key =
                    i32::try_from(values.len()).map_err(|_| ArrowError::DictionaryKeyOverflowError)?;
                let key = *keys_by_value.entry(value).or_insert_with(|| {
                    values.push(value);
                    next_key
                });
                new_keys[batch][old_key] = Some(key);
                key
            }
        };
        keys.push(Some(key));
    }
    let values = Arc::new(StringArray::from_iter_values(values));
    DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)
        .map(|array| Arc::new(array) as ArrayRef)
}
