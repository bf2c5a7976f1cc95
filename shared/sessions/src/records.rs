//! Reads the records of a log, whatever state its lines are in.

use std::io::{self, BufRead};

use crate::facts::ReadCounts;
use crate::lines::{LineReader, LogLine, MAX_LINE_BYTES};
use crate::salvage::salvage;

/// Takes the records of a log, in order.
pub(crate) trait RecordSink {
    /// Adds a record. Returns whether the text is one.
    fn add(&mut self, text: &str) -> bool;

    /// Returns the counts of the file.
    fn counts(&mut self) -> &mut ReadCounts;
}

/// Reads all records of a log.
///
/// # Errors
/// If the input fails.
pub(crate) fn read_records(input: &mut dyn BufRead, sink: &mut dyn RecordSink) -> io::Result<()> {
    let mut lines = LineReader::new(input, MAX_LINE_BYTES);
    while let Some(line) = lines.next_line()? {
        match line {
            LogLine::Complete(line) => add_line(line, true, sink),
            LogLine::Unterminated(line) => add_line(line, false, sink),
            LogLine::Oversized => {
                sink.counts().lines += 1;
                sink.counts().oversized_lines += 1;
            }
        }
    }
    Ok(())
}

fn add_line(line: &[u8], is_terminated: bool, sink: &mut dyn RecordSink) {
    let is_blank = line.iter().all(u8::is_ascii_whitespace);
    if is_blank || std::str::from_utf8(line).is_ok_and(|text| sink.add(text)) {
        sink.counts().lines += 1;
        return;
    }
    let salvaged = salvage(line);
    if !is_terminated && salvaged.is_torn {
        // The agent is still writing it.
        sink.counts().unfinished_lines += 1;
        return;
    }
    sink.counts().lines += 1;
    sink.counts().torn_lines += u64::from(salvaged.is_torn);
    for object in &salvaged.objects {
        sink.add(object);
    }
}
