//! A client that shows an answer just as it came: no caching, no decoding, no following.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// The headers, by lower-cased name.
    pub headers: BTreeMap<String, String>,
    /// The body.
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
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Asks with GET.
pub fn get(address: &str, target: &str) -> HttpResponse {
    send_request(address, "GET", target, &[])
}

/// Asks with a method and headers; the host is the address, unless the headers name another.
pub fn send_request(address: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> HttpResponse {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let names_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = (!names_host).then_some(("host", address));
    let more: String =
        host.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "{method} {target} HTTP/1.1\r\nconnection: close\r\n{more}\r\n")
        .expect("the question is sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the answer comes to its end");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> HttpResponse {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("headers come to their end");
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

/// A part of a path, with everything encoded that could be misread.
pub fn encode_segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
