//! The credentials for GitHub, from the variables: tokens, or a GitHub App.

use std::path::Path;

use gam_github::{AppCredentials, Credentials};
use gam_model::{Clock, SystemClock};
use secrecy::{ExposeSecret, SecretString};

use crate::error::usage_error;

/// The variables that hold credentials.
pub(crate) struct CredentialVariables {
    /// `GITHUB_TOKEN`: one token, or several separated by commas.
    pub(crate) tokens: Option<SecretString>,
    /// `GITHUB_APP_ID`.
    pub(crate) app_id: Option<String>,
    /// `GITHUB_APP_PRIVATE_KEY`: PEM text, or the path of a PEM file.
    pub(crate) app_key: Option<SecretString>,
}

/// Returns the credentials, or `None` if no variable is set. An app has precedence over tokens, because
/// some hosts set a token by themselves.
///
/// # Errors
/// If the variables are incomplete or invalid. No message contains a token or a key.
pub(crate) fn credentials(variables: CredentialVariables) -> anyhow::Result<Option<Credentials>> {
    match (variables.app_id, variables.app_key, variables.tokens) {
        (Some(id), Some(key), _) => {
            app("GITHUB_APP_PRIVATE_KEY", id.trim(), &key).map(|app| Some(Credentials::App(app)))
        }
        (_, _, Some(token)) => tokens(&token).map(|tokens| Some(Credentials::Tokens(tokens))),
        (Some(_), None, None) => Err(usage_error(
            "GITHUB_APP_ID is set, but GITHUB_APP_PRIVATE_KEY is not: set it to the app's private key, or to \
             the path of its PEM file",
        )),
        (None, Some(_), None) => Err(usage_error(
            "GITHUB_APP_PRIVATE_KEY is set, but GITHUB_APP_ID is not: set it to the app's id",
        )),
        (None, None, None) => Ok(None),
    }
}

fn tokens(secret: &SecretString) -> anyhow::Result<Vec<String>> {
    let mut tokens: Vec<String> = Vec::new();
    for token in secret.expose_secret().split(',').map(str::trim).filter(|token| !token.is_empty()) {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(usage_error(
                "invalid GITHUB_TOKEN: it contains characters that no token has; copy the token again",
            ));
        }
        if !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
    }
    if tokens.is_empty() {
        Err(usage_error("invalid GITHUB_TOKEN: it contains no token; copy the token again"))
    } else {
        Ok(tokens)
    }
}

/// Returns the credentials of an app from its id and the value of the variable `name`.
///
/// # Errors
/// If the value is neither a key nor the path of one.
pub(crate) fn app(name: &str, id: &str, key: &SecretString) -> anyhow::Result<AppCredentials> {
    let key = key.expose_secret().trim();
    let pem = if key.contains("-----BEGIN") {
        // Some hosts allow only one line in a variable, with line ends as `\n`.
        key.replace("\\n", "\n")
    } else {
        std::fs::read_to_string(Path::new(key)).map_err(|error| {
            usage_error(format!(
                "invalid {name}: it is neither PEM text nor the path of a readable file \
                 ({error}); use the PEM file that GitHub generated for the app"
            ))
        })?
    };
    Ok(AppCredentials { id: id.to_owned(), private_key_pem: pem, now: || SystemClock.now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(tokens: Option<&str>, id: Option<&str>, key: Option<&str>) -> CredentialVariables {
        let secret = |text: &str| SecretString::from(text.to_owned());
        CredentialVariables {
            tokens: tokens.map(secret),
            app_id: id.map(str::to_owned),
            app_key: key.map(secret),
        }
    }

    fn error_message(variables: CredentialVariables) -> String {
        let error = credentials(variables).unwrap_err();
        assert_eq!(crate::error::exit_status(&error), crate::exit::Exit::Usage);
        error.to_string()
    }

    #[test]
    fn tokens_are_separated_by_commas() {
        let parsed = credentials(variables(Some(" a, b,,a\n"), None, None)).unwrap();
        assert!(matches!(parsed, Some(Credentials::Tokens(tokens)) if tokens == ["a", "b"]));
        assert!(credentials(variables(None, None, None)).unwrap().is_none());
        for invalid in ["hunter2 x", ",", "hunter2\u{e9}"] {
            let text = error_message(variables(Some(invalid), None, None));
            assert!(text.contains("GITHUB_TOKEN") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn an_app_key_is_text_or_a_file_and_precedes_tokens() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\\nabc\\n-----END RSA PRIVATE KEY-----";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        std::fs::write(&file, text.replace("\\n", "\n")).unwrap();
        for key in [text, file.to_str().unwrap()] {
            let parsed = credentials(variables(Some("token"), Some("7"), Some(key))).unwrap();
            let Some(Credentials::App(app)) = parsed else { panic!("{parsed:?}") };
            assert_eq!((app.id.as_str(), app.private_key_pem.lines().nth(1)), ("7", Some("abc")));
        }
        let parsed = credentials(variables(Some("token"), Some("7"), None)).unwrap();
        assert!(matches!(parsed, Some(Credentials::Tokens(_))), "an id without a key is no app");
    }

    #[test]
    fn an_incomplete_app_names_the_missing_variable() {
        let without_key = error_message(variables(None, Some("7"), None));
        assert!(without_key.contains("GITHUB_APP_PRIVATE_KEY is not"), "{without_key}");
        let without_id = error_message(variables(None, None, Some("x")));
        assert!(without_id.contains("GITHUB_APP_ID is not"), "{without_id}");
        let text = error_message(variables(None, Some("7"), Some("/nonexistent/hunter2.pem")));
        assert!(text.contains("PEM file") && !text.contains("hunter2"), "{text}");
    }
}
