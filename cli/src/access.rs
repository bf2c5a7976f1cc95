//! The tokens that variables hold: the one that `show` and `export` send, and the one that a server accepts in addition
//! to those of its store.

use std::path::PathBuf;

use gam_access::TokenSecret;
use secrecy::SecretString;

use crate::error::usage_error;
use crate::secret_variable::SecretVariable;

/// The shortest token that a server accepts from a variable, in characters: nobody can guess as many random ones.
const MIN_ADMIN_TOKEN_CHARS: usize = 32;

/// A token that a variable holds, or a file that a variable names.
#[derive(Debug, Default)]
pub(crate) struct TokenVariable(SecretVariable);

impl TokenVariable {
    /// Takes the values of a variable and of its `_FILE`.
    pub(crate) fn new(name: &'static str, value: Option<SecretString>, file: Option<PathBuf>) -> Self {
        TokenVariable(SecretVariable::new(name, value, file))
    }

    /// Returns the token, or `None` if neither variable is set.
    ///
    /// # Errors
    /// As [`SecretVariable::read`], and if the text is no token. No message contains the text.
    pub(crate) fn read(&self) -> anyhow::Result<Option<TokenSecret>> {
        let Some(text) = self.0.read()? else { return Ok(None) };
        let name = self.0.name();
        let token = TokenSecret::parse(&text).ok_or_else(|| {
            usage_error(format!(
                "invalid {name}: expected letters, digits and -._~+/= without spaces; copy the token again"
            ))
        })?;
        Ok(Some(token))
    }

    /// Returns the token that lets an administrator in, or `None` if neither variable is set.
    ///
    /// # Errors
    /// As [`TokenVariable::read`], and if the token is short.
    pub(crate) fn read_admin_token(&self) -> anyhow::Result<Option<TokenSecret>> {
        let token = self.read()?;
        if token.as_ref().is_some_and(|token| token.expose().len() < MIN_ADMIN_TOKEN_CHARS) {
            return Err(usage_error(format!(
                "{} is too short: expected at least {MIN_ADMIN_TOKEN_CHARS} random characters, such as the output of \
                 `openssl rand -hex 32`",
                self.0.name()
            )));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(value: Option<&str>, file: Option<PathBuf>) -> TokenVariable {
        TokenVariable::new("X_TOKEN", value.map(SecretString::from), file)
    }

    #[test]
    fn a_token_is_read_from_a_variable_or_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "sesame\n").unwrap();
        let read = |value, file| variable(value, file).read().unwrap().map(|it| it.expose().to_owned());
        assert_eq!(read(None, None), None);
        assert_eq!(read(Some("sesame"), None).as_deref(), Some("sesame"));
        assert_eq!(read(None, Some(file.clone())).as_deref(), Some("sesame"));
        for (value, file) in [
            (Some("sesame"), Some(file)),
            (Some("hunter 2"), None),
            (Some(" "), None),
            (None, Some(directory.path().join("missing"))),
        ] {
            let error = variable(value, file).read().unwrap_err().to_string();
            assert!(error.contains("X_TOKEN") && !error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn a_short_admin_token_is_refused() {
        let read = |text: &str| variable(Some(text), None).read_admin_token();
        assert!(read(&"x".repeat(32)).unwrap().is_some());
        let error = read("hunter2").unwrap_err().to_string();
        assert!(error.contains("openssl rand -hex 32") && !error.contains("hunter2"), "{error}");
        assert!(variable(None, None).read_admin_token().unwrap().is_none());
    }
}
