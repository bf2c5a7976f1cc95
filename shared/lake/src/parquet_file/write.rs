//! Writes Parquet files, and copies row groups as bytes.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::{
    FORMAT_KEY, FORMAT_VERSION, ParquetFile, ROW_GROUP_ROWS, SCHEMA_VERSION_KEY, catch_panic, invalid_parquet,
};
use crate::error::{Error, Result};
use crate::schema::conform_to;
use crate::table::Table;

/// What files say about who wrote them.
pub(crate) const CREATED_BY: &str = concat!("github-metrics version ", env!("CARGO_PKG_VERSION"));

/// The level of columns that have a dictionary.
const ZSTD_LEVEL: i32 = 3;

/// Larger than the values of a column in a row group, so that each is one page: more pages take more space.
const MAX_PAGE_BYTES: usize = 64 << 20;

/// The order of the rows, which is declared in the file for other readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    Unsorted,
    /// By group, time and id.
    Sorted,
}

fn zstd(level: i32) -> Result<Compression> {
    let level = ZstdLevel::try_new(level);
    level
        .map(Compression::ZSTD)
        .map_err(|error| Error::unusable("this build cannot compress Parquet files", error))
}

fn writer_properties<T: Table>(
    properties: Vec<(&str, String)>,
    order: RowOrder,
    schema_version: Option<u32>,
) -> Result<WriterProperties> {
    let schema = T::schema();
    let ascending = |name: &str| {
        let index = schema.index_of(name).ok()?;
        Some(SortingColumn { column_idx: i32::try_from(index).ok()?, descending: false, nulls_first: false })
    };
    let sorting_columns = match order {
        RowOrder::Unsorted => None,
        RowOrder::Sorted => [T::KEY.group, T::KEY.time].into_iter().map(ascending).collect(),
    };
    let format = (FORMAT_KEY, FORMAT_VERSION.to_string());
    let key_values = [format]
        .into_iter()
        .chain(properties)
        .chain(schema_version.map(|version| (SCHEMA_VERSION_KEY, version.to_string())))
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect();
    let mut builder = WriterProperties::builder()
        .set_compression(zstd(ZSTD_LEVEL)?)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(ROW_GROUP_ROWS)
        .set_data_page_size_limit(MAX_PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // Readers ignore the statistics of a file whose creator does not have the form `NAME version X`.
        .set_created_by(CREATED_BY.to_owned())
        .set_sorting_columns(sorting_columns)
        .set_key_value_metadata(Some(key_values));
    for (name, storage) in T::STORAGE {
        let (encoding, level) = storage.encoding();
        let path = ColumnPath::new(name.split('.').map(str::to_owned).collect());
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path.clone(), encoding)
            .set_column_compression(path, zstd(level)?);
    }
    Ok(builder.build())
}

fn write_error(error: ParquetError) -> Error {
    Error::unusable("cannot write the rows as Parquet", error)
}

/// Encodes the rows as a Parquet file with these footer properties. `order` must be the order of the rows.
///
/// # Errors
/// [`Error::Damaged`] if the rows lack columns of the table.
pub(crate) fn write<T: Table>(
    batches: &[RecordBatch],
    properties: Vec<(&str, String)>,
    order: RowOrder,
) -> Result<Bytes> {
    write_with_schema_version::<T>(batches, properties, order, Some(T::SCHEMA_VERSION))
}

/// As [`write`]. Older programs wrote no schema version, and newer ones write a greater one.
pub(crate) fn write_with_schema_version<T: Table>(
    batches: &[RecordBatch],
    properties: Vec<(&str, String)>,
    order: RowOrder,
    schema_version: Option<u32>,
) -> Result<Bytes> {
    let properties = writer_properties::<T>(properties, order, schema_version)?;
    let mut writer = ArrowWriter::try_new(Vec::new(), T::schema(), Some(properties)).map_err(write_error)?;
    for batch in batches {
        writer.write(&conform_to(batch, T::schema())?).map_err(write_error)?;
    }
    writer.into_inner().map(Bytes::from).map_err(write_error)
}

/// Writes a file of sorted rows, row group by row group.
pub(crate) struct FileWriter {
    file: SerializedFileWriter<Vec<u8>>,
    schema: TypePtr,
}

/// An encoded row group that is not in a file yet.
pub(crate) struct EncodedGroup(Vec<ArrowColumnChunk>);

impl FileWriter {
    /// Creates a file with these footer properties. `capacity` is about how many bytes it will have.
    ///
    /// # Errors
    /// If this build cannot write Parquet.
    pub(crate) fn new<T: Table>(properties: Vec<(&str, String)>, capacity: usize) -> Result<Self> {
        let mut properties = writer_properties::<T>(properties, RowOrder::Sorted, Some(T::SCHEMA_VERSION))?;
        let schema = T::schema();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let descriptor = ArrowSchemaConverter::new().convert(&schema).map_err(write_error)?;
        let schema = descriptor.root_schema_ptr();
        let file =
            SerializedFileWriter::new(Vec::with_capacity(capacity), schema.clone(), Arc::new(properties))
                .map_err(write_error)?;
        Ok(FileWriter { file, schema })
    }

