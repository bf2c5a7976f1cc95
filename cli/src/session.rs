//! What every command works with.

use crate::args::OutputFormat;
use crate::console::Console;
use crate::settings::CliSettings;

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
}
