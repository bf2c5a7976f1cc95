//! Secrets, cached for some minutes and read again if they are rejected.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::service_error::ServiceError;

/// How long a secret is cached, so how long a warm function may use one that was rotated.
const CACHE_DURATION: Duration = Duration::from_secs(300);

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
}

/// A secret in Secrets Manager, or a parameter of Systems Manager (`ssm:/name`). Clones share the cache.
#[derive(Clone)]
pub struct CachedSecret {
    service: SecretService,
    name: String,
    /// The text, and when it was read.
    cache: Arc<Mutex<Option<(String, Instant)>>>,
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
        CachedSecret { service, name: name.to_owned(), cache: Arc::default() }
    }

    /// Returns the secret's text, at most five minutes old.
    ///
    /// # Errors
    /// If the secret cannot be read or is empty.
    pub async fn get(&self) -> Result<String, SecretError> {
        let mut cache = self.cache.lock().await;
        if let Some((text, read_at)) = &*cache
            && read_at.elapsed() < CACHE_DURATION
        {
            return Ok(text.clone());
        }
        let text = self.fetch().await?;
        *cache = Some((text.clone(), Instant::now()));
        Ok(text)
    }

    /// Reads the secret's text again. Call this if the cached text was rejected.
    ///
    /// # Errors
    /// As [`CachedSecret::get`].
    pub async fn refresh(&self) -> Result<String, SecretError> {
        *self.cache.lock().await = None;
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
