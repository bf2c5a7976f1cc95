//! What every command works with.

use crate::args::OutputFormat;
use crate::console::Console;
use crate::settings::CliSettings;
use crate::terminal_text::{escaped_json, escaped_lines};

/// The settings and the terminal of one run of the program.
pub(crate) struct CliSession {
    /// The checked options and variables.
    pub(crate) settings: CliSettings,
    /// Writes results to stdout, progress and errors to stderr.
    pub(crate) console: Console,
}

impl CliSession {
    /// Returns whether results are printed as JSON.
    pub(crate) fn wants_json(&self) -> bool {
        self.settings.format == Some(OutputFormat::Json)
    }

    /// Returns text as it is written to stdout: a terminal must not obey what comes from outside.
    pub(crate) fn for_stdout(&self, text: String) -> String {
        if !self.console.output().is_terminal {
            text
        } else if self.wants_json() {
            escaped_json(&text)
        } else {
            escaped_lines(&text)
        }
    }
}
