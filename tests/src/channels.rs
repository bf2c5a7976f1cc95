//! A double of the services behind channels of notifications.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long to wait for a message.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that a channel got.
#[derive(Debug, Clone)]
pub struct Received {
    /// The path.
    pub path: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// Returns a header. Empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A service that takes messages. It answers the statuses of a list, and 200 afterwards.
pub struct ChannelDouble {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl ChannelDouble {
    /// Starts a service that answers these statuses first.
    pub fn start(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, mut statuses) = (received.clone(), statuses.to_vec());
        statuses.reverse();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let Some(request) = read_request(&mut stream) else { continue };
                let status = statuses.pop().unwrap_or(200);
                kept.lock().expect("a lock").push(request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nretry-after: 0.2\r\nconnection: close\r\n\r\n"
                );
            }
        });
        ChannelDouble { address, received }
    }

    /// Returns its URL with a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the requests that have come.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("a lock").clone()
    }

    /// Waits until this many requests have come, and returns all.
    ///
    /// # Panics
    /// If they do not come within a minute.
    #[track_caller]
    pub fn wait_for(&self, requests: usize) -> Vec<Received> {
        let start = Instant::now();
        loop {
            let received = self.received();
            if received.len() >= requests {
                return received;
            }
            assert!(start.elapsed() < LIMIT, "{} of {requests} messages came", received.len());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Received { path, headers, body })
}
