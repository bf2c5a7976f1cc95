//! Secrets, cached for some minutes and read again if they are rejected.
//!
//! While the service is out of reach, the last text stays in use for some hours: an outage of the service is
//! not an outage of everything that needs the secret. No lock is held during a request that others would
//! wait for, unless there is no text at all yet.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::time::{Instant, timeout};

use crate::service_error::ServiceError;

/// How long a secret is cached, so how long a warm function may use one that was rotated.
const CACHE_DURATION: Duration = Duration::from_secs(300);

/// How long a text stays in use while it cannot be read again.
const MAX_STALE: Duration = Duration::from_secs(12 * 3600);

/// How long to use the cached text without another attempt after one has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(30);

/// How long a caller that has a cached text waits for a newer one.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The prefix of the name of a parameter of Systems Manager.
const PARAMETER_PREFIX: &str = "ssm:";

/// Why a secret could not be read. The text names the secret and says what to do, but never has its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Trying again may help.
    #[error("cannot read the secret {name} at the moment: {reason}")]
    Unavailable {
        /// The name or ARN of the secret.
        name: String,
        /// The error of AWS.
        reason: String,
    },
    /// The secret does not exist, or this role has no permission to read it.
    #[error("cannot read the secret {name} ({reason}): create it, and grant this role access to it")]
    Missing {
        /// The name or ARN of the secret.
        name: String,
        /// The error of AWS.
        reason: String,
    },
    /// The secret has no text.
    #[error("the secret {name} is empty: store the token in it, as plain text or as {{\"token\": \"...\"}}")]
    Empty {
        /// The name or ARN of the secret.
        name: String,
    },
}

#[derive(Clone)]
enum SecretService {
    SecretsManager(aws_sdk_secretsmanager::Client),
    ParameterStore(aws_sdk_ssm::Client),
    #[cfg(test)]
    Double(Arc<tests::SecretDouble>),
}

/// What is known of a secret.
#[derive(Default)]
struct SecretCache {
    /// The text, and when it was read.
    text: Option<(String, Instant)>,
    /// When the last attempt to read it failed, if no later one has succeeded.
    failed_at: Option<Instant>,
}

impl SecretCache {
    /// Returns the text if it need not be read again now.
    fn current(&self) -> Option<String> {
        let (text, read_at) = self.text.as_ref()?;
        let is_fresh = read_at.elapsed() < CACHE_DURATION;
        let was_tried = self.failed_at.is_some_and(|at| at.elapsed() < RETRY_PAUSE);
        (is_fresh || was_tried && read_at.elapsed() < MAX_STALE).then(|| text.clone())
    }

    /// Returns the text if it may be used although it could not be read again.
    fn stale(&self) -> Option<String> {
        let (text, read_at) = self.text.as_ref()?;
        (read_at.elapsed() < MAX_STALE).then(|| text.clone())
    }
}

/// A secret in Secrets Manager, or a parameter of Systems Manager (`ssm:/name`). Clones share the cache.
#[derive(Clone)]
pub struct CachedSecret {
    service: SecretService,
    name: String,
    cache: Arc<Mutex<SecretCache>>,
    /// Held while the secret is read, so that it is read once.
    renewal: Arc<tokio::sync::Mutex<()>>,
}

impl fmt::Debug for CachedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CachedSecret {
    /// Creates a reader of the secret with that name or ARN, or of a parameter if the name starts with `ssm:`.
    /// Sends no request.
    pub fn new(config: &SdkConfig, name: &str) -> Self {
        let (service, name) = match name.strip_prefix(PARAMETER_PREFIX) {
            Some(parameter) => (SecretService::ParameterStore(aws_sdk_ssm::Client::new(config)), parameter),
            None => (SecretService::SecretsManager(aws_sdk_secretsmanager::Client::new(config)), name),
        };
        CachedSecret { service, name: name.to_owned(), cache: Arc::default(), renewal: Arc::default() }
    }

