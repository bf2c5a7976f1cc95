//! Reads Parquet files a row group at a time.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    RowSelection, RowSelector,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{FooterProperties, catch_panic, check_rows, footer_properties, invalid_parquet};
use crate::error::Result;
use crate::schema::conform_to;

/// A Parquet file whose footer is decoded. Clones share the bytes.
#[derive(Debug, Clone)]
pub(crate) struct ParquetFile {
    path: Arc<str>,
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
    properties: Arc<FooterProperties>,
}

impl ParquetFile {
    /// Decodes the footer of the object at `path`.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if the bytes are not a valid table;
    /// [`Error::NewerFormat`](crate::Error::NewerFormat) if a newer version of the program wrote them.
    pub(crate) fn open(path: &str, bytes: Bytes) -> Result<Self> {
        catch_panic(path, || {
            let damaged = |error| invalid_parquet(path, error);
            let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
            let metadata = reader.parse_and_finish(&bytes).map_err(damaged)?;
            // Check the format first: a newer format may look like damage.
            let properties = footer_properties(path, &metadata)?;
            check_rows(path, &metadata, bytes.len() as u64)?;
            let options = ArrowReaderOptions::new();
            let metadata = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(damaged)?;
            Ok(ParquetFile { path: path.into(), bytes, metadata, properties: Arc::new(properties) })
        })
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Returns the `gam.*` properties of the footer.
    pub(crate) fn properties(&self) -> &FooterProperties {
        &self.properties
    }

    /// Returns the number of row groups.
    pub(crate) fn group_count(&self) -> usize {
        self.metadata().num_row_groups()
    }

    /// Returns the number of rows of a row group.
    pub(crate) fn group_rows(&self, group: usize) -> usize {
        usize::try_from(self.metadata().row_group(group).num_rows()).unwrap_or_default()
    }

    /// Decodes the columns of the schema of a row group.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) if the rows are invalid.
    pub(crate) fn group(&self, group: usize, schema: &SchemaRef) -> Result<RecordBatch> {
        self.group_with(group, schema, None)
    }

    /// Decodes the columns of the schema of some rows of a row group. `rows` are their indexes in ascending order.
    ///
    /// # Errors
    /// As [`ParquetFile::group`].
    pub(crate) fn selected(&self, group: usize, schema: &SchemaRef, rows: &[usize]) -> Result<RecordBatch> {
        let mut selectors = Vec::with_capacity(2 * rows.len());
        let mut next = 0;
        for &row in rows {
            selectors.extend([RowSelector::skip(row - next), RowSelector::select(1)]);
            next = row + 1;
        }
        self.group_with(group, schema, Some(RowSelection::from(selectors)))
    }

    fn group_with(
        &self,
        group: usize,
        schema: &SchemaRef,
        selection: Option<RowSelection>,
    ) -> Result<RecordBatch> {
        catch_panic(&self.path, || {
            let mut builder = self.builder(schema).with_row_groups(vec![group]);
            if let Some(selection) = selection {
                builder = builder.with_row_selection(selection);
            }
            // The rows then are one batch.
            let rows = self.group_rows(group).max(1);
            let reader =
                builder.with_batch_size(rows).build().map_err(|error| invalid_parquet(&self.path, error))?;
            let batches = self.conforming(reader, schema).collect::<Result<Vec<_>>>()?;
            match &batches[..] {
                [batch] => Ok(batch.clone()),
                _ => concat_batches(schema, &batches).map_err(|error| {
                    crate::Error::damaged_by(&self.path, "its rows do not fit together", error)
                }),
            }
        })
    }

    /// Decodes the columns of the schema of all rows, in batches of at most `batch_rows` rows.
    ///
    /// # Errors
    /// As [`ParquetFile::group`].
    pub(crate) fn into_batches(
        self,
        schema: SchemaRef,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let path = Arc::clone(&self.path);
        let mut reader = catch_panic(&path, || {
            let builder = self.builder(&schema).with_batch_size(batch_rows);
            builder.build().map_err(|error| invalid_parquet(&path, error))
        })?;
        let mut has_failed = false;
        Ok(std::iter::from_fn(move || {
            if has_failed {
                return None;
            }
            let next = catch_panic(&path, || {
                let Some(batch) = reader.next() else { return Ok(None) };
                let batch = batch.map_err(|error| invalid_parquet(&path, error))?;
                conform_to(&batch, schema.clone()).map(Some).map_err(|error| error.with_path(&path))
            });
            has_failed = next.is_err();
            next.transpose()
        }))
    }

    fn builder(&self, schema: &SchemaRef) -> ParquetRecordBatchReaderBuilder<Bytes> {
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone());
        let columns = schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
        builder.with_projection(mask)
    }

    fn conforming<'a>(
        &'a self,
        reader: ParquetRecordBatchReader,
        schema: &'a SchemaRef,
    ) -> impl Iterator<Item = Result<RecordBatch>> + 'a {
        reader.map(|batch| {
            let batch = batch.map_err(|error| invalid_parquet(&self.path, error))?;
            conform_to(&batch, schema.clone()).map_err(|error| error.with_path(&self.path))
        })
    }
}
