//! The lake on S3.
//!
//! Writes carry a condition that S3 checks: `If-None-Match: *` to create an object, `If-Match` to replace the
//! version that was read
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). Status 412 means that the
//! condition does not hold. Status 409 means that another write was in progress, so the write is tried again. If
//! the response to a write is lost, the retry finds the object of the first attempt and reports a failed
//! condition. Callers then read the object to see what is stored.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
pub use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use chrono::DateTime;
use gam_lake::error::{Error, Result};
use gam_lake::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use gam_lake::paths::ObjectPath;

use crate::config::{endpoint_override, timeouts, without_retry_quota};
use crate::service_error::ServiceError;

/// Timeout of one attempt of a request. A month of a large organization can have some hundred megabytes.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// Returns bucket and prefix of an address `s3://bucket/prefix`, or `None` if the address is invalid.
pub fn parse(address: &str) -> Option<(&str, &str)> {
    let path = address.strip_prefix("s3://")?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    (!bucket.is_empty()).then_some((bucket, prefix))
}

/// What another program needs to read a bucket as this one does. It holds a secret, so it has no `Debug`.
pub struct S3Access {
    /// The region of the requests; `None` if none is configured.
    pub region: Option<String>,
    /// The address of the service, such as an emulator's; `None` if it is AWS's own.
    pub endpoint: Option<String>,
    /// The credentials; `None` if none are configured, as for public buckets.
    pub credentials: Option<Credentials>,
}

impl S3Access {
    /// Reads the credentials from where AWS tools store them. It may send a request, to sign in.
    ///
    /// # Errors
    /// If there are credentials, but they cannot be read or are not valid any more.
    pub async fn load(config: &SdkConfig) -> Result<Self> {
        let credentials = match config.credentials_provider() {
            Some(provider) => match provider.provide_credentials().await {
                Ok(credentials) => Some(credentials),
                Err(CredentialsError::CredentialsNotLoaded(_)) => None,
                Err(error) => {
                    let text = "the credentials of AWS cannot be read: sign in to AWS, and check AWS_PROFILE";
                    return Err(Error::unusable(text.to_owned(), error));
                }
            },
            None => None,
        };
        let region = config.region().map(ToString::to_string);
        Ok(S3Access { region, endpoint: endpoint_override(config, "S3"), credentials })
    }
}

/// Objects in a bucket, below a prefix.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
    /// Empty, or ends with `/`.
    prefix: String,
}

impl S3Objects {
    /// Creates a client for the lake below a prefix of a bucket. An empty prefix means the entire bucket. Sends
    /// no request.
    pub fn new(config: &SdkConfig, bucket: &str, prefix: &str) -> Self {
        let endpoint = endpoint_override(config, "S3");
        let config = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(timeouts(ATTEMPT_TIMEOUT))
            .retry_partition(without_retry_quota("s3"))
            // Only AWS itself resolves bucket names as host names.
            .force_path_style(endpoint.is_some())
            .build();
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        S3Objects { client: Client::from_conf(config), bucket: bucket.to_owned(), prefix }
    }

    /// Returns the path of an object from an event of S3, or `None` if it is not in this lake.
    pub fn path_of(&self, bucket: &str, key: &str) -> Option<ObjectPath> {
        if bucket != self.bucket {
            return None;
        }
        ObjectPath::parse(key.strip_prefix(&self.prefix)?)
    }

    fn key(&self, path: &ObjectPath) -> String {
        format!("{}{path}", self.prefix)
    }

    fn error<E>(&self, action: &str, path: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let cause = ServiceError::new(error);
        let address = format!("s3://{}/{}{path}", self.bucket, self.prefix);
        if cause.code == "NoSuchBucket" {
            let text =
                format!("bucket {} does not exist: create it, or choose another with --lake", self.bucket);
            return Error::unusable(text, cause);
        }
        if cause.status == Some(301) || cause.code == "AuthorizationHeaderMalformed" {
            let text = format!("bucket {} is in another region: set AWS_REGION to its region", self.bucket);
            return Error::unusable(text, cause);
        }
        if cause.is_access_denied() {
            let text = format!(
                "{action} {address} is not permitted ({cause}): sign in to AWS, or grant this role access to it"
            );
            return Error::unusable(text, cause);
        }
        Error::unavailable(format!("{action} {address}: {cause}"), cause)
    }

