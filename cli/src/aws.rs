//! The lake on S3 and the store on DynamoDB, in builds with the feature `aws`.

#[cfg(feature = "aws")]
pub(crate) use enabled::{lake, store};
#[cfg(not(feature = "aws"))]
pub(crate) use missing::{lake, store};

/// Whether this build can reach AWS.
pub(crate) const IS_ENABLED: bool = cfg!(feature = "aws");

/// What to do about a build that cannot.
pub(crate) const HOW_TO_ENABLE: &str =
    "this build has no AWS support: take a release binary, or build with `--features aws`";

#[cfg(feature = "aws")]
mod enabled {
    use std::sync::Arc;

    use gam_aws::{DynamoStore, S3Objects};
    use gam_lake::ObjectStore;

    use crate::open::Store;

    /// Opens the lake in a bucket, below a prefix. It sends nothing.
    ///
    /// # Errors
    /// Never; a build without AWS support fails here.
    pub(crate) async fn lake(bucket: &str, prefix: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(S3Objects::new(&gam_aws::load().await, bucket, prefix)))
    }

    /// Opens the store in a table. It sends nothing.
    ///
    /// # Errors
    /// As [`lake`].
    pub(crate) async fn store(table: &str) -> anyhow::Result<Store> {
        Ok(Store::new(Arc::new(DynamoStore::new(&gam_aws::load().await, table))))
    }
}

#[cfg(not(feature = "aws"))]
mod missing {
    use std::sync::Arc;

    use gam_lake::ObjectStore;

    use crate::exit::usage;
    use crate::open::Store;

    /// Refuses to open a bucket.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn lake(bucket: &str, _: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Err(usage(format!("cannot open the lake s3://{bucket}: {}", super::HOW_TO_ENABLE)))
    }

    /// Refuses to open a table.
    ///
    /// # Errors
    /// Always.
    pub(crate) async fn store(table: &str) -> anyhow::Result<Store> {
        Err(usage(format!("cannot open the store dynamodb:{table}: {}", super::HOW_TO_ENABLE)))
    }
}
