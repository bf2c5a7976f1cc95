//! A webhook of a Discord channel.

use gam_model::ChannelSettings;
use serde_json::json;

use super::{HttpPost, Values, colour};
use crate::message::{MessageLine, RichMessage};
use crate::plain_text::{cut, without_mentions};

/// The longest title of an embed, in characters.
const MAX_TITLE_CHARS: usize = 256;
/// The longest description of an embed, in characters.
const MAX_DESCRIPTION_CHARS: usize = 4_096;
/// The name of the file with the picture.
const PICTURE_FILE: &str = "chart.png";
/// The longest line before escaping, in characters.
const MAX_LINE_CHARS: usize = 400;

pub(super) fn request(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
) -> Result<HttpPost, String> {
    let lines = message.lines_within(MAX_DESCRIPTION_CHARS, |line| markdown(line).chars().count() + 1);
    let description: Vec<String> = lines.iter().map(markdown).collect();
    let mut embed = json!({
        "title": cut(&escape(&message.title), MAX_TITLE_CHARS),
        "description": description.join("\n"),
        "color": colour(message.severity),
    });
    let url = values.get(channel.url.as_ref())?;
    // Nobody is mentioned, whatever the texts say.
    let nobody = json!({ "parse": [] });
    let Some(picture) = &message.picture else {
        return HttpPost::json("Discord", url, &json!({ "embeds": [embed], "allowed_mentions": nobody }));
    };
    embed["image"] = json!({ "url": format!("attachment://{PICTURE_FILE}") });
    let attachment = json!({ "id": 0, "filename": PICTURE_FILE, "description": picture.description });
    let body = json!({ "embeds": [embed], "attachments": [attachment], "allowed_mentions": nobody });
    let request = HttpPost::json("Discord", url, &body)?;
    Ok(request.with_png("payload_json", PICTURE_FILE, &picture.png, &format!("message-{}", message.id)))
}

fn markdown(line: &MessageLine) -> String {
    let text = escape(&cut(&line.text, MAX_LINE_CHARS));
    match &line.link {
        Some(url) => format!("[{text}](<{}>)", url.replace(['>', ')', ' '], "")),
        None if line.is_heading => format!("**{text}**"),
        None => text,
    }
}

/// Escapes the characters of Discord's markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in without_mentions(text).chars() {
        if matches!(
            character,
            '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '#' | '[' | ']' | '(' | ')' | '-' | '.' | ':'
        ) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
