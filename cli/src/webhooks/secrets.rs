//! The secrets of webhooks, from variables and files.

use std::path::{Path, PathBuf};

use gam_http::WebhookSecrets;
use secrecy::{ExposeSecret, SecretString};

use crate::error::usage_error;

const SECRET: &str = "GITHUB_WEBHOOK_SECRET";
const PREVIOUS: &str = "GITHUB_WEBHOOK_SECRET_PREVIOUS";
/// The shortest secret in characters: nobody can guess as many random ones.
const MIN_SECRET_CHARS: usize = 16;

/// The values of the variables of webhooks.
#[derive(Debug, Default)]
pub(crate) struct WebhookSecretVariables {
    /// `GITHUB_WEBHOOK_SECRET`.
    pub(crate) secret: Option<SecretString>,
    /// `GITHUB_WEBHOOK_SECRET_FILE`.
    pub(crate) file: Option<PathBuf>,
    /// `GITHUB_WEBHOOK_SECRET_PREVIOUS`.
    pub(crate) previous: Option<SecretString>,
    /// `GITHUB_WEBHOOK_SECRET_PREVIOUS_FILE`.
    pub(crate) previous_file: Option<PathBuf>,
}

impl WebhookSecretVariables {
    /// Returns the secrets, or `None` if no variable is set.
    ///
    /// # Errors
    /// If a variable and its file are both set, a file cannot be read, a secret is short, or only the previous one is
    /// set. No message contains a secret.
    pub(crate) fn read(&self) -> anyhow::Result<Option<WebhookSecrets>> {
        let secret = read_one(SECRET, self.secret.as_ref(), self.file.as_deref())?;
        let previous = read_one(PREVIOUS, self.previous.as_ref(), self.previous_file.as_deref())?;
        match (secret, previous) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err(usage_error(format!("{PREVIOUS} is set without {SECRET}: set the present secret too")))
            }
            (Some(secret), previous) => Ok(WebhookSecrets::new([secret].into_iter().chain(previous))),
        }
    }
}

fn read_one(name: &str, value: Option<&SecretString>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    let text = match (value, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(usage_error(format!("{name} and {name}_FILE are both set: unset one of them")));
        }
        (Some(value), None) => value.expose_secret().to_owned(),
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
            usage_error(format!(
                "cannot read {name}_FILE {} ({error}): name a readable text file",
                file.display()
            ))
        })?,
    };
    // Files end with a line break, and copied texts often begin with a space.
    let text = text.trim().to_owned();
    if text.chars().count() < MIN_SECRET_CHARS {
        return Err(usage_error(format!(
            "{name} is too short: expected at least {MIN_SECRET_CHARS} random characters, such as the output of \
             `openssl rand -hex 32`, and the same text in the settings of the webhook on GitHub"
        )));
    }
    Ok(Some(text))
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
        assert_eq!(read(WebhookSecretVariables::default()).unwrap(), "None");
        let of_file = WebhookSecretVariables { file: Some(path.clone()), ..Default::default() };
        assert_eq!(read(of_file).unwrap(), "Some(WebhookSecrets(1 secret))");
        let both =
            WebhookSecretVariables { secret: secret(LONG), previous: secret(LONG), ..Default::default() };
        assert_eq!(read(both).unwrap(), "Some(WebhookSecrets(2 secret))");
        for invalid in [
            WebhookSecretVariables { secret: secret(LONG), file: Some(path), ..Default::default() },
            WebhookSecretVariables { secret: secret(" hunter2 "), ..Default::default() },
            WebhookSecretVariables { previous: secret(LONG), ..Default::default() },
            WebhookSecretVariables { file: Some(directory.path().join("missing")), ..Default::default() },
        ] {
            let text = invalid.read().unwrap_err().to_string();
            assert!(text.contains("GITHUB_WEBHOOK_SECRET") && !text.contains("hunter2"), "{text}");
        }
    }
}
