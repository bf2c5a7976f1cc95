//! An incoming webhook of Slack. Lines are rich text, in which nothing is markup and nobody is mentioned.

use gam_model::ChannelSettings;
use serde_json::{Value, json};

use super::{HttpPost, Values};
use crate::message::{MessageLine, RichMessage};
use crate::plain_text::{cut, without_mentions};

/// The longest header, in characters.
const MAX_HEADER_CHARS: usize = 150;
/// The longest line, in characters.
const MAX_LINE_CHARS: usize = 600;
/// The longest sum of all lines, in characters. Slack fails at about 13,200.
const MAX_TEXT_CHARS: usize = 9_000;

pub(super) fn request(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
) -> Result<HttpPost, String> {
    let lines = message.lines_within(MAX_TEXT_CHARS, |line| line.text.chars().count().min(MAX_LINE_CHARS));
    let sections: Vec<Value> = lines.iter().map(section).collect();
    let title = cut(&message.title, MAX_HEADER_CHARS);
    let body = json!({
        "text": escape(&title),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&without_mentions(&title), MAX_HEADER_CHARS), "emoji": false } },
            { "type": "rich_text", "elements": sections },
        ],
    });
    HttpPost::json("Slack", values.get(channel.url.as_ref())?, &body)
}

fn section(line: &MessageLine) -> Value {
    let style = json!({ "bold": line.is_heading });
    let text = without_mentions(&cut(&line.text, MAX_LINE_CHARS));
    let element = match &line.link {
        Some(url) => json!({ "type": "link", "url": url, "text": text }),
        None => json!({ "type": "text", "text": text, "style": style }),
    };
    json!({ "type": "rich_text_section", "elements": [element, { "type": "text", "text": "\n" }] })
}

/// Escapes what Slack takes as control sequences, in texts of notifications on phones.
fn escape(text: &str) -> String {
    without_mentions(&text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}
