//! How every client reaches AWS: transport, timeouts, retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime::client::retries::{RetryPartition, TokenBucket};
use aws_types::service_config::ServiceConfigKey;

/// How often a request is tried. Between tries lie jittered pauses of up to [`MAX_PAUSE`].
const TRIES: u32 = 8;
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Reads region, credentials and endpoints from where AWS tools keep them. It sends nothing.
pub async fn load() -> SdkConfig {
    let transport =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(transport)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES).with_max_backoff(MAX_PAUSE))
        .timeout_config(timeouts(Duration::from_secs(10)))
        .load()
        .await
}

/// Timeouts for requests of which one attempt may take so long.
pub(crate) fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(attempt)
        .operation_timeout(attempt * 6)
        .build()
}

/// Retries that are bounded for each request, and not by what other requests have met: a throttled
/// table slows all writes down at once, and every one of them is to wait rather than to fail.
pub(crate) fn patient(name: &'static str) -> RetryPartition {
    RetryPartition::custom(name).token_bucket(TokenBucket::unlimited()).build()
}

/// The endpoint that replaces the service's own, if any does: an emulator's, most likely.
pub(crate) fn endpoint_override(config: &SdkConfig, service: &str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(service)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = config.service_config().and_then(|service| service.load_config(key));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}
