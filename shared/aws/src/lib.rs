//! The ports on AWS: the lake on S3 and the store on DynamoDB. For functions also secrets and queues.
//!
//! The adapters pass the same conformance suites as the local ones. They never increment a number in place.
//! Every write replaces or deletes complete objects or items, under a condition that the service checks, so
//! sending a request twice does no harm.
//!
//! Endpoints, regions and credentials are found as every AWS tool finds them (`AWS_REGION`, `AWS_PROFILE`,
//! `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` and so on). TLS is rustls with ring, as everywhere in this
//! workspace.
//!
//! This crate does not know what an object, a rollup or a checkpoint contains, nor which host runs it.

mod config;
pub mod dynamo;
#[cfg(feature = "functions")]
pub mod queue;
pub mod s3;
#[cfg(feature = "functions")]
pub mod secret;
mod service_error;

pub use aws_config::SdkConfig;
pub use config::{endpoint_override, load};
pub use dynamo::DynamoStore;
#[cfg(feature = "functions")]
pub use queue::{GroupedMessage, Queue};
pub use s3::{S3Access, S3Objects};
#[cfg(feature = "functions")]
pub use secret::{CachedSecret, SecretError};
