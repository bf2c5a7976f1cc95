//! The lake on S3.
//!
//! Writes carry a condition that S3 checks: `If-None-Match: *` where there must be nothing, `If-Match`
//! where just what was read is to be replaced
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>). Of its refusals 412
//! says that the condition does not hold, and 409 that another write was under way and nothing was
//! decided: then the write is tried again. A write whose answer was lost and that is sent again meets
//! itself, and comes back as refused; the callers find out by reading what is there.

use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use gam_lake::error::{Error, Result};
use gam_lake::object_store::{ETag, Object, ObjectMeta, ObjectStore, PutIfAbsent, PutIfMatch};
use gam_lake::paths::ObjectPath;

use crate::config::{endpoint_override, patient, timeouts};
use crate::failure::Failure;

/// A snapshot of a large organization's month has some hundred megabytes.
const ATTEMPT: Duration = Duration::from_secs(120);

/// The bucket and the prefix of an address `s3://bucket/prefix`; `None` where it is none.
pub fn parse(address: &str) -> Option<(&str, &str)> {
    let place = address.strip_prefix("s3://")?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    (!bucket.is_empty()).then_some((bucket, prefix))
}

/// Objects in a bucket, below a prefix.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
    /// Empty, or with a `/` at its end.
    prefix: String,
}

impl S3Objects {
    /// The lake in that bucket, below that prefix; an empty one for the whole bucket. It sends nothing.
    pub fn new(config: &SdkConfig, bucket: &str, prefix: &str) -> Self {
        let own = aws_sdk_s3::config::Builder::from(config)
            .timeout_config(timeouts(ATTEMPT))
            .retry_partition(patient("s3"))
            // The name of a bucket is a name of a host only at AWS itself.
            .force_path_style(endpoint_override(config, "S3").is_some())
            .build();
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        S3Objects { client: Client::from_conf(own), bucket: bucket.to_owned(), prefix }
    }

    /// The path of an object that S3 has named; `None` where it is not in this lake.
    pub fn path_of(&self, bucket: &str, key: &str) -> Option<ObjectPath> {
        if bucket != self.bucket {
            return None;
        }
        ObjectPath::parse(key.strip_prefix(&self.prefix)?)
    }

    fn key(&self, path: &ObjectPath) -> String {
        format!("{}{path}", self.prefix)
    }

    fn error<E>(&self, doing: &str, what: &str, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = Failure::of(error);
        let place = format!("s3://{}/{}{what}", self.bucket, self.prefix);
        if failure.code == "NoSuchBucket" {
            let text = format!("there is no bucket {}: create it, or name another with --lake", self.bucket);
            return Error::unusable(text, failure);
        }
        if failure.status == Some(301) || failure.code == "AuthorizationHeaderMalformed" {
            let text = format!("the bucket {} is in another region: set AWS_REGION to its own", self.bucket);
            return Error::unusable(text, failure);
        }
        if failure.is_refusal() {
            let text = format!(
                "{doing} {place} is not permitted ({failure}): sign in to AWS, or grant this role access to it"
            );
            return Error::unusable(text, failure);
        }
        Error::unavailable(format!("{doing} {place}: {failure}"), failure)
    }

    async fn read(&self, path: &ObjectPath, range: Option<String>) -> Result<Option<Object>> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(path)).set_range(range);
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) => {
                let failure = Failure::of(&error);
                return match failure.code.as_str() {
                    "NoSuchKey" => Ok(None),
                    // An empty object has no last bytes.
                    "InvalidRange" => Box::pin(self.read(path, None)).await,
                    _ => Err(self.error("reading", path.as_str(), &error)),
                };
            }
        };
        let etag = ETag(found.e_tag().unwrap_or_default().to_owned());
        let bytes = found
            .body
            .collect()
            .await
            .map_err(|error| Error::unavailable(format!("reading {path} to its end"), error))?;
        Ok(Some(Object { bytes: bytes.into_bytes(), etag }))
    }

    /// Sends the write until it is decided; `None` where the condition does not hold.
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
            let failure = Failure::of(&error);
            match (failure.status, failure.code.as_str()) {
                (Some(412), _) | (_, "PreconditionFailed" | "NoSuchKey") => return Ok(None),
                (Some(409), _) => {}
                _ => return Err(self.error("writing", path.as_str(), &error)),
            }
            let Some(pause) = pauses.next() else {
                let what = format!("writing {path}: other writes of it are always under way");
                return Err(Error::unavailable(what, failure));
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn put(&self, path: &ObjectPath, metadata: &[(&'static str, String)]) -> PutObjectFluentBuilder {
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
                })
            }));
        }
        // S3 lists in this order; its emulators and imitations need not.
        listed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(listed)
    }

    async fn put_if_absent(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfAbsent> {
        let request = || self.put(path, metadata).if_none_match("*");
        Ok(self.write(path, bytes, request).await?.map_or(PutIfAbsent::Exists, PutIfAbsent::Written))
    }

    async fn put_if_match(
        &self,
        path: &ObjectPath,
        bytes: Bytes,
        etag: &ETag,
        metadata: &[(&'static str, String)],
    ) -> Result<PutIfMatch> {
        let request = || self.put(path, metadata).if_match(&etag.0);
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
    fn addresses_name_a_bucket_and_a_prefix() {
        assert_eq!(parse("s3://bucket"), Some(("bucket", "")));
        assert_eq!(parse("s3://bucket/a/b"), Some(("bucket", "a/b")));
        for none in ["", "s3://", "s3:///a", "bucket", "file:x"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
