//! The secrets of webhooks, from variables and files.

use std::path::PathBuf;

use gam_http::WebhookSecrets;
use secrecy::SecretString;

use crate::error::usage_error;
use crate::secret_variable::SecretVariable;

/// The shortest secret in characters: nobody can guess as many random ones.
const MIN_SECRET_CHARS: usize = 16;

/// The variables of webhooks.
#[derive(Debug)]
pub(crate) struct WebhookSecretVariables {
    secret: SecretVariable,
    /// The secret before, while it is exchanged.
    previous: SecretVariable,
}

impl WebhookSecretVariables {
    /// Takes the values of the variables `GITHUB_WEBHOOK_SECRET` and `GITHUB_WEBHOOK_SECRET_PREVIOUS`, each with that of
    /// its `_FILE`.
    pub(crate) fn new(
        (secret, secret_file): (Option<SecretString>, Option<PathBuf>),
        (previous, previous_file): (Option<SecretString>, Option<PathBuf>),
    ) -> Self {
        WebhookSecretVariables {
            secret: SecretVariable::new("GITHUB_WEBHOOK_SECRET", secret, secret_file),
            previous: SecretVariable::new("GITHUB_WEBHOOK_SECRET_PREVIOUS", previous, previous_file),
        }
    }

    /// Returns the secrets, or `None` if no variable is set.
    ///
    /// # Errors
    /// As [`SecretVariable::read`], and if a secret is short, or only the previous one is set. No message contains a
    /// secret.
    pub(crate) fn read(&self) -> anyhow::Result<Option<WebhookSecrets>> {
        match (read_long(&self.secret)?, read_long(&self.previous)?) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(usage_error(format!(
                "{} is set without {}: set the present secret too",
                self.previous.name(),
                self.secret.name()
            ))),
            (Some(secret), previous) => Ok(WebhookSecrets::new([secret].into_iter().chain(previous))),
        }
    }
}

/// Returns the secret of a variable.
///
/// # Errors
/// As [`SecretVariable::read`], and if it is short.
fn read_long(variable: &SecretVariable) -> anyhow::Result<Option<String>> {
    let text = variable.read()?;
    if text.as_ref().is_some_and(|text| text.chars().count() < MIN_SECRET_CHARS) {
        return Err(usage_error(format!(
            "{} is too short: expected at least {MIN_SECRET_CHARS} random characters, such as the output of \
             `openssl rand -hex 32`, and the same text in the settings of the webhook on GitHub",
            variable.name()
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef";

    fn secret(text: &str) -> Option<SecretString> {
        Some(SecretString::from(text))
    }

    #[test]
    fn secrets_come_from_variables_or_files() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, format!("{LONG}\n")).unwrap();
        let read = |variables: WebhookSecretVariables| variables.read().map(|it| format!("{it:?}"));
        let variables = WebhookSecretVariables::new;
        let unset = || (None, None);
        assert_eq!(read(variables(unset(), unset())).unwrap(), "None");
        let of_file = variables((None, Some(path.clone())), unset());
        assert_eq!(read(of_file).unwrap(), "Some(WebhookSecrets(1 secret))");
        let both = variables((secret(LONG), None), (secret(LONG), None));
        assert_eq!(read(both).unwrap(), "Some(WebhookSecrets(2 secret))");
        for invalid in [
            variables((secret(LONG), Some(path)), unset()),
            variables((secret(" hunter2 "), None), unset()),
            variables(unset(), (secret(LONG), None)),
            variables((None, Some(directory.path().join("missing"))), unset()),
        ] {
            let text = invalid.read().unwrap_err().to_string();
            assert!(text.contains("GITHUB_WEBHOOK_SECRET") && !text.contains("hunter2"), "{text}");
        }
    }
}
