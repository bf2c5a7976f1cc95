//! A webhook of a Discord channel. Pictures are uploaded with the message.

use gam_model::ChannelSettings;
use serde_json::json;

use super::{HttpPost, Values, colour};
use crate::message::{MessageLine, RichMessage};
use crate::plain_text::{cut, without_mentions};

/// The longest title of an embed, in characters.
const MAX_TITLE_CHARS: usize = 256;
/// The longest description of an embed, in characters.
const MAX_DESCRIPTION_CHARS: usize = 4_096;
/// The longest line before escaping, in characters.
const MAX_LINE_CHARS: usize = 400;
/// The name of the picture's file.
const PICTURE: &str = "chart.png";

pub(super) fn request(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
) -> Result<HttpPost, String> {
    let mut description = String::new();
    for line in &message.lines {
        let text = markdown(line);
        if description.chars().count() + text.chars().count() + 1 > MAX_DESCRIPTION_CHARS {
            break;
        }
        description.push_str(&text);
        description.push('\n');
    }
    let mut embed = json!({
        "title": cut(&escape(&message.title), MAX_TITLE_CHARS),
        "description": description.trim_end(),
        "color": colour(message.severity),
    });
    if message.picture.is_some() {
        embed["image"] = json!({ "url": format!("attachment://{PICTURE}") });
    }
    // Nobody is mentioned, whatever the texts say.
    let body = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
    let url = values.get(channel.url.as_ref())?;
    let mut request = HttpPost::json("Discord", url, &body)?;
    if let Some(picture) = &message.picture {
        let boundary = format!("gam-{}", message.id);
        request.content_type = format!("multipart/form-data; boundary={boundary}");
        request.body = multipart(&boundary, &request.body, &picture.png);
    }
    Ok(request)
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

fn multipart(boundary: &str, json: &[u8], png: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(json.len() + png.len() + 400);
    let mut part = |head: &str, bytes: &[u8]| {
        body.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    };
    part("Content-Disposition: form-data; name=\"payload_json\"\r\nContent-Type: application/json", json);
    let file = format!(
        "Content-Disposition: form-data; name=\"files[0]\"; filename=\"{PICTURE}\"\r\nContent-Type: image/png"
    );
    part(&file, png);
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body
}
