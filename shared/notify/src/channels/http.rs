//! Requests to services, and what their answers mean.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::{Host, Url};

use super::SendOutcome;

/// The longest code of an error that is quoted from an answer.
const MAX_CODE_BYTES: usize = 60;

/// A request to a service.
pub struct HttpPost {
    /// The name of the service, for errors.
    pub service: &'static str,
    /// Where it goes. It may contain a secret.
    pub url: Url,
    /// Headers. They may contain a secret.
    pub headers: Vec<(&'static str, String)>,
    /// The type of the body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// The status that says that an earlier attempt with the same id was taken.
    pub repeated_status: Option<u16>,
}

/// Names the service only: everything else may contain a secret.
impl fmt::Debug for HttpPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPost").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The answer of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The header `retry-after`.
    pub retry_after: Option<String>,
    /// The header `date`.
    pub date: Option<String>,
    /// The first bytes of the body, as text.
    pub body: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// The service did not answer in time.
    Timeout,
    /// The service cannot be reached.
    Unreachable,
    /// The connection broke.
    Broken,
    /// A header cannot be sent: the secret in it is no secret.
    InvalidHeader,
}

impl HttpPost {
    /// Creates a request with JSON.
    pub(crate) fn json(service: &'static str, url: &str, body: &Value) -> Result<Self, String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        let content_type = "application/json".to_owned();
        let url = parse(url)?;
        Ok(HttpPost { service, url, headers: Vec::new(), content_type, body, repeated_status: None })
    }

    /// Makes the request one with a form of several parts: the JSON as `json_name`, and a PNG as `file_name`. `boundary` is
    /// in no part.
    pub(crate) fn with_png(self, json_name: &str, file_name: &str, png: &[u8], boundary: &str) -> Self {
        let head = |disposition: &str, content_type: &str| {
            format!(
                "--{boundary}\r\ncontent-disposition: form-data; {disposition}\r\ncontent-type: {content_type}\r\n\r\n"
            )
        };
        let json_head = head(&format!("name=\"{json_name}\""), &self.content_type);
        let png_head = head(&format!("name=\"files[0]\"; filename=\"{file_name}\""), "image/png");
        let end = format!("\r\n--{boundary}--\r\n");
        let parts = [json_head.as_bytes(), &self.body, b"\r\n", png_head.as_bytes(), png, end.as_bytes()];
        let content_type = format!("multipart/form-data; boundary={boundary}");
        HttpPost { content_type, body: parts.concat(), ..self }
    }
}

/// Parses the URL of a service. Only this machine is reached without TLS.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    // The text is a secret, so no error quotes it.
    let url = Url::parse(text).map_err(|_| "the URL of the channel is invalid: copy it again".to_owned())?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("the URL of the channel does not begin with https://: copy it again".to_owned()),
    }
}

/// Returns whether the host of a URL is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Returns what an answer means.
pub(super) fn outcome(
    service: &str,
    repeated_status: Option<u16>,
    answer: Result<HttpAnswer, NoAnswer>,
) -> SendOutcome {
    let answer = match answer {
        Ok(answer) => answer,
        Err(NoAnswer::Timeout) => return SendOutcome::failed(format!("{service} did not answer in time")),
        Err(NoAnswer::Unreachable) => return SendOutcome::failed(format!("{service} cannot be reached")),
        Err(NoAnswer::Broken) => return SendOutcome::failed(format!("the connection to {service} broke")),
        Err(NoAnswer::InvalidHeader) => {
            return SendOutcome::refused(format!(
                "the secret of the channel for {service} is invalid: copy it again"
            ));
        }
    };
    if (200..300).contains(&answer.status) || Some(answer.status) == repeated_status {
        return SendOutcome::Sent;
    }
    let after = retry_after(answer.retry_after.as_deref(), answer.date.as_deref(), &answer.body);
    meaning(service, answer.status, &answer.body, after)
}

