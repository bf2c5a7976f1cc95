//! Who signs in. Credentials are values: reading the environment is the composition root's.

use std::fmt;

use chrono::{DateTime, Utc};

/// Who signs in to GitHub. Neither is ever shown.
#[derive(Clone)]
pub enum Credentials {
    /// Personal tokens, classic or fine-grained. Of several, each call takes the one of which most is left;
    /// each of them must see what is to be read.
    Tokens(Vec<String>),
    /// A GitHub App, in every organization that it is installed in.
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

/// A GitHub App.
#[derive(Clone)]
pub struct AppCredentials {
    /// The app's id, or its client id.
    pub id: String,
    /// Its private key as PEM text, as GitHub gives it out.
    pub private_key_pem: String,
    /// The present moment: what the app says of itself is good for some minutes only.
    pub now: fn() -> DateTime<Utc>,
}

impl fmt::Debug for AppCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).finish_non_exhaustive()
    }
}
