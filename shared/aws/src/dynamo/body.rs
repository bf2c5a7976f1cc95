//! Bodies: as text where they are short, compressed where that saves a write unit (1 KB) or more. An
//! item of DynamoDB holds 400 KB at most.

use std::io::{Read, Write};

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gam_store::error::Result;

use super::entry::{Entry, text};

/// From how many bytes on a body is compressed.
const COMPRESSED_FROM: usize = 900;

const NAME: &str = "body";

impl Entry {
    pub(super) fn with_body(self, body: &str) -> Self {
        let stored = if body.len() < COMPRESSED_FROM { text(body) } else { compressed(body) };
        self.with(NAME, stored)
    }

    pub(super) fn body(&self) -> Result<String> {
        match self.0.get(NAME) {
            Some(AttributeValue::S(body)) => Ok(body.clone()),
            Some(AttributeValue::B(bytes)) => {
                let mut body = String::new();
                let read = GzDecoder::new(bytes.as_ref()).read_to_string(&mut body);
                read.map(|_| body).map_err(|_| self.damaged(NAME))
            }
            _ => Err(self.damaged(NAME)),
        }
    }
}

fn compressed(body: &str) -> AttributeValue {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_bytes()).expect("memory takes everything");
    AttributeValue::B(Blob::new(encoder.finish().expect("memory takes everything")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_as_they_were() {
        for body in
            [String::new(), "{}".to_owned(), "é".repeat(449), "é".repeat(450), "0123456789".repeat(9_000)]
        {
            let entry = Entry::default().with_body(&body);
            assert_eq!(entry.body().unwrap(), body);
        }
        assert!(Entry::default().with_body("x").0[NAME].is_s());
        assert!(Entry::default().with_body(&"x".repeat(COMPRESSED_FROM)).0[NAME].is_b());
    }

    #[test]
    fn what_is_no_body_is_damage() {
        assert!(Entry::default().body().is_err());
        let garbage = Entry::default().with(NAME, AttributeValue::B(Blob::new(*b"garbage")));
        assert!(garbage.body().unwrap_err().to_string().contains("body"));
    }
}
