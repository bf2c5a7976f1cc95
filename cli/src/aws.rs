//! The lake on S3 and the store on DynamoDB, in builds with the feature `aws`.

#[cfg(feature = "aws")]
pub(crate) use enabled::{open_lake, open_store};
#[cfg(not(feature = "aws"))]
pub(crate) use missing::{open_lake, open_store};

/// Whether this build supports AWS.
pub(crate) const IS_ENABLED: bool = cfg!(feature = "aws");

/// What is wrong with a build without AWS support, and what to do.
pub(crate) const HOW_TO_ENABLE: &str =
    "this build has no AWS support; use a release binary, or build with `--features aws`";

#[cfg(feature = "aws")]
mod enabled {
    use std::sync::Arc;

    use gam_aws::{DynamoStore, S3Objects};
    use gam_lake::ObjectStore;

    use crate::store::StorePorts;

    /// Opens a lake below a prefix of a bucket. It sends no request.
    ///
    /// # Errors
    /// Never. The same function of a build without AWS support fails.
    pub(crate) async fn open_lake(bucket: &str, prefix: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(S3Objects::new(&gam_aws::load().await, bucket, prefix)))
    }

    /// Opens a store in a table. It sends no request.
    ///
    /// # Errors
    /// As [`open_lake`].
    pub(crate) async fn open_store(table: &str) -> anyhow::Result<StorePorts> {
        Ok(StorePorts::new(Arc::new(DynamoStore::new(&gam_aws::load().await, table))))
    }
}

#[cfg(not(feature = "aws"))]
mod missing {
    use std::sync::Arc;

    use gam_lake::ObjectStore;

    use crate::error::usage_error;
    use crate::store::StorePorts;

    /// Refuses to open a bucket.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn open_lake(bucket: &str, _: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Err(usage_error(format!("cannot open the lake s3://{bucket}: {}", super::HOW_TO_ENABLE)))
    }

    /// Refuses to open a table.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn open_store(table: &str) -> anyhow::Result<StorePorts> {
        Err(usage_error(format!("cannot open the store dynamodb:{table}: {}", super::HOW_TO_ENABLE)))
    }
}
