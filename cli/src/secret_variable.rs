//! Secrets that a variable holds, or a file that a variable names.

use std::borrow::Cow;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use crate::error::usage_error;

/// The values of a variable and of its `_FILE`.
#[derive(Debug, Default)]
pub(crate) struct SecretVariable {
    /// The name of the variable. That of the file ends with `_FILE`.
    name: Cow<'static, str>,
    value: Option<SecretString>,
    file: Option<PathBuf>,
}

impl SecretVariable {
    /// Takes the values of a variable and of its `_FILE`.
    pub(crate) fn new(
        name: impl Into<Cow<'static, str>>,
        value: Option<SecretString>,
        file: Option<PathBuf>,
    ) -> Self {
        SecretVariable { name: name.into(), value, file }
    }

    /// The name of the variable.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the secret, or `None` if neither variable is set. Files end with a line break, and copied texts often
    /// begin with a space, so white space around it is removed.
    ///
    /// # Errors
    /// If both are set, or the file cannot be read. No message contains the secret.
    pub(crate) fn read(&self) -> anyhow::Result<Option<String>> {
        let name = &self.name;
        let text = match (&self.value, &self.file) {
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
        Ok(Some(text.trim().to_owned()))
    }
}
