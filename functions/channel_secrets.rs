//! The secrets of channels of notifications: one secret for each name that a configuration has.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gam_aws::{CachedSecret, SdkConfig, SecretError};
use gam_model::ChannelSettings;
use gam_model::notify::SecretName;
use gam_notify::{ChannelSecrets, NoSecret, SecretSource};

/// Reads the secrets whose names begin with a prefix. They are at most five minutes old.
pub struct StoredSecrets {
    config: SdkConfig,
    prefix: String,
    read: Mutex<BTreeMap<String, CachedSecret>>,
}

impl StoredSecrets {
    /// Creates a reader of secrets below a prefix: of names in Secrets Manager, or of parameters if it begins with `ssm:`.
    /// Sends no request.
    pub fn new(config: &SdkConfig, prefix: String) -> Self {
        StoredSecrets { config: config.clone(), prefix, read: Mutex::default() }
    }

    /// Forgets all secrets, so that the next message is sent with what is stored now.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CachedSecret>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secret(&self, name: &SecretName) -> CachedSecret {
        let name = full_name(&self.prefix, name);
        self.lock().entry(name.clone()).or_insert_with(|| CachedSecret::new(&self.config, &name)).clone()
    }
}

/// Returns the name under which the value of a name is stored.
fn full_name(prefix: &str, name: &SecretName) -> String {
    format!("{}/{}", prefix.trim_end_matches('/'), name.as_str())
}

#[async_trait]
impl SecretSource for StoredSecrets {
    async fn secrets(&self, channel: &ChannelSettings) -> Result<ChannelSecrets, NoSecret> {
        let mut secrets = ChannelSecrets::new();
        for name in channel.secret_names() {
            let value = self.secret(name).get().await.map_err(|error| no_secret(&error))?;
            secrets.insert(name.as_str().to_owned(), value.into());
        }
        Ok(secrets)
    }
}

/// Returns what an error means for a channel. Its text names the secret, and has no value.
fn no_secret(error: &SecretError) -> NoSecret {
    match error {
        SecretError::Unavailable { .. } => NoSecret::Unavailable(error.to_string()),
        SecretError::Missing { .. } => NoSecret::Missing(error.to_string()),
        SecretError::Empty { name } => {
            NoSecret::Missing(format!("the secret {name} is empty: store the value of the channel in it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use gam_model::configuration::Configuration;

    use super::*;

    #[test]
    fn a_name_of_the_configuration_is_one_secret_below_the_prefix() {
        let text = "[[notify.channels]]\nname = \"ops\"\ntype = \"slack\"\nurl = \"NOTIFY_OPS_URL\"\n";
        let configuration = Configuration::parse_stored(text).unwrap();
        let name = configuration.notify.channels[0].url.as_ref().unwrap();
        for (prefix, full) in [
            ("gam/notify", "gam/notify/NOTIFY_OPS_URL"),
            ("ssm:/gam/notify", "ssm:/gam/notify/NOTIFY_OPS_URL"),
            ("ssm:/gam/notify/", "ssm:/gam/notify/NOTIFY_OPS_URL"),
        ] {
            assert_eq!(full_name(prefix, name), full);
        }
    }

    #[test]
    fn only_a_service_that_is_away_is_worth_another_attempt() {
        let (name, reason) = ("gam/NOTIFY_A".to_owned(), "no answer".to_owned());
        let away = SecretError::Unavailable { name: name.clone(), reason: reason.clone() };
        assert!(matches!(no_secret(&away), NoSecret::Unavailable(why) if why.contains("gam/NOTIFY_A")));
        for error in [SecretError::Missing { name: name.clone(), reason }, SecretError::Empty { name }] {
            assert!(matches!(no_secret(&error), NoSecret::Missing(why) if why.contains("gam/NOTIFY_A")));
        }
    }
}
