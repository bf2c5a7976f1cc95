//! Mail by SMTP.

use std::time::Duration;

use gam_notify::{Mail, PICTURE_ID, SendOutcome, is_loopback};
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, Mailboxes, MultiPart, SinglePart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::ExposeSecret as _;
use url::Url;

/// How long the server may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a mail may take.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(60);
const EXPECTED: &str = "the URL of the mail server is invalid: expected smtps://USER:PASSWORD@HOST, or \
                        smtp://USER:PASSWORD@HOST:587?tls=required";

pub(crate) async fn send(mail: Mail) -> SendOutcome {
    let transport = match transport(mail.server.expose_secret()) {
        Ok(transport) => transport,
        Err(why) => return SendOutcome::refused(why),
    };
    let message = match message(mail) {
        Ok(message) => message,
        Err(why) => return SendOutcome::refused(why),
    };
    match tokio::time::timeout(TOTAL_TIMEOUT, transport.send(message)).await {
        Ok(Ok(_)) => SendOutcome::Sent,
        Ok(Err(error)) => meaning(&error),
        Err(_) => SendOutcome::failed("the mail server did not answer in time"),
    }
}

fn transport(text: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let url = Url::parse(text).map_err(|_| EXPECTED.to_owned())?;
    let is_required = url.query_pairs().any(|(name, value)| name == "tls" && value == "required");
    let is_safe =
        url.scheme() == "smtps" || (url.scheme() == "smtp" && (is_required || is_smtp_loopback(&url)));
    if !is_safe {
        return Err(EXPECTED.to_owned());
    }
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(text).map_err(|_| EXPECTED.to_owned())?;
    Ok(builder.timeout(Some(TIMEOUT)).build())
}

/// Returns whether the server is this machine. URLs of other schemes than HTTP have addresses as texts.
fn is_smtp_loopback(url: &Url) -> bool {
    let as_http = url.host_str().and_then(|host| Url::parse(&format!("http://{host}/")).ok());
    as_http.is_some_and(|url| is_loopback(&url))
}

fn message(mail: Mail) -> Result<Message, String> {
    let invalid =
        |name: &str| format!("the address in {name} is invalid: expected NAME <user@host> or user@host");
    let (from_name, to_name) = &mail.address_names;
    let from: Mailbox = mail.from.expose_secret().parse().map_err(|_| invalid(from_name))?;
    let to: Mailboxes = mail.to.expose_secret().parse().map_err(|_| invalid(to_name))?;
    let message_id = format!("<{}@{}>", mail.message_id, from.email.domain());
    let mut builder = Message::builder()
        .from(from)
        .subject(mail.subject)
        .date(mail.date.into())
        .message_id(Some(message_id));
    for receiver in to {
        builder = builder.to(receiver);
    }
    let parts = MultiPart::alternative().singlepart(SinglePart::plain(mail.text));
    let page = SinglePart::html(mail.html);
    let parts = match mail.picture {
        Some(png) => {
            let type_of_png = ContentType::parse("image/png").expect("it is a type");
            let picture = Attachment::new_inline(PICTURE_ID.to_owned()).body(png, type_of_png);
            parts.multipart(MultiPart::related().singlepart(page).singlepart(picture))
        }
        None => parts.singlepart(page),
    };
    // The text of the error may repeat an address.
    builder.multipart(parts).map_err(|_| "the mail cannot be made of these addresses".to_owned())
}

/// Returns what an error means. Its text may repeat addresses, so only the code is quoted.
fn meaning(error: &SmtpError) -> SendOutcome {
    let Some(code) = error.status() else {
        let why = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        return SendOutcome::failed(format!("the mail server {why}"));
    };
    let number = u16::from(code);
    let why = format!("the mail server answered {number}");
    match number {
        // The size or the content of this mail.
        552 | 554 => SendOutcome::MessageRefused { why },
        500..=599 => SendOutcome::ChannelRefused { why },
        _ => SendOutcome::Failed { why, after: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_belongs_to_the_page_and_not_to_the_plain_text() {
        let mail = |picture| Mail {
            server: "smtps://h".into(),
            from: "m@example.com".into(),
            to: "t@example.com".into(),
            address_names: ("NOTIFY_F".to_owned(), "NOTIFY_T".to_owned()),
            subject: "Digest".to_owned(),
            date: "2026-03-02T09:00:00Z".parse().unwrap(),
            message_id: "0".repeat(32),
            text: "numbers".to_owned(),
            html: "<img src=\"cid:chart\">".to_owned(),
            picture,
        };
        let formatted = |picture| String::from_utf8(message(mail(picture)).unwrap().formatted()).unwrap();
        let with = formatted(Some(b"PNG".to_vec()));
        let parts = ["multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png"];
        let places: Vec<usize> = parts.iter().map(|part| with.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{with}");
        assert!(
            with.contains("Content-ID: <chart>") && with.contains("Content-Disposition: inline"),
            "{with}"
        );
        let without = formatted(None);
        assert!(!without.contains("multipart/related") && !without.contains("image/png"), "{without}");
    }
}
