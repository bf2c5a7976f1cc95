//! Who signs in to GitHub, from the variables: tokens, or a GitHub App.

use std::path::Path;

use gam_github::{AppCredentials, Credentials};
use gam_model::{Clock, SystemClock};

use crate::exit::usage;
use crate::settings::Secret;

/// What the variables say of it.
pub(crate) struct Given {
    /// `GITHUB_TOKEN`: one token, or several with commas between them.
    pub(crate) tokens: Option<Secret>,
    /// `GITHUB_APP_ID`.
    pub(crate) app_id: Option<String>,
    /// `GITHUB_APP_PRIVATE_KEY`: PEM text, or the path of a file with it.
    pub(crate) app_key: Option<Secret>,
}

/// Who signs in; nobody where nothing says so. An app goes before tokens, which some hosts set by
/// themselves.
///
/// # Errors
/// Where what is given cannot be used. No text shows a token or a key.
pub(crate) fn credentials(given: Given) -> anyhow::Result<Option<Credentials>> {
    match (given.app_id, given.app_key, given.tokens) {
        (Some(id), Some(key), _) => app(id.trim(), &key).map(|app| Some(Credentials::App(app))),
        (_, _, Some(token)) => tokens(&token).map(|tokens| Some(Credentials::Tokens(tokens))),
        (Some(_), None, None) => Err(usage(
            "GITHUB_APP_ID is set, but not GITHUB_APP_PRIVATE_KEY: set it to the app's private key, or to the \
             path of its PEM file",
        )),
        (None, Some(_), None) => {
            Err(usage("GITHUB_APP_PRIVATE_KEY is set, but not GITHUB_APP_ID: set it to the app's id"))
        }
        (None, None, None) => Ok(None),
    }
}

fn tokens(secret: &Secret) -> anyhow::Result<Vec<String>> {
    let mut tokens: Vec<String> = Vec::new();
    for token in secret.reveal().split(',').map(str::trim).filter(|token| !token.is_empty()) {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(usage("GITHUB_TOKEN holds characters that no token has: copy the token again"));
        }
        if !tokens.iter().any(|known| known == token) {
            tokens.push(token.to_owned());
        }
    }
    if tokens.is_empty() {
        Err(usage("GITHUB_TOKEN holds no token: copy the token again"))
    } else {
        Ok(tokens)
    }
}

fn app(id: &str, key: &Secret) -> anyhow::Result<AppCredentials> {
    let key = key.reveal().trim();
    let pem = if key.contains("-----BEGIN") {
        // Variables that hold one line only have their line ends written out.
        key.replace("\\n", "\n")
    } else {
        std::fs::read_to_string(Path::new(key)).map_err(|error| {
            usage(format!(
                "GITHUB_APP_PRIVATE_KEY is neither PEM text nor the path of a file that can be read ({error}): \
                 give the PEM file that GitHub made for the app"
            ))
        })?
    };
    Ok(AppCredentials { id: id.to_owned(), private_key_pem: pem, now: || SystemClock.now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(tokens: Option<&str>, id: Option<&str>, key: Option<&str>) -> Given {
        let secret = |text: &str| Secret::from(text.to_owned());
        Given { tokens: tokens.map(secret), app_id: id.map(str::to_owned), app_key: key.map(secret) }
    }

    fn refusal(given: Given) -> String {
        let error = credentials(given).unwrap_err();
        assert_eq!(crate::exit::status(&error), crate::exit::Exit::Usage);
        error.to_string()
    }

    #[test]
    fn several_tokens_have_commas_between_them() {
        let found = credentials(given(Some(" a, b,,a\n"), None, None)).unwrap();
        assert!(matches!(found, Some(Credentials::Tokens(tokens)) if tokens == ["a", "b"]));
        assert!(credentials(given(None, None, None)).unwrap().is_none());
        for wrong in ["hunter2 x", ",", "hunter2\u{e9}"] {
            let text = refusal(given(Some(wrong), None, None));
            assert!(text.contains("GITHUB_TOKEN") && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn an_apps_key_is_text_or_a_file_and_goes_before_tokens() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\\nabc\\n-----END RSA PRIVATE KEY-----";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.pem");
        std::fs::write(&file, text.replace("\\n", "\n")).unwrap();
        for key in [text, file.to_str().unwrap()] {
            let found = credentials(given(Some("token"), Some("7"), Some(key))).unwrap();
            let Some(Credentials::App(app)) = found else { panic!("{found:?}") };
            assert_eq!((app.id.as_str(), app.private_key_pem.lines().nth(1)), ("7", Some("abc")));
        }
        let found = credentials(given(Some("token"), Some("7"), None)).unwrap();
        assert!(matches!(found, Some(Credentials::Tokens(_))), "half an app is none");
    }

    #[test]
    fn half_an_app_is_told_what_is_missing() {
        assert!(refusal(given(None, Some("7"), None)).contains("GITHUB_APP_PRIVATE_KEY"));
        assert!(refusal(given(None, None, Some("x"))).contains("not GITHUB_APP_ID"));
        let text = refusal(given(None, Some("7"), Some("/nonexistent/hunter2.pem")));
        assert!(text.contains("PEM file") && !text.contains("hunter2"), "{text}");
    }
}
