//! Finds the JSON objects of a line that is not exactly one JSON object.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::Scalar;

/// How many beginnings of an object are tried after a torn one.
const MAX_ATTEMPTS: usize = 256;
/// The most bytes of a torn line in which a record is looked for.
const MAX_SEARCHED_BYTES: usize = 4 << 20;

/// The objects of a damaged line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Complete objects, in order.
    pub(crate) objects: Vec<String>,
    /// Whether a part of the line belongs to no object.
    pub(crate) is_torn: bool,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    timestamp: Scalar<'a>,
    #[serde(borrow, default, rename = "sessionId")]
    session_id: Scalar<'a>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

/// Returns the objects of the line: several without a newline between them, objects next to NUL bytes (which a
/// crash leaves in a file), and complete records after a torn one. Invalid UTF-8 is replaced.
pub(crate) fn salvage(line: &[u8]) -> Salvaged {
    let mut salvaged = Salvaged::default();
    for part in line.split(|byte| *byte == 0) {
        salvage_part(&String::from_utf8_lossy(part), &mut salvaged);
    }
    salvaged
}

fn salvage_part(text: &str, salvaged: &mut Salvaged) {
    let mut rest = text.trim();
    while !rest.is_empty() {
        if !rest.starts_with('{') {
            salvaged.is_torn = true;
            return;
        }
        let mut objects = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match objects.next() {
            Some(Ok(object)) => {
                salvaged.objects.push(object.get().to_owned());
                rest = rest[objects.byte_offset()..].trim_start();
            }
            _ => {
                salvaged.is_torn = true;
                salvaged.objects.extend(records_after_torn_one(rest));
                return;
            }
        }
    }
}

/// Returns the records after the first byte, as long as they go on to the end of the text. An object inside the
/// torn record is no record: it lacks the fields that all records have.
fn records_after_torn_one(text: &str) -> Vec<String> {
    if text.len() > MAX_SEARCHED_BYTES {
        return Vec::new();
    }
    for (start, _) in text.match_indices("{\"").filter(|(at, _)| *at > 0).take(MAX_ATTEMPTS) {
        let objects: Result<Vec<&RawValue>, _> =
            serde_json::Deserializer::from_str(&text[start..]).into_iter().collect();
        if let Ok(objects) = objects
            && !objects.is_empty()
            && objects.iter().all(|object| is_record(object.get()))
        {
            return objects.into_iter().map(|object| object.get().to_owned()).collect();
        }
    }
    Vec::new()
}

fn is_record(text: &str) -> bool {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(text) else { return false };
    envelope.timestamp.text().is_some()
        && (envelope.session_id.text().is_some() || envelope.payload.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"type":"user","sessionId":"s","timestamp":"2026-01-01T00:00:00Z"}"#;

    fn objects(line: &[u8]) -> (Vec<String>, bool) {
        let salvaged = salvage(line);
        (salvaged.objects, salvaged.is_torn)
    }

    #[test]
    fn two_objects_on_a_line_are_two_records() {
        let line = format!("{RECORD}{RECORD}  {{\"type\":\"summary\"}}");
        let summary = "{\"type\":\"summary\"}".to_owned();
        assert_eq!(objects(line.as_bytes()), (vec![RECORD.to_owned(), RECORD.to_owned(), summary], false));
    }

    #[test]
    fn nul_bytes_are_left_out() {
        let line = format!("\0\0\0{RECORD}\0\0");
        assert_eq!(objects(line.as_bytes()), (vec![RECORD.to_owned()], false));
        assert_eq!(objects(&[0; 4096]), (vec![], false));
    }

    #[test]
    fn a_record_after_a_torn_one_is_found() {
        let line =
            format!(r#"{{"type":"assistant","message":{{"content":[{{"type":"text","text":"ab{RECORD}"#);
        assert_eq!(objects(line.as_bytes()), (vec![RECORD.to_owned()], true));
    }

    #[test]
    fn objects_inside_a_torn_record_are_no_records() {
        let line = br#"{"type":"user","message":{"content":[{"type":"text","text":"a"}]},"time"#;
        assert_eq!(objects(line), (vec![], true));
        assert_eq!(objects(b"not json"), (vec![], true));
    }

    #[test]
    fn invalid_utf_8_is_replaced() {
        let line = b"{\"type\":\"user\",\"text\":\"\xff\"}";
        assert_eq!(objects(line), (vec!["{\"type\":\"user\",\"text\":\"\u{fffd}\"}".to_owned()], false));
    }
}