/// Returns what the status of an answer means.
fn meaning(service: &str, status: u16, body: &str, after: Option<Duration>) -> SendOutcome {
    let code = error_code(body).map(|code| format!(" ({code})")).unwrap_or_default();
    let why = format!("{service} answered {status}{code}");
    match status {
        429 => SendOutcome::Busy { why, after },
        400 | 413 | 422 => SendOutcome::MessageRefused { why },
        300..=399 | 401 | 403 | 404 | 405 | 410 => SendOutcome::ChannelRefused { why },
        _ => SendOutcome::Failed { why, after },
    }
}

/// Returns the code of an error, such as `no_service`: a body that is one word, or the numeric `code` of Discord. Longer
/// texts may repeat what was sent.
fn error_code(body: &str) -> Option<String> {
    let body = body.trim();
    let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=MAX_CODE_BYTES).contains(&body.len()) && body.bytes().all(is_code) {
        return Some(body.to_owned());
    }
    let json: Value = serde_json::from_str(body).ok()?;
    json.get("code").and_then(Value::as_i64).map(|code| format!("code {code}"))
}

/// Returns after how long a request can be repeated: from the header, in seconds with a fraction or as a date, or from
/// `retry_after` of Discord's JSON. The greater one counts. A date is compared with that of the answer.
fn retry_after(header: Option<&str>, date: Option<&str>, body: &str) -> Option<Duration> {
    let seconds = |value: f64| Duration::try_from_secs_f64(value).ok();
    let http_date =
        |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok().map(|at| at.with_timezone(&Utc));
    let from_header = header.and_then(|header| match header.trim().parse::<f64>() {
        Ok(value) => seconds(value),
        Err(_) => (http_date(header)? - http_date(date?)?).to_std().ok(),
    });
    let json: Option<Value> = serde_json::from_str(body).ok();
    let from_body = json.and_then(|json| json.get("retry_after")?.as_f64()).and_then(seconds);
    from_header.max(from_body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_fractions_and_dates() {
        let after = |header: Option<&str>, body: &str| {
            retry_after(header, Some("Sun, 01 Mar 2026 10:00:00 GMT"), body).map(|after| after.as_secs_f64())
        };
        assert_eq!(after(Some("0.376"), ""), Some(0.376));
        assert_eq!(after(Some("30"), r#"{"retry_after": 0.5}"#), Some(30.0));
        assert_eq!(
            after(None, r#"{"message":"You are being rate limited.","retry_after":1.25,"global":false}"#),
            Some(1.25)
        );
        assert_eq!(after(Some("Sun, 01 Mar 2026 10:01:30 GMT"), ""), Some(90.0));
        assert_eq!(after(Some("-1"), "nothing"), None);
        assert_eq!(after(Some("soon"), ""), None);
    }

    #[test]
    fn statuses_say_who_must_act() {
        let of = |status, body: &str| meaning("Slack", status, body, None);
        assert!(
            matches!(of(404, "no_service"), SendOutcome::ChannelRefused { why } if why == "Slack answered 404 (no_service)")
        );
        assert!(matches!(of(400, "invalid_payload"), SendOutcome::MessageRefused { .. }));
        assert!(matches!(of(429, ""), SendOutcome::Busy { .. }));
        assert!(
            matches!(of(503, "<html>hunter2</html>"), SendOutcome::Failed { why, .. } if why == "Slack answered 503")
        );
        assert!(matches!(of(302, ""), SendOutcome::ChannelRefused { .. }));
    }

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for (url, is_valid) in [
            ("https://hooks.example.com/x", true),
            ("http://127.0.0.1:9/x", true),
            ("http://[::1]:9/", true),
            ("http://localhost:9/", true),
            ("http://hooks.example.com/hunter2", false),
            ("http://localhost.example.com/", false),
            ("file:///hunter2", false),
            ("hunter2", false),
        ] {
            let parsed = parse(url);
            assert_eq!(parsed.is_ok(), is_valid, "{url}");
            assert!(!parsed.err().unwrap_or_default().contains("hunter2"));
        }
    }
}