    async fn read(&self, path: &ObjectPath, range: Option<String>) -> Result<Option<Object>> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(path)).set_range(range);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let cause = ServiceError::new(&error);
                return match cause.code.as_str() {
                    "NoSuchKey" => Ok(None),
                    // An empty object has no valid range.
                    "InvalidRange" => Box::pin(self.read(path, None)).await,
                    _ => Err(self.error("reading", path.as_str(), &error)),
                };
            }
        };
        let etag = ETag(response.e_tag().unwrap_or_default().to_owned());
        let bytes = response
            .body
            .collect()
            .await
            .map_err(|error| Error::unavailable(format!("reading {path} to its end"), error))?;
        Ok(Some(Object { bytes: bytes.into_bytes(), etag }))
    }

    /// Sends a write, again if S3 reports a concurrent one. Returns `None` if the condition does not hold.
    async fn write(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        request: impl Fn() -> PutObjectFluentBuilder + Send + Sync,
    ) -> Result<Option<ETag>> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .with_max_times(10)
            .with_jitter()
            .build();
        loop {
            let body = ByteStream::from(bytes.clone());
            let error = match request().body(body).send().await {
                Ok(written) => return Ok(Some(ETag(written.e_tag().unwrap_or_default().to_owned()))),
                Err(error) => error,
            };
            let cause = ServiceError::new(&error);
            match (cause.status, cause.code.as_str()) {
                (Some(412), _) | (_, "PreconditionFailed" | "NoSuchKey") => return Ok(None),
                (Some(409), _) => {}
                _ => return Err(self.error("writing", path.as_str(), &error)),
            }
            let Some(pause) = pauses.next() else {
                let what = format!("writing {path}: other writers keep writing the same object");
                return Err(Error::unavailable(what, cause));
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn put_request(&self, path: &ObjectPath, metadata: &[(&'static str, String)]) -> PutObjectFluentBuilder {
        let request = self.client.put_object().bucket(&self.bucket).key(self.key(path));
        metadata.iter().fold(request, |request, (name, value)| request.metadata(*name, value))
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn get(&self, path: &ObjectPath) -> Result<Option<Object>> {
        self.read(path, None).await
    }

    async fn get_tail(&self, path: &ObjectPath, length: u64) -> Result<Option<Bytes>> {
        Ok(self.read(path, Some(format!("bytes=-{length}"))).await?.map(|object| object.bytes))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let request =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(format!("{}{prefix}", self.prefix));
        let mut pages = request.into_paginator().send();
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.error("listing", prefix, &error))?;
            listed.extend(page.contents().iter().filter_map(|object| {
                let path = ObjectPath::parse(object.key()?.strip_prefix(&self.prefix)?)?;
                Some(ObjectMeta {
                    path,
                    size: object.size().and_then(|size| size.try_into().ok()).unwrap_or(0),
                    modified_at: object.last_modified().and_then(|at| DateTime::from_timestamp(at.secs(), 0)),
                })
            }));
        }
        // S3 lists in this order, but compatible services need not.
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listed)
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let request = || self.put_request(path, metadata).if_none_match("*");
        Ok(self.write(path, bytes, request).await?.map_or(PutIfAbsent::Exists, PutIfAbsent::Written))
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let request = || self.put_request(path, metadata).if_match(&etag.0);
        Ok(self.write(path, bytes, request).await?.map_or(PutIfMatch::Changed, PutIfMatch::Written))
    }

    async fn delete(&self, path: &ObjectPath) -> Result<()> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.key(path));
        request.send().await.map_err(|error| self.error("deleting", path.as_str(), &error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_bucket_and_a_prefix() {
        assert_eq!(parse("s3://bucket"), Some(("bucket", "")));
        assert_eq!(parse("s3://bucket/a/b"), Some(("bucket", "a/b")));
        for invalid in ["", "s3://", "s3:///a", "bucket", "file:x"] {
            assert_eq!(parse(invalid), None, "{invalid}");
        }
    }
}
