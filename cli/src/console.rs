//! The terminal: data to stdout, progress and logs to stderr.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context as _;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{Globals, LogFormat, Variables};
use crate::exit::OutputClosed;

/// Where a run writes to.
#[derive(Clone)]
pub(crate) struct Console {
    quiet: bool,
    json: bool,
    color: bool,
    bars: MultiProgress,
}

impl Console {
    /// The terminal as the flags want it; logs are written from here on.
    pub(crate) fn new(globals: &Globals, variables: &Variables) -> Self {
        let console = Console {
            quiet: globals.quiet,
            json: globals.log_format == LogFormat::Json,
            color: variables.no_color.is_none() && io::stdout().is_terminal(),
            bars: MultiProgress::new(),
        };
        let level = match (console.quiet, console.json) {
            (true, false) => "error",
            // What must be known is told at this level too.
            (true, true) => "error,github_metrics=info",
            (false, true) => "warn,github_metrics=info,gam_http=info,gam_aggregate=info,gam_collect=info",
            // The summary at the end of the run repeats what these crates warn about.
            (false, false) => "warn,gam_aggregate=error,gam_collect=error",
        };
        // A request that failed is tried again; if that does not help, the error is told.
        let level = format!("{level},octocrab=off,tower_http=off,hyper_util=off");
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let logs =
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(AroundBars(console.bars.clone()));
        // A second initialization can only happen in tests, where the first one stays.
        let _ = if console.json {
            logs.json().flatten_event(true).try_init()
        } else {
            let color = variables.no_color.is_none() && io::stderr().is_terminal();
            logs.with_ansi(color).with_target(false).try_init()
        };
        console
    }

    /// Whether data may be coloured.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Whether progress is shown as bars; as lines otherwise.
    pub(crate) fn shows_bars(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// The place of bars.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Writes data to stdout.
    ///
    /// # Errors
    /// Where stdout is closed or cannot be written.
    pub(crate) fn data(&self, bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes.as_ref()).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
            Err(error) => Err(error).context("the output cannot be written"),
        }
    }

    /// Writes a line of data to stdout.
    ///
    /// # Errors
    /// Where stdout is closed or cannot be written.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        self.data(format!("{}\n", text.as_ref()))
    }

    /// Writes what came of a run to stdout. The run goes on where nobody reads it any more.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub(crate) fn report(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        match self.line(text) {
            Err(error) if error.is::<OutputClosed>() => Ok(()),
            written => written,
        }
    }

    /// Writes what came of a run, for people: not where only errors are wanted.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub(crate) fn summary(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        if self.quiet { Ok(()) } else { self.report(text) }
    }

    /// Tells of progress.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.tell(text);
        }
    }

    /// Tells what must be known even where progress is not wanted.
    pub(crate) fn tell(&self, text: impl AsRef<str>) {
        if self.json {
            // Lines are set in for people.
            tracing::info!("{}", text.as_ref().trim_start());
        } else {
            self.stderr(text.as_ref());
        }
    }

    /// Tells what went wrong.
    pub(crate) fn error(&self, text: impl AsRef<str>) {
        if self.json {
            tracing::error!("{}", text.as_ref());
        } else {
            self.stderr(&format!("error: {}", text.as_ref()));
        }
    }

    fn stderr(&self, text: &str) {
        // Where stderr cannot be written there is nobody left to tell.
        self.bars.suspend(|| _ = writeln!(io::stderr(), "{text}"));
    }
}

/// Writes logs to stderr without tearing the bars.
struct AroundBars(MultiProgress);

impl<'a> MakeWriter<'a> for AroundBars {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// A log line on its way.
struct Line<'a>(&'a MultiProgress);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
