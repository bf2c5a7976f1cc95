//! Transport, timeouts and retries of every AWS client.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_types::service_config::ServiceConfigKey;

/// Number of attempts of a request, with jittered pauses of up to [`MAX_PAUSE`] in between.
const MAX_ATTEMPTS: u32 = 8;
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Reads region, credentials and endpoints from where AWS tools store them. Sends no request.
pub async fn load() -> SdkConfig {
    let transport =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(transport)
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_max_backoff(MAX_PAUSE))
        .timeout_config(timeouts(Duration::from_secs(10)))
        .load()
        .await
}

/// Returns the timeouts of requests whose attempts may each take up to `attempt`.
pub(crate) fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * 6)
        .build()
}

/// Returns a retry partition without the quota that the SDK shares among requests. A throttled table slows down
/// all writes at once, and each of them should wait instead of fail. Attempts per request stay limited.
pub(crate) fn without_retry_quota(name: &'static str) -> RetryPartition {
    RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).build()
}

/// Returns the configured endpoint of a service by its id, such as an emulator's for `S3`. `None` if it is
/// AWS's own.
pub fn endpoint_override(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let endpoint = config.service_config().and_then(|service| service.load_config(key));
    endpoint.or_else(|| config.endpoint_url().map(str::to_owned))
}
