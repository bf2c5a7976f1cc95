//! The variables that the deployment sets.

use anyhow::{Context, bail};

/// The variable, if it is set and not empty.
#[expect(clippy::disallowed_methods, reason = "a composition root reads the environment, and here is where")]
pub fn optional(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The variable.
///
/// # Errors
/// Where it is not set.
pub fn required(name: &str) -> anyhow::Result<String> {
    optional(name)
        .with_context(|| format!("the variable {name} is not set: deploy the function with template.yaml"))
}

/// The organizations that the deployment is for, in lower case.
///
/// # Errors
/// Where none is named.
pub fn organizations() -> anyhow::Result<Vec<String>> {
    let named = required("ORGANIZATIONS")?;
    let orgs: Vec<String> =
        named.split(',').map(|org| org.trim().to_lowercase()).filter(|org| !org.is_empty()).collect();
    if orgs.is_empty() {
        bail!("ORGANIZATIONS {named:?} names no organization: give logins, separated by commas");
    }
    Ok(orgs)
}

/// The variable as a number.
///
/// # Errors
/// Where it is set and no number.
pub fn number(name: &str) -> anyhow::Result<Option<u32>> {
    let parse = |text: String| text.parse().with_context(|| format!("{name} {text:?} is no number"));
    optional(name).map(parse).transpose()
}
