//! Reads lines of bounded length.

use std::io::{self, BufRead};

/// The most bytes of a line. A longer one is skipped without being held, and counted.
pub const MAX_LINE_BYTES: usize = 32 << 20;

/// A line of a log, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogLine<'a> {
    /// A line that ends.
    Complete(&'a [u8]),
    /// The rest of the file: a line that may still grow.
    Unterminated(&'a [u8]),
    /// A line with more than [`MAX_LINE_BYTES`] bytes.
    Oversized,
}

/// Reads the lines of an input, holding one at a time.
pub(crate) struct LineReader<'i> {
    input: &'i mut dyn BufRead,
    line: Vec<u8>,
    max_bytes: usize,
}

impl<'i> LineReader<'i> {
    pub(crate) fn new(input: &'i mut dyn BufRead, max_bytes: usize) -> Self {
        LineReader { input, line: Vec::new(), max_bytes }
    }

    /// Returns the next line; `None` at the end.
    ///
    /// # Errors
    /// If the input fails.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<LogLine<'_>>> {
        self.line.clear();
        let mut is_oversized = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(match (is_oversized, self.line.is_empty()) {
                    (true, _) => Some(LogLine::Oversized),
                    (false, true) => None,
                    (false, false) => Some(LogLine::Unterminated(&self.line)),
                });
            }
            let end = memchr::memchr(b'\n', available);
            let part = &available[..end.unwrap_or(available.len())];
            if is_oversized || self.line.len() + part.len() > self.max_bytes {
                is_oversized = true;
                // Gives the memory back: one long line must not cost it for the rest of the file.
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.input.consume(consumed);
            if end.is_some() {
                return Ok(Some(if is_oversized {
                    LogLine::Oversized
                } else {
                    LogLine::Complete(&self.line)
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use super::*;

    /// Returns each line as text, `<oversized>`, or `text...` if it does not end.
    fn lines(input: impl Read, max_bytes: usize) -> Vec<String> {
        let mut input = BufReader::with_capacity(5, input);
        let mut reader = LineReader::new(&mut input, max_bytes);
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(match line {
                LogLine::Complete(line) => String::from_utf8_lossy(line).into_owned(),
                LogLine::Unterminated(line) => format!("{}...", String::from_utf8_lossy(line)),
                LogLine::Oversized => "<oversized>".to_owned(),
            });
        }
        lines
    }

    #[test]
    fn lines_are_split_and_the_last_one_may_be_unfinished() {
        assert_eq!(lines(&b"one\n\nlonger line\nrest"[..], 100), ["one", "", "longer line", "rest..."]);
        assert_eq!(lines(&b"one\n"[..], 100), ["one"]);
        assert!(lines(&b""[..], 100).is_empty());
    }

    #[test]
    fn long_lines_are_skipped() {
        assert_eq!(lines(&b"123456789\nok\n123456789"[..], 8), ["<oversized>", "ok", "<oversized>"]);
        assert_eq!(lines(&b"12345678\n"[..], 8), ["12345678"]);
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_is_not_held() {
        let mut input =
            BufReader::new(io::repeat(b'x').take(100_000_000).chain(&b"\n{\"type\":\"user\"}\n"[..]));
        let mut reader = LineReader::new(&mut input, MAX_LINE_BYTES);
        assert_eq!(reader.next_line().unwrap(), Some(LogLine::Oversized));
        assert!(reader.line.capacity() <= MAX_LINE_BYTES);
        assert_eq!(reader.next_line().unwrap(), Some(LogLine::Complete(b"{\"type\":\"user\"}")));
    }
}
