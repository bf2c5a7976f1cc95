//! The channels: one file for each. A channel turns a message into what its service takes, and says what the answer means.

mod discord;
mod email;
mod http;
mod line;
mod slack;
mod webhook;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use gam_model::notify::SecretName;
use gam_model::{ChannelKind, ChannelSettings, Severity};
use secrecy::ExposeSecret as _;

use crate::message::RichMessage;
use crate::notifier::ChannelSecrets;

pub use email::{Mail, PICTURE_ID};
pub use http::{HttpAnswer, HttpPost, NoAnswer, is_loopback};

/// How an attempt to send a message ended. No text contains a secret or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The service took it, now or in an earlier attempt.
    Sent,
    /// The service is busy, or the limit is reached.
    Busy {
        /// What it answered.
        why: String,
        /// After how long it can be tried again, if the service says so.
        after: Option<Duration>,
    },
    /// The service did not answer, or failed.
    Failed {
        /// What it answered.
        why: String,
        /// After how long it can be tried again, if the service says so.
        after: Option<Duration>,
    },
    /// The service refuses this message. Another one may be sent.
    MessageRefused {
        /// What it answered.
        why: String,
    },
    /// The service refuses the address or the credential of the channel. A person must change it.
    ChannelRefused {
        /// What it answered.
        why: String,
    },
}

impl SendOutcome {
    /// Returns why the message was not sent, or `None` if it was.
    pub fn why(&self) -> Option<&str> {
        match self {
            SendOutcome::Sent => None,
            SendOutcome::Busy { why, .. }
            | SendOutcome::Failed { why, .. }
            | SendOutcome::MessageRefused { why }
            | SendOutcome::ChannelRefused { why } => Some(why),
        }
    }

    /// The channel is refused, for this reason.
    pub fn refused(why: impl Into<String>) -> Self {
        SendOutcome::ChannelRefused { why: why.into() }
    }

    /// The service failed, for this reason.
    pub fn failed(why: impl Into<String>) -> Self {
        SendOutcome::Failed { why: why.into(), after: None }
    }
}

/// What reaches services: HTTP and SMTP.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends a request once. It follows no redirect: a URL is a secret, and another server must not get the message.
    async fn post(&self, request: HttpPost) -> Result<HttpAnswer, NoAnswer>;

    /// Sends a mail once.
    async fn mail(&self, mail: Mail) -> SendOutcome;
}

/// Returns whether messages of a channel show a picture that is part of them. Slack and LINE take addresses of pictures
/// only, which everybody could open.
pub(crate) fn shows_pictures(kind: ChannelKind) -> bool {
    matches!(kind, ChannelKind::Email | ChannelKind::Discord)
}

/// Sends a message. `now` signs requests.
pub(crate) async fn send(
    transport: &dyn Transport,
    channel: &ChannelSettings,
    secrets: &ChannelSecrets,
    message: &RichMessage,
    now: DateTime<Utc>,
) -> SendOutcome {
    let values = Values(secrets);
    let request = match channel.kind {
        ChannelKind::Email => {
            return match email::mail(channel, values, message) {
                Ok(mail) => transport.mail(mail).await,
                Err(why) => SendOutcome::refused(why),
            };
        }
        ChannelKind::Webhook => webhook::request(channel, values, message, now),
        ChannelKind::Slack => slack::request(channel, values, message),
        ChannelKind::Discord => discord::request(channel, values, message),
        ChannelKind::Line => line::request(channel, values, message),
    };
    match request {
        Ok(request) => {
            let (service, repeated) = (request.service, request.repeated_status);
            http::outcome(service, repeated, transport.post(request).await)
        }
        Err(why) => SendOutcome::refused(why),
    }
}

/// The values of a channel's secrets.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a>(&'a ChannelSecrets);

impl<'a> Values<'a> {
    /// Returns the value that a field names.
    fn get(self, name: Option<&SecretName>) -> Result<&'a str, String> {
        let name = name.ok_or("the channel is not completely configured")?;
        let value = self.0.get(name.as_str()).map(|value| value.expose_secret().trim());
        value.filter(|value| !value.is_empty()).ok_or_else(|| format!("{} is not set", name.as_str()))
    }
}

/// The colour of a severity, as red, green and blue.
fn colour(severity: Severity) -> u32 {
    match severity {
        Severity::Info => 0x00_2E_6E_B5,
        Severity::Warning => 0x00_C9_8A_00,
        Severity::Error => 0x00_C0_39_2B,
        Severity::Urgent => 0x00_8E_24_AA,
    }
}

#[cfg(test)]
mod tests;
