//! Where a reader of several logs is: a position in each.

use std::collections::BTreeMap;
use std::fmt;

use gam_model::LogPosition;

use crate::error::{ApiError, quoted};

/// Positions by the name of the log. A log without one is read from its beginning, so no log is missed that a reader sees
/// later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LogCursor(BTreeMap<String, LogPosition>);

impl LogCursor {
    /// Creates the cursor of these positions.
    pub(super) fn new(positions: BTreeMap<String, LogPosition>) -> Self {
        LogCursor(positions)
    }

    /// Returns the position in a log.
    pub(super) fn position(&self, log: &str) -> LogPosition {
        self.0.get(log).copied().unwrap_or(LogPosition::START)
    }

    /// Sets the position in a log.
    pub(super) fn advance(&mut self, log: &str, position: LogPosition) {
        self.0.insert(log.to_owned(), position);
    }

    /// Parses what [`fmt::Display`] writes.
    ///
    /// # Errors
    /// 400 if the text is invalid.
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        let parse_one = |part: &str| {
            let (log, position) = part.split_once('.')?;
            let is_name = log.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            (is_name && !log.is_empty()).then_some((log.to_owned(), LogPosition::parse(position)?))
        };
        let positions: Option<BTreeMap<String, LogPosition>> = match text {
            START => Some(BTreeMap::new()),
            _ => text.split(',').map(parse_one).collect(),
        };
        positions.map(LogCursor).filter(|cursor| cursor.to_string() == text).ok_or_else(|| {
            ApiError::invalid(format!("invalid `after` {}: use the `next` of an answer", quoted(text)))
        })
    }
}

/// The cursor of nobody who has read anything.
const START: &str = "start";

/// The position of each log after its name, such as `_.3.1,acme.12.3`.
impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(START);
        }
        for (index, (log, position)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{log}.{position}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_a_round_trip() {
        let mut cursor = LogCursor::default();
        assert_eq!(LogCursor::parse(&cursor.to_string()).unwrap(), cursor);
        cursor.advance("acme-labs", LogPosition { segment: 12, row: 3 });
        cursor.advance("_", LogPosition::START);
        assert_eq!(cursor.to_string(), "_.0.0,acme-labs.12.3");
        assert_eq!(LogCursor::parse("_.0.0,acme-labs.12.3").unwrap(), cursor);
        assert_eq!(cursor.position("other"), LogPosition::START);
        for invalid in
            ["", "acme", "acme.1", ".1.2", "a.1.2,", "b.1.1,a.1.1", "a.1.1,a.1.1", "a b.1.1", "a.01.1"]
        {
            assert!(LogCursor::parse(invalid).is_err(), "{invalid}");
        }
    }
}
