//! The bodies of checkpoints and rollups. Those of checkpoints are stored as text if short, else compressed with
//! gzip. Compression saves write units, of 1 KB each, and an item of DynamoDB holds at most 400 KB. Those of rollups
//! are bytes that are compressed already.

use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gam_store::error::Result;

use super::item::{Item, text};

/// Length in bytes from which a body is compressed.
const MIN_COMPRESSED_BYTES: usize = 900;

/// The attribute that holds the body.
const BODY: &str = "body";

impl Item {
    pub(super) fn with_body(self, body: &str) -> Self {
        let stored = if body.len() < MIN_COMPRESSED_BYTES { text(body) } else { compressed(body) };
        self.with(BODY, stored)
    }

    pub(super) fn body(&self) -> Result<String> {
        match self.0.get(BODY) {
            Some(AttributeValue::S(body)) => Ok(body.clone()),
            Some(AttributeValue::B(bytes)) => {
                let mut body = String::new();
                let read = GzDecoder::new(bytes.as_ref()).read_to_string(&mut body);
                read.map(|_| body).map_err(|_| self.damaged(BODY))
            }
            _ => Err(self.damaged(BODY)),
        }
    }

    pub(super) fn with_bytes(self, bytes: &[u8]) -> Self {
        if bytes.is_empty() { self } else { self.with(BODY, AttributeValue::B(Blob::new(bytes))) }
    }

    /// Returns what [`Item::with_bytes`] stored. An item without a body is empty.
    pub(super) fn bytes(&self) -> Result<&[u8]> {
        match self.0.get(BODY) {
            Some(AttributeValue::B(bytes)) => Ok(bytes.as_ref()),
            Some(_) => Err(self.damaged(BODY)),
            None => Ok(&[]),
        }
    }
}

fn compressed(body: &str) -> AttributeValue {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).expect("writing to memory cannot fail");
    AttributeValue::B(Blob::new(encoder.finish().expect("writing to memory cannot fail")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_survive_a_round_trip() {
        for body in
            [String::new(), "{}".to_owned(), "é".repeat(449), "é".repeat(450), "0123456789".repeat(9_000)]
        {
            let item = Item::default().with_body(&body);
            assert_eq!(item.body().unwrap(), body);
        }
        assert!(Item::default().with_body("x").0[BODY].is_s());
        assert!(Item::default().with_body(&"x".repeat(MIN_COMPRESSED_BYTES)).0[BODY].is_b());
    }

    #[test]
    fn bytes_survive_a_round_trip() {
        for bytes in [&b""[..], b"\0", b"\xff\x1f\x8b{}"] {
            assert_eq!(Item::default().with_bytes(bytes).bytes().unwrap(), bytes);
        }
        assert!(Item::default().with_text(BODY, "{}").bytes().is_err());
    }

    #[test]
    fn a_missing_or_invalid_body_is_an_error() {
        assert!(Item::default().body().is_err());
        let garbage = Item::default().with(BODY, AttributeValue::B(Blob::new(*b"garbage")));
        assert!(garbage.body().unwrap_err().to_string().contains("body"));
    }
}