    fn cache(&self) -> MutexGuard<'_, SecretCache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the secret's text. It is at most five minutes old, or twelve hours while the service is out
    /// of reach.
    ///
    /// # Errors
    /// If the secret does not exist or is empty, or cannot be read and there is no such text.
    pub async fn get(&self) -> Result<String, SecretError> {
        if let Some(text) = self.cache().current() {
            return Ok(text);
        }
        let stale = self.cache().stale();
        let renewal = match (self.renewal.try_lock(), stale) {
            (Ok(renewal), _) => renewal,
            // Somebody else is reading it.
            (Err(_), Some(text)) => return Ok(text),
            (Err(_), None) => {
                let renewal = self.renewal.lock().await;
                if let Some(text) = self.cache().current() {
                    return Ok(text);
                }
                renewal
            }
        };
        let result = self.renew().await;
        drop(renewal);
        result
    }

    /// Reads the text again, and falls back to the cached one.
    async fn renew(&self) -> Result<String, SecretError> {
        let stale = self.cache().stale();
        let fetched = match &stale {
            None => self.fetch().await,
            Some(_) => timeout(RENEWAL_TIMEOUT, self.fetch()).await.unwrap_or_else(|_| {
                let reason = format!("no answer within {} s", RENEWAL_TIMEOUT.as_secs());
                Err(SecretError::Unavailable { name: self.name.clone(), reason })
            }),
        };
        match (fetched, stale) {
            (Ok(text), _) => {
                let text_read = Some((text.clone(), Instant::now()));
                *self.cache() = SecretCache { text: text_read, failed_at: None };
                Ok(text)
            }
            (Err(error @ SecretError::Unavailable { .. }), Some(text)) => {
                self.cache().failed_at = Some(Instant::now());
                tracing::warn!(%error, "using the text of the secret that was read before");
                Ok(text)
            }
            // The secret was deleted or revoked, or was never read.
            (Err(error), _) => Err(error),
        }
    }

    /// Reads the secret's text again. Call this if the cached text was rejected.
    ///
    /// # Errors
    /// As [`CachedSecret::get`].
    pub async fn refresh(&self) -> Result<String, SecretError> {
        *self.cache() = SecretCache::default();
        self.get().await
    }

    async fn fetch(&self) -> Result<String, SecretError> {
        let text = match &self.service {
            SecretService::SecretsManager(client) => {
                match client.get_secret_value().secret_id(&self.name).send().await {
                    Ok(response) => response.secret_string,
                    Err(error) => return Err(self.error(&ServiceError::new(&error))),
                }
            }
            SecretService::ParameterStore(client) => {
                match client.get_parameter().name(&self.name).with_decryption(true).send().await {
                    Ok(response) => response.parameter.and_then(|parameter| parameter.value),
                    Err(error) => return Err(self.error(&ServiceError::new(&error))),
                }
            }
            #[cfg(test)]
            SecretService::Double(double) => double.answer(&self.name).await.map(Some)?,
        };
        let text = text.unwrap_or_default().trim().to_owned();
        if text.is_empty() { Err(SecretError::Empty { name: self.name.clone() }) } else { Ok(text) }
    }

    fn error(&self, error: &ServiceError) -> SecretError {
        let (name, reason) = (self.name.clone(), error.to_string());
        let is_missing = matches!(
            error.code.as_str(),
            "ResourceNotFoundException"
                | "ParameterNotFound"
                | "InvalidRequestException"
                | "DecryptionFailure"
        );
        if is_missing || error.is_access_denied() {
            SecretError::Missing { name, reason }
        } else {
            SecretError::Unavailable { name, reason }
        }
    }
}

/// Returns a field of a secret that is a JSON object, as the AWS console stores it by default. `None` if the
/// secret is not an object, or the field is missing or empty.
pub fn parse_field(secret: &str, name: &str) -> Option<String> {
    let fields = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(secret).ok()?;
    let value = fields.get(name)?;
    let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    (!text.is_empty()).then_some(text)
}

