//! How to sign in. Credentials are plain values: only the composition roots read the environment.

use std::fmt;

use chrono::{DateTime, Utc};

/// How to sign in to GitHub. The `Debug` output shows no secret.
#[derive(Clone)]
pub enum Credentials {
    /// Personal access tokens, classic or fine-grained. Each call uses the token with the most points left,
    /// so every token must be able to read everything that is collected.
    Tokens(Vec<String>),
    /// A GitHub App. It signs in separately to each organization in which it is installed.
    App(AppCredentials),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Tokens(tokens) => write!(f, "Tokens({} secret)", tokens.len()),
            Credentials::App(app) => app.fmt(f),
        }
    }
}

/// The credentials of a GitHub App.
#[derive(Clone)]
pub struct AppCredentials {
    /// The app's id or its client id; GitHub accepts both.
    pub id: String,
    /// The private key in PEM format, as downloaded from GitHub.
    pub private_key_pem: String,
    /// Returns the current time, UTC. The tokens that the app signs are valid for a few minutes only.
    pub now: fn() -> DateTime<Utc>,
}

impl fmt::Debug for AppCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}
