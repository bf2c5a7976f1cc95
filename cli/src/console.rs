//! The terminal: data to stdout, progress and logs to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context as _;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{GlobalOptions, LogFormat, Variables};
use crate::error::OutputClosed;
use crate::terminal::{OutputStyle, has_color, stderr_width};
use crate::terminal_text::{escaped, escaped_lines, wrapped};

/// Writes data to stdout, and progress, errors and logs to stderr.
#[derive(Clone)]
pub(crate) struct Console {
    quiet: bool,
    json: bool,
    output: OutputStyle,
    /// The width of a line of stderr in columns; `None` if it is no terminal.
    stderr_width: Option<usize>,
    bars: MultiProgress,
}

impl Console {
    /// Creates the console that the options ask for, and starts logging. Requests are logged only by a
    /// server: `show` and `export` send them to a router within this process.
    pub(crate) fn new(globals: &GlobalOptions, variables: &Variables, is_server: bool) -> Self {
        let console = Console {
            quiet: globals.quiet,
            json: globals.log_format == LogFormat::Json,
            output: OutputStyle::of_stdout(&variables.terminal),
            stderr_width: stderr_width(&variables.terminal),
            bars: MultiProgress::new(),
        };
        let level = match (console.quiet, console.json) {
            (true, false) => "error",
            // `print_notice` logs at the level of info, and prints with --quiet too.
            (true, true) => "error,github_metrics=info",
            (false, true) if is_server => {
                "warn,github_metrics=info,gam_http=info,gam_aggregate=info,gam_collect=info"
            }
            (false, true) => "warn,github_metrics=info,gam_aggregate=info,gam_collect=info",
            // The summary at the end of the run repeats what these crates warn about.
            (false, false) => "warn,gam_aggregate=error,gam_collect=error",
        };
        // Failed requests are retried. If that does not help, the command prints the error.
        let level = format!("{level},octocrab=off,tower_http=off,hyper_util=off");
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let logs = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(BarAwareStderr(console.bars.clone()));
        // Only tests initialize twice. The first logger stays.
        let _ = if console.json {
            logs.json().flatten_event(true).try_init()
        } else {
            let color = has_color(&variables.terminal, io::stderr().is_terminal());
            logs.with_ansi(color).with_target(false).try_init()
        };
        console
    }

    /// Prints an error before there is a console: as a log line if the command line or the environment
    /// asks for JSON logs, or else as it is.
    pub(crate) fn print_early_error(text: &str) {
        let args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
        if wants_json_logs(args) {
            let logs = tracing_subscriber::fmt().with_writer(io::stderr).json().flatten_event(true);
            let _ = logs.try_init();
            let words: Vec<&str> = text.trim_start_matches("error: ").split_whitespace().collect();
            tracing::error!("{}", escaped(&words.join(" ")));
        } else {
            // If stderr cannot be written, there is nowhere to report it.
            let _ = writeln!(io::stderr(), "{}", text.trim_end());
        }
    }

    /// Returns what stdout can show.
    pub(crate) fn output(&self) -> OutputStyle {
        self.output
    }

    /// Returns whether progress is shown as bars. If not, it is printed as lines.
    pub(crate) fn shows_bars(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Returns the container of all progress bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Writes data to stdout.
    ///
    /// # Errors
    /// If stdout is closed or cannot be written.
    pub(crate) fn write_data(&self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes.as_ref()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
            Err(error) => Err(error).context("cannot write to stdout"),
        }
    }

    /// Writes a line of data to stdout.
    ///
    /// # Errors
    /// If stdout is closed or cannot be written.
    pub(crate) fn write_line(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        self.write_data(format!("{}\n", text.as_ref()))
    }

    /// Writes the result of a run to stdout. A closed stdout does not end the run.
    ///
    /// # Errors
    /// If stdout cannot be written for another reason.
    pub(crate) fn write_result(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        match self.write_line(text) {
            Err(error) if error.is::<OutputClosed>() => Ok(()),
            written => written,
        }
    }

    /// Writes the summary of a run to stdout, unless `--quiet` is set.
    ///
    /// # Errors
    /// As [`Console::write_result`].
    pub(crate) fn write_summary(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        if self.quiet { Ok(()) } else { self.write_result(text) }
    }

    /// Prints progress or a hint to stderr, unless `--quiet` is set.
    pub(crate) fn print_info(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.print_notice(text);
        }
    }

    /// Prints a notice to stderr, even if `--quiet` is set.
    pub(crate) fn print_notice(&self, text: impl AsRef<str>) {
        if self.json {
            // Some lines are indented for people.
            tracing::info!("{}", text.as_ref().trim_start());
        } else {
            self.print_stderr(text.as_ref());
        }
    }

    /// Prints an error to stderr.
    pub(crate) fn print_error(&self, text: impl AsRef<str>) {
        if self.json {
            tracing::error!("{}", text.as_ref());
        } else {
            self.print_stderr(&format!("error: {}", text.as_ref()));
        }
    }

    /// Prints a line to stderr. What comes from outside cannot control the terminal.
    fn print_stderr(&self, text: &str) {
        // If stderr cannot be written, there is nowhere to report it.
        let text = escaped_lines(text);
        let text = self.stderr_width.map_or_else(|| text.clone(), |width| wrapped(&text, width));
        self.bars.suspend(|| _ = writeln!(io::stderr(), "{text}"));
    }
}

/// Returns whether `--log-format` or its variable asks for JSON.
#[expect(clippy::disallowed_methods, reason = "the command line could not be parsed")]
fn wants_json_logs(args: impl IntoIterator<Item = String>) -> bool {
    let args: Vec<String> = args.into_iter().collect();
    let option = args.iter().position(|arg| arg.starts_with("--log-format"));
    match option.map(|at| (args[at].split_once('='), args.get(at + 1))) {
        Some((Some((_, format)), _)) => format == "json",
        Some((None, format)) => format.is_some_and(|format| format == "json"),
        None => std::env::var("GITHUB_METRICS_LOG_FORMAT").is_ok_and(|format| format == "json"),
    }
}

/// Writes logs to stderr, and hides the progress bars meanwhile.
struct BarAwareStderr(MultiProgress);

impl<'a> MakeWriter<'a> for BarAwareStderr {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0)
    }
}

/// The writer of one log line.
struct LogLine<'a>(&'a MultiProgress);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
