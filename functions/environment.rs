//! The environment variables that the deployment sets.

use anyhow::{Context, bail};

/// Returns a variable, or `None` if it is not set or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "a composition root reads the environment, and this is the place"
)]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns a variable.
///
/// # Errors
/// If the variable is not set.
pub fn required(name: &str) -> anyhow::Result<String> {
    optional(name)
        .with_context(|| format!("the variable {name} is not set: deploy the function with template.yaml"))
}

/// Returns the organizations of the deployment, in lower case.
///
/// # Errors
/// If `ORGANIZATIONS` is not set, or has no login.
pub fn organizations() -> anyhow::Result<Vec<String>> {
    let value = required("ORGANIZATIONS")?;
    let orgs: Vec<String> =
        value.split(',').map(|org| org.trim().to_lowercase()).filter(|org| !org.is_empty()).collect();
    if orgs.is_empty() {
        bail!("invalid ORGANIZATIONS {value:?}: expected logins, separated by commas");
    }
    Ok(orgs)
}

/// Returns a variable as a number, or `None` if it is not set.
///
/// # Errors
/// If the variable is set but not a number.
pub fn number(name: &str) -> anyhow::Result<Option<u32>> {
    let parse =
        |text: String| text.parse().with_context(|| format!("invalid {name} {text:?}: expected a number"));
    optional(name).map(parse).transpose()
}