/// Returns the token in a secret: its field `token`, or the complete text.
pub fn parse_token(secret: &str) -> String {
    parse_field(secret, "token").unwrap_or_else(|| secret.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service with configurable answers.
    #[derive(Default)]
    pub(super) struct SecretDouble {
        answer: Mutex<Option<&'static str>>,
        delay: Mutex<Duration>,
        is_deleted: Mutex<bool>,
        requests: Mutex<usize>,
    }

    impl SecretDouble {
        pub(super) async fn answer(&self, name: &str) -> Result<String, SecretError> {
            *self.requests.lock().unwrap() += 1;
            let delay = *self.delay.lock().unwrap();
            tokio::time::sleep(delay).await;
            let (name, reason) = (name.to_owned(), "down".to_owned());
            if *self.is_deleted.lock().unwrap() {
                return Err(SecretError::Missing { name, reason });
            }
            let answer = *self.answer.lock().unwrap();
            answer.map(str::to_owned).ok_or(SecretError::Unavailable { name, reason })
        }

        fn requests(&self) -> usize {
            *self.requests.lock().unwrap()
        }
    }

    fn secret() -> (CachedSecret, Arc<SecretDouble>) {
        let double = Arc::new(SecretDouble::default());
        *double.answer.lock().unwrap() = Some("first");
        let service = SecretService::Double(double.clone());
        let name = "token".to_owned();
        (CachedSecret { service, name, cache: Arc::default(), renewal: Arc::default() }, double)
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_text_stays_in_use_during_an_outage() {
        let (secret, service) = secret();
        assert_eq!(secret.get().await.unwrap(), "first");
        *service.answer.lock().unwrap() = None;
        tokio::time::advance(CACHE_DURATION).await;
        for _ in 0..100 {
            assert_eq!(secret.get().await.unwrap(), "first");
        }
        assert_eq!(service.requests(), 2, "not every caller waits for the service");
        tokio::time::advance(RETRY_PAUSE).await;
        *service.answer.lock().unwrap() = Some("second");
        assert_eq!(secret.get().await.unwrap(), "second");

        *service.answer.lock().unwrap() = None;
        tokio::time::advance(MAX_STALE).await;
        assert!(matches!(secret.get().await, Err(SecretError::Unavailable { .. })), "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_secret_is_not_used_any_longer() {
        let (secret, service) = secret();
        secret.get().await.unwrap();
        *service.is_deleted.lock().unwrap() = true;
        tokio::time::advance(CACHE_DURATION).await;
        assert!(matches!(secret.get().await, Err(SecretError::Missing { .. })));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_service_that_hangs() {
        let (secret, service) = secret();
        secret.get().await.unwrap();
        *service.delay.lock().unwrap() = Duration::from_secs(60);
        tokio::time::advance(CACHE_DURATION).await;
        let started_at = Instant::now();
        let others = (0..20).map(|_| {
            let secret = secret.clone();
            tokio::spawn(async move { secret.get().await })
        });
        for other in others.collect::<Vec<_>>() {
            assert_eq!(other.await.unwrap().unwrap(), "first");
        }
        assert!(started_at.elapsed() <= RENEWAL_TIMEOUT, "{:?}", started_at.elapsed());
        assert_eq!(service.requests(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_read_once_for_all_callers() {
        let (secret, service) = secret();
        *service.delay.lock().unwrap() = Duration::from_secs(1);
        let callers = (0..20).map(|_| {
            let secret = secret.clone();
            tokio::spawn(async move { secret.get().await })
        });
        for caller in callers.collect::<Vec<_>>() {
            assert_eq!(caller.await.unwrap().unwrap(), "first");
        }
        assert_eq!(service.requests(), 1);
    }

    #[test]
    fn a_secret_is_plain_text_or_json() {
        assert_eq!(parse_token(" ghp_x\n"), "ghp_x");
        assert_eq!(parse_token("{\"token\": \" ghp_x \"}"), "ghp_x");
        assert_eq!(parse_token("{not json"), "{not json");
        assert_eq!(parse_field("{\"app_id\": 12}", "app_id").as_deref(), Some("12"));
        assert_eq!(parse_field("{\"app_id\": \"\"}", "app_id"), None);
        assert_eq!(parse_field("ghp_x", "token"), None);
    }
}
