//! Actions on one machine: the credential that may write, and the loop that does what is due.

use std::path::PathBuf;
use std::time::Duration;

use gam_github::{Client, Credentials};
use gam_work::actions::Actions;
use gam_work_ports::GitHubWriter;
use secrecy::SecretString;

use crate::error::{one_line, usage_error};
use crate::secret_variable::SecretVariable;
use crate::sign_in;

/// Pause between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Pause after the store failed.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);

/// The variables of the credential that may write to GitHub.
#[derive(Debug)]
pub(crate) struct WriteVariables {
    token: SecretVariable,
    app_id: Option<String>,
    app_key: Option<SecretString>,
}

impl WriteVariables {
    /// Takes the values of `GITHUB_WRITE_TOKEN` with that of its `_FILE`, of `GITHUB_WRITE_APP_ID` and of
    /// `GITHUB_WRITE_APP_PRIVATE_KEY`.
    pub(crate) fn new(
        (token, token_file): (Option<SecretString>, Option<PathBuf>),
        app_id: Option<String>,
        app_key: Option<SecretString>,
    ) -> Self {
        WriteVariables {
            token: SecretVariable::new("GITHUB_WRITE_TOKEN", token, token_file),
            app_id,
            app_key,
        }
    }

    /// Returns the credential, or `None` if no variable is set. An app has precedence over a token.
    ///
    /// # Errors
    /// As [`SecretVariable::read`], and if a value is invalid. No message contains a secret.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Credentials>> {
        match (&self.app_id, &self.app_key) {
            (Some(id), Some(key)) => {
                let app = sign_in::app("GITHUB_WRITE_APP_PRIVATE_KEY", id.trim(), key)?;
                return Ok(Some(Credentials::App(app)));
            }
            (None, None) => {}
            _ => {
                return Err(usage_error(
                    "GITHUB_WRITE_APP_ID and GITHUB_WRITE_APP_PRIVATE_KEY belong together: set both, or none",
                ));
            }
        }
        let Some(token) = self.token.read()? else { return Ok(None) };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(usage_error("invalid GITHUB_WRITE_TOKEN: expected one token; copy it again"));
        }
        Ok(Some(Credentials::Tokens(vec![token])))
    }
}

/// Creates the client that writes. Must be called within the async runtime.
///
/// # Errors
/// If the client rejects the settings.
pub(crate) fn writing_client(api_url: &str, credentials: Credentials) -> anyhow::Result<Client> {
    Client::new(GitHubWriter::client_settings(api_url.to_owned(), credentials))
        .map_err(|error| usage_error(error.to_string()))
}

/// Does what is due until [`Actions::stop`] is called. A request that was sent is finished first.
pub(crate) async fn run(actions: &Actions) {
    while !actions.is_stopping() {
        let pause = match actions.run_due().await {
            Ok(report) if report.changed > 0 => Duration::ZERO,
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!("cannot carry out actions: {}", one_line(&error.into()));
                FAILURE_PAUSE
            }
        };
        if !pause.is_zero() {
            actions.wait_for_work(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(token: Option<&str>, id: Option<&str>, key: Option<&str>) -> WriteVariables {
        WriteVariables::new(
            (token.map(SecretString::from), None),
            id.map(str::to_owned),
            key.map(SecretString::from),
        )
    }

    #[test]
    fn the_credential_for_writing_has_variables_of_its_own() {
        assert!(variables(None, None, None).read().unwrap().is_none());
        let token = variables(Some(" ghp_x\n"), None, None).read().unwrap().unwrap();
        assert!(matches!(token, Credentials::Tokens(tokens) if tokens == ["ghp_x"]));
        for invalid in [
            variables(Some("hunter2,x"), None, None),
            variables(Some(" "), None, None),
            variables(None, Some("1"), None),
            variables(None, None, Some("hunter2")),
            variables(None, Some("1"), Some("hunter2")),
        ] {
            let text = invalid.read().unwrap_err().to_string();
            assert!(text.contains("GITHUB_WRITE_") && !text.contains("hunter2"), "{text}");
        }
    }
}
