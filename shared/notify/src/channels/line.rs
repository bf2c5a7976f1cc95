//! Push messages of the LINE Messaging API. LINE Notify ended in March 2025.

use gam_model::ChannelSettings;
use serde_json::json;

use super::{HttpPost, Values};
use crate::message::{MessageLine, RichMessage};
use crate::plain_text::{cut, without_mentions};

/// The API, unless the channel names another address.
const API: &str = "https://api.line.me";
/// The longest text, in UTF-16 units.
const MAX_TEXT_UNITS: usize = 5_000;
/// The longest line, in characters.
const MAX_LINE_CHARS: usize = 400;
/// The status of a repeated request that was taken before.
const REPEATED: u16 = 409;

pub(super) fn request(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
) -> Result<HttpPost, String> {
    let mut text = without_mentions(&cut(&message.title, MAX_LINE_CHARS));
    let lines = message.lines_within(MAX_TEXT_UNITS - units(&text), |line| units(&line_text(line)));
    text.extend(lines.iter().map(line_text));
    let body = json!({
        "to": values.get(channel.to.as_ref())?,
        "messages": [{ "type": "text", "text": text }],
    });
    let api = match &channel.url {
        Some(name) => values.get(Some(name))?,
        None => API,
    };
    let url = format!("{}/v2/bot/message/push", api.trim_end_matches('/'));
    let mut request = HttpPost::json("LINE", &url, &body)?;
    let token = values.get(channel.token.as_ref())?;
    request.headers =
        vec![("authorization", format!("Bearer {token}")), ("x-line-retry-key", retry_key(&message.id))];
    request.repeated_status = Some(REPEATED);
    Ok(request)
}

/// Returns a line, and below it where it links to.
fn line_text(line: &MessageLine) -> String {
    let text = without_mentions(&cut(&line.text, MAX_LINE_CHARS));
    let url = line.link.as_ref().map(|url| format!("\n{url}")).unwrap_or_default();
    format!("\n{text}{url}")
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Returns the id of a message as a UUID.
fn retry_key(id: &str) -> String {
    let mut digits = id.to_owned();
    // The version and the variant of a random UUID.
    digits.replace_range(12..13, "4");
    digits.replace_range(16..17, "8");
    format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32])
}
