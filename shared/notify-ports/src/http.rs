//! Requests over HTTP.

use std::time::Duration;

use gam_notify::{HttpAnswer, HttpPost, NoAnswer};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 16_384;

pub(crate) fn client() -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .user_agent(concat!("github-metrics/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .build()
        .map_err(|error| error.without_url().to_string())
}

pub(crate) async fn post(client: &reqwest::Client, request: HttpPost) -> Result<HttpAnswer, NoAnswer> {
    let HttpPost { url, headers, content_type, body, .. } = request;
    let mut builder = client.post(url).header("content-type", content_type).body(body);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    // The text of an error may name the URL, so only its kind is used.
    let answer = builder.send().await.map_err(|error| match error {
        error if error.is_timeout() => NoAnswer::Timeout,
        error if error.is_connect() => NoAnswer::Unreachable,
        error if error.is_builder() => NoAnswer::InvalidHeader,
        _ => NoAnswer::Broken,
    })?;
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
    let (retry_after, date) = (header("retry-after"), header("date"));
    Ok(HttpAnswer { status: answer.status().as_u16(), retry_after, date, body: read_body(answer).await })
}

async fn read_body(mut answer: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() >= MAX_ANSWER_BYTES {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
