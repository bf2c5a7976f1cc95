//! Mail, as HTML and as plain text. What sends it speaks SMTP.

use std::fmt;

use gam_model::ChannelSettings;
use gam_model::notify::SecretName;
use maud::{DOCTYPE, html};
use secrecy::SecretString;

use super::{Values, colour};
use crate::message::RichMessage;
use crate::plain_text::cut;

/// The longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = 200;

/// The id of the picture within a mail.
pub const PICTURE_ID: &str = "chart";
/// The width of the picture in pixels.
const PICTURE_WIDTH: u32 = 640;

/// A mail.
pub struct Mail {
    /// The URL of the mail server, with the credential.
    pub server: SecretString,
    /// The sender's address.
    pub from: SecretString,
    /// The receivers' addresses, separated by commas.
    pub to: SecretString,
    /// The names of the variables of `from` and `to`, for errors.
    pub address_names: (String, String),
    /// The subject: one line.
    pub subject: String,
    /// When the message was made, UTC.
    pub date: chrono::DateTime<chrono::Utc>,
    /// The same for each attempt, so that the receiver sees one mail. Without a domain.
    pub message_id: String,
    /// The plain text.
    pub text: String,
    /// The HTML. It shows the picture as `cid:` and [`PICTURE_ID`].
    pub html: String,
    /// The PNG of the picture.
    pub picture: Option<Vec<u8>>,
}

/// Names the mail only: its texts may have links with which their reader decides on actions.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

pub(super) fn mail(
    channel: &ChannelSettings,
    values: Values<'_>,
    message: &RichMessage,
) -> Result<Mail, String> {
    let secret = |name: Option<&SecretName>| values.get(name).map(SecretString::from);
    let name = |secret: Option<&SecretName>| secret.map_or("", SecretName::as_str).to_owned();
    Ok(Mail {
        server: secret(channel.url.as_ref())?,
        from: secret(channel.from.as_ref())?,
        to: secret(channel.to.as_ref())?,
        address_names: (name(channel.from.as_ref()), name(channel.to.as_ref())),
        subject: cut(&message.title, MAX_SUBJECT_CHARS),
        date: message.made_at,
        message_id: message.id.clone(),
        text: plain(message),
        html: html_page(message),
        picture: message.picture.as_ref().map(|picture| picture.png.clone()),
    })
}

fn plain(message: &RichMessage) -> String {
    let mut text = format!("{}\n\n", message.title);
    for line in &message.lines {
        if line.is_heading {
            text.push_str(&format!("\n== {} ==\n", line.text));
            continue;
        }
        text.push_str(&format!("- {}\n", line.text));
        if let Some(url) = &line.link {
            text.push_str(&format!("  {url}\n"));
        }
    }
    text
}

fn html_page(message: &RichMessage) -> String {
    let border = format!("border-left:4px solid #{:06x};padding-left:12px", colour(message.severity));
    let page = html! {
        (DOCTYPE)
        html {
            head { meta charset="utf-8"; title { (message.title) } }
            body style="font-family:sans-serif;color:#222;background:#fff" {
                div style=(border) {
                    h2 style="font-size:18px" { (message.title) }
                    @if let Some(picture) = &message.picture {
                        img src=(format!("cid:{PICTURE_ID}")) alt=(picture.description) width=(PICTURE_WIDTH)
                            style="display:block;max-width:100%;height:auto";
                    }
                    @for line in &message.lines {
                        @if line.is_heading {
                            h3 style="font-size:15px" { (line.text) }
                        } @else {
                            p style="margin:4px 0" {
                                @if let Some(url) = &line.link { a href=(url) { (line.text) } } @else { (line.text) }
                            }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}
