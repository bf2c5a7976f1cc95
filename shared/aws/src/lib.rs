//! The ports on AWS: the lake on S3, the store on DynamoDB; and what functions need beside them:
//! secrets and queues.
//!
//! The adapters keep the same promises as the local ones and pass the same conformance suites. They
//! never add to a number in place: every write replaces a whole object or item, under a condition
//! that the service checks, so a request that is sent twice does no harm.
//!
//! Addresses, regions and credentials are found as every AWS tool finds them (`AWS_REGION`,
//! `AWS_PROFILE`, `AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_S3` and so on). TLS is rustls with ring, as
//! everywhere in this workspace.
//!
//! This crate does not know what is inside an object, a rollup or a checkpoint, nor which host runs it.

mod config;
pub mod dynamo;
mod failure;
#[cfg(feature = "functions")]
pub mod queue;
pub mod s3;
#[cfg(feature = "functions")]
pub mod secret;

pub use aws_config::SdkConfig;
pub use config::load;
pub use dynamo::DynamoStore;
#[cfg(feature = "functions")]
pub use queue::Queue;
pub use s3::S3Objects;
#[cfg(feature = "functions")]
pub use secret::{Secret, SecretError};