    /// Returns whether row groups of that file can be copied into this one: it has the same columns.
    pub(crate) fn can_copy_from(&self, file: &ParquetFile) -> bool {
        *file.metadata().file_metadata().schema() == *self.schema
    }

    /// Returns what encodes row groups of this file, also on other threads.
    pub(crate) fn encoder<T: Table>(&self) -> GroupEncoder {
        let schema = T::schema();
        GroupEncoder { factory: ArrowRowGroupWriterFactory::new(&self.file, schema.clone()), schema }
    }

    /// Appends an encoded row group.
    ///
    /// # Errors
    /// If it is not of this file's columns.
    pub(crate) fn append(&mut self, group: EncodedGroup) -> Result<()> {
        let mut writer = self.file.next_row_group().map_err(write_error)?;
        for chunk in group.0 {
            chunk.append_to_row_group(&mut writer).map_err(write_error)?;
        }
        writer.close().map(|_| ()).map_err(write_error)
    }

    /// Copies a row group of a file as bytes, without decoding it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file is damaged.
    pub(crate) fn copy(&mut self, from: &ParquetFile, group: usize) -> Result<()> {
        copy_group(&mut self.file, from, group)
    }

    /// Returns the bytes of the file.
    ///
    /// # Errors
    /// If the footer cannot be encoded.
    pub(crate) fn finish(self) -> Result<Bytes> {
        self.file.into_inner().map(Bytes::from).map_err(write_error)
    }
}

/// Encodes row groups of a file.
pub(crate) struct GroupEncoder {
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
}

impl GroupEncoder {
    /// Encodes the rows, which have the columns of the table, as a row group.
    ///
    /// # Errors
    /// If the columns are not those of the table.
    pub(crate) fn encode(&self, rows: &RecordBatch) -> Result<EncodedGroup> {
        let mut writers = self.factory.create_column_writers(0).map_err(write_error)?;
        let mut columns = writers.iter_mut();
        for (field, array) in self.schema.fields().iter().zip(rows.columns()) {
            for leaf in compute_leaves(field, array).map_err(write_error)? {
                let Some(column) = columns.next() else { break };
                column.write(&leaf).map_err(write_error)?;
            }
        }
        let chunks = writers.into_iter().map(|column| column.close().map_err(write_error));
        Ok(EncodedGroup(chunks.collect::<Result<_>>()?))
    }
}

fn copy_group(to: &mut SerializedFileWriter<Vec<u8>>, from: &ParquetFile, group: usize) -> Result<()> {
    catch_panic(from.path(), || {
        let damaged = |error| invalid_parquet(from.path(), error);
        let metadata = from.metadata().row_group(group);
        let pages = from.metadata().page_index_for_row_group(group);
        let mut copy = to.next_row_group().map_err(damaged)?;
        for (column, chunk) in metadata.columns().iter().enumerate() {
            let close = ColumnCloseResult {
                bytes_written: u64::try_from(chunk.compressed_size()).unwrap_or_default(),
                rows_written: u64::try_from(metadata.num_rows()).unwrap_or_default(),
                metadata: chunk.clone(),
                bloom_filter: None,
                column_index: pages.column_index(column).cloned(),
                offset_index: pages.offset_index(column).cloned(),
            };
            copy.append_column(from.bytes(), close).map_err(damaged)?;
        }
        copy.close().map(|_| ()).map_err(damaged)
    })
}

/// Returns the file with other values of these footer properties, and all others as they are. The row groups are
/// copied as bytes, without decoding them.
///
/// # Errors
/// [`Error::Damaged`] if the file is damaged.
pub(crate) fn with_properties(file: &ParquetFile, changed: Vec<(&str, String)>) -> Result<Bytes> {
    let damaged = |error| invalid_parquet(file.path(), error);
    let metadata = file.metadata();
    let old = metadata.file_metadata().key_value_metadata().cloned().unwrap_or_default();
    let kept = old.into_iter().filter(|pair| !changed.iter().any(|(key, _)| *key == pair.key));
    let new = changed.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_sorting_columns(metadata.row_groups().first().and_then(|rows| rows.sorting_columns().cloned()))
        .set_key_value_metadata(Some(kept.chain(new).collect()))
        .build();
    let schema = metadata.file_metadata().schema_descr().root_schema_ptr();
    let bytes = Vec::with_capacity(file.bytes().len());
    let mut writer = SerializedFileWriter::new(bytes, schema, Arc::new(properties)).map_err(damaged)?;
    for group in 0..file.group_count() {
        copy_group(&mut writer, file, group)?;
    }
    writer.into_inner().map(Bytes::from).map_err(damaged)
}
