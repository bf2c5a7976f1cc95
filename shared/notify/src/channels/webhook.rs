//! A URL that gets JSON, signed as Standard Webhooks defines (<https://www.standardwebhooks.com>). So bots, flow tools
//! and Apprise take messages for any other service.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use gam_model::ChannelSettings;
use gam_model::notify::SecretName;
use ring::hmac;
use serde_json::json;

use super::{HttpPost, Values};
use crate::message::RichMessage;

/// The shortest key, in bytes.
const MIN_KEY_BYTES: usize = 24;

pub(super) fn request(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
    now: DateTime<Utc>,
) -> Result<HttpPost, String> {
    let (kind, data) = &message.data;
    let lines = message.lines.iter().map(|line| json!({ "text": line.text, "link": line.link }));
    let body = json!({
        "type": kind,
        "timestamp": message.made_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "title": message.title,
        "severity": message.severity,
        "lines": lines.collect::<Vec<_>>(),
        "data": data,
    });
    let mut request = HttpPost::json("the webhook", values.get(channel.url.as_ref())?, &body)?;
    let id = format!("msg_{}", message.id);
    let timestamp = now.timestamp().to_string();
    let mut signatures = Vec::new();
    for name in &channel.signing_secrets {
        signatures.push(format!("v1,{}", signature(&key(values, name)?, &id, &timestamp, &request.body)));
    }
    request.headers = vec![
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signatures.join(" ")),
    ];
    Ok(request)
}

fn key(values: Values<'_>, name: &SecretName) -> Result<hmac::Key, String> {
    let text = values.get(Some(name))?;
    let bytes = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    match bytes.filter(|bytes| bytes.len() >= MIN_KEY_BYTES) {
        Some(bytes) => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        None => Err(format!(
            "{} is no signing secret: expected whsec_ and the base64 of at least {MIN_KEY_BYTES} bytes, such as the output \
             of `echo whsec_$(openssl rand -base64 32)`",
            name.as_str()
        )),
    }
}

/// Returns the signature of a request, in base64.
fn signature(key: &hmac::Key, id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    STANDARD.encode(context.sign())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let key =
            hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signed =
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signed, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
