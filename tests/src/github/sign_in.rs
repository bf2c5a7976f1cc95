//! Sign-in: tokens, each with its own limit, and an app whose installation issues tokens.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// The app's id.
pub const APP_ID: &str = "77";

/// A token that the double accepts.
#[derive(Debug, Clone)]
struct AcceptedToken {
    /// Points left of its hourly limit.
    remaining: u64,
    expires_at: Option<DateTime<Utc>>,
}

/// The tokens and the app that the double accepts.
#[derive(Debug, Default)]
pub(super) struct SignIn {
    tokens: BTreeMap<String, AcceptedToken>,
    has_app: bool,
    /// Id of the app's installation. Every installation has another id.
    installation: Option<u32>,
    issued_tokens: usize,
    /// The token of every request so far.
    pub(super) used_tokens: Vec<String>,
}

/// Who sent a request.
pub(super) enum Caller {
    /// Unknown.
    Unknown,
    /// The app itself. It can list its installations and issue tokens.
    App,
    /// A token, with the points that are left of its limit.
    Token(u64),
}

impl SignIn {
    /// Accepts a token with `remaining` points left of its limit.
    pub(super) fn accept(&mut self, token: &str, remaining: u64) {
        self.tokens.insert(token.to_owned(), AcceptedToken { remaining, expires_at: None });
    }

    /// Accepts the app, installed in the organization.
    pub(super) fn install_app(&mut self) {
        self.has_app = true;
        self.installation = Some(5 + self.issued_tokens as u32);
    }

    /// Uninstalls the app and revokes every token.
    pub(super) fn uninstall_app(&mut self) {
        self.installation = None;
        self.revoke(None);
    }

    /// Revokes a token, or all if `None`.
    pub(super) fn revoke(&mut self, token: Option<&str>) {
        self.tokens.retain(|accepted, _| token.is_some_and(|token| token != accepted));
    }

    /// Returns the number of tokens that the installation issued.
    pub(super) fn issued_tokens(&self) -> usize {
        self.issued_tokens
    }

    /// Identifies the sender of a request by its `authorization` header.
    pub(super) fn identify(&mut self, authorization: &str, now: DateTime<Utc>) -> Caller {
        let token = authorization.split_once(' ').filter(|(kind, _)| matches!(*kind, "Bearer" | "token"));
        let Some((_, token)) = token else { return Caller::Unknown };
        self.used_tokens.push(token.to_owned());
        if let Some(accepted) =
            self.tokens.get_mut(token).filter(|it| it.expires_at.is_none_or(|expires_at| now < expires_at))
        {
            accepted.remaining = accepted.remaining.saturating_sub(1);
            return Caller::Token(accepted.remaining);
        }
        if self.has_app && is_app_token(token, now) { Caller::App } else { Caller::Unknown }
    }

    /// Answers a request that only the app can send.
    pub(super) fn answer(&mut self, path: &str, org: &str, now: DateTime<Utc>) -> Option<(u16, Value)> {
        let permissions =
            json!({ "metadata": "read", "contents": "read", "issues": "read", "members": "read" });
        let id = self.installation?;
        let installation = json!({ "id": id, "account": { "login": org }, "permissions": permissions });
        match path {
            "/app" => Some((200, json!({ "id": 77, "name": "Counter" }))),
            "/app/installations" => Some((200, json!([installation]))),
            _ if path == format!("/app/installations/{id}/access_tokens") => {
                self.issued_tokens += 1;
                // As long as GitHub's current tokens, with dots, dashes and underscores.
                let token = format!("ghs_77_{}.{}-{}", self.issued_tokens, "a".repeat(400), "b".repeat(90));
                let expires_at = now + TimeDelta::hours(1);
                self.tokens
                    .insert(token.clone(), AcceptedToken { remaining: 5000, expires_at: Some(expires_at) });
                Some((201, json!({ "token": token, "expires_at": expires_at.to_rfc3339() })))
            }
            _ if path.eq_ignore_ascii_case(&format!("/orgs/{org}/installation")) => Some((200, installation)),
            _ => None,
        }
    }
}

/// Returns whether a token is a JWT of the app that is valid now. The signature is not checked.
fn is_app_token(token: &str, now: DateTime<Utc>) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default();
    let (from, to) = (claims["iat"].as_i64().unwrap_or(i64::MAX), claims["exp"].as_i64().unwrap_or(0));
    let now = now.timestamp();
    claims["iss"] == APP_ID && from <= now && now < to && to <= now + 600
}
