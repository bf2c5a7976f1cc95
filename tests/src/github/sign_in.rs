//! Who may ask: tokens with limits of their own, and an app whose installation gives out tokens.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// The app's id.
pub const APP_ID: &str = "77";

/// What is left of a token's limits, and until when it is good.
#[derive(Debug, Clone)]
struct Token {
    left: u64,
    until: Option<DateTime<Utc>>,
}

/// Who may ask.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    tokens: BTreeMap<String, Token>,
    has_app: bool,
    /// The id of the app's installation: another each time.
    installation: Option<u32>,
    given: usize,
    /// The tokens that asked, one a request.
    pub(super) asked: Vec<String>,
}

/// Who asks.
pub(super) enum Caller {
    /// Nobody who is known.
    Nobody,
    /// The app itself: it may ask about its installations and for tokens.
    App,
    /// A token, of which so much is left.
    Token(u64),
}

impl SignIn {
    /// Accepts a token, of whose limits so much is left.
    pub(super) fn accept(&mut self, token: &str, left: u64) {
        self.tokens.insert(token.to_owned(), Token { left, until: None });
    }

    /// Accepts the app, installed in the organization.
    pub(super) fn install_app(&mut self) {
        self.has_app = true;
        self.installation = Some(5 + self.given as u32);
    }

    /// Takes the app out of the organization, and with it the tokens it was given.
    pub(super) fn uninstall_app(&mut self) {
        self.installation = None;
        self.revoke(None);
    }

    /// Refuses a token from now on; all of them where none is named.
    pub(super) fn revoke(&mut self, token: Option<&str>) {
        self.tokens.retain(|known, _| token.is_some_and(|token| token != known));
    }

    /// How many tokens the installation gave out.
    pub(super) fn given(&self) -> usize {
        self.given
    }

    /// Who asks with that header.
    pub(super) fn who(&mut self, authorization: &str, now: DateTime<Utc>) -> Caller {
        let token = authorization.split_once(' ').filter(|(kind, _)| matches!(*kind, "Bearer" | "token"));
        let Some((_, token)) = token else { return Caller::Nobody };
        self.asked.push(token.to_owned());
        if let Some(known) = self.tokens.get_mut(token).filter(|it| it.until.is_none_or(|until| now < until))
        {
            known.left = known.left.saturating_sub(1);
            return Caller::Token(known.left);
        }
        if self.has_app && is_of_app(token, now) { Caller::App } else { Caller::Nobody }
    }

    /// Answers what only the app may ask.
    pub(super) fn answer(&mut self, path: &str, org: &str, now: DateTime<Utc>) -> Option<(u16, Value)> {
        let permissions =
            json!({ "metadata": "read", "contents": "read", "issues": "read", "members": "read" });
        let id = self.installation?;
        let installation = json!({ "id": id, "account": { "login": org }, "permissions": permissions });
        match path {
            "/app" => Some((200, json!({ "id": 77, "name": "Counter" }))),
            "/app/installations" => Some((200, json!([installation]))),
            _ if path == format!("/app/installations/{id}/access_tokens") => {
                self.given += 1;
                // As long as GitHub's are nowadays, with dots, dashes and underscores.
                let token = format!("ghs_77_{}.{}-{}", self.given, "a".repeat(400), "b".repeat(90));
                let until = now + TimeDelta::hours(1);
                self.tokens.insert(token.clone(), Token { left: 5000, until: Some(until) });
                Some((201, json!({ "token": token, "expires_at": until.to_rfc3339() })))
            }
            _ if path.eq_ignore_ascii_case(&format!("/orgs/{org}/installation")) => Some((200, installation)),
            _ => None,
        }
    }
}

/// Whether the app says so of itself, at about now by GitHub's clock. Who signed it is not looked at.
fn is_of_app(token: &str, now: DateTime<Utc>) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let (from, to) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
    let now = now.timestamp();
    claims["iss"] == APP_ID && from <= now && now < to && to <= now + 600
}
