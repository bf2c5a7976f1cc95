//! A client that returns a response as it came: it does not cache, decompress or follow redirects.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// A response.
#[derive(Debug)]
pub struct HttpResponse {
    /// HTTP status.
    pub status: u16,
    /// Header values by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Body, with chunked encoding removed.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
}

/// Sends a GET request.
pub fn get(address: &str, target: &str) -> HttpResponse {
    send_request(address, "GET", target, &[])
}

/// Sends a request. The `host` header is the address, unless the headers contain one.
pub fn send_request(address: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> HttpResponse {
    send_request_with_body(address, (method, target), headers, "")
}

/// Sends a request with a body, and its length unless the body is empty.
pub fn send_request_with_body(
    address: &str,
    method_and_target: (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> HttpResponse {
    let mut stream = start_request(address, method_and_target, headers, body);
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the response is complete");
    parse(&bytes)
}

/// Sends a request and returns its connection, before the answer.
pub fn start_request(
    address: &str,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let has_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = (!has_host).then_some(("host", address));
    let lines: String =
        host.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "{method} {target} HTTP/1.1\r\nconnection: close\r\n{lines}{length}\r\n{body}")
        .expect("the request is sent");
    stream
}

/// Sends JSON with `POST`.
pub fn send_json(address: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> HttpResponse {
    let headers = [&[("content-type", "application/json")], headers].concat();
    send_request_with_body(address, ("POST", target), &headers, &body.to_string())
}

fn parse(bytes: &[u8]) -> HttpResponse {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("the headers end");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let rest = &bytes[end + 4..];
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    HttpResponse { status, headers, body: if is_chunked { decode_chunks(rest) } else { rest.to_vec() } }
}

fn decode_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = String::from_utf8_lossy(&rest[..line]);
        let size =
            usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).expect("a chunk's size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// Percent-encodes a path segment.
pub fn encode_segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
