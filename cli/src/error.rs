//! Errors of the program, the exit status that each leads to, and how they are printed.

use std::fmt;

use gam_model::error_chain;

use crate::exit::Exit;
use crate::terminal_text::escaped;

/// An error of the program itself, with the exit status it leads to. The message is one line that
/// quotes the input, says what is wrong with it and what to do.
#[derive(Debug)]
struct CliError {
    exit: Exit,
    message: String,
    is_not_found: bool,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// Returns an error about invalid arguments, variables or configuration: exit status 2.
pub(crate) fn usage_error(message: impl Into<String>) -> anyhow::Error {
    CliError { exit: Exit::Usage, message: message.into(), is_not_found: false }.into()
}

/// Returns an error about valid input that could not be processed: exit status 1.
pub(crate) fn failure(message: impl Into<String>) -> anyhow::Error {
    CliError { exit: Exit::Failed, message: message.into(), is_not_found: false }.into()
}

/// Returns an error about a name that the API does not know: exit status 1.
pub(crate) fn not_found(message: impl Into<String>) -> anyhow::Error {
    CliError { exit: Exit::Failed, message: message.into(), is_not_found: true }.into()
}

/// Returns whether the error was made by [`not_found`].
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<CliError>().is_some_and(|error| error.is_not_found)
}

/// Returns whether this program refused to do something, so that trying again without a change does not help. Other
/// errors come from a lake, a store or a network.
pub(crate) fn is_own(error: &anyhow::Error) -> bool {
    error.chain().any(<dyn std::error::Error>::is::<CliError>)
}

/// The reader of stdout has closed it, as `head` does. This ends the run, but is not a failure.
#[derive(Debug)]
pub(crate) struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output is closed")
    }
}

impl std::error::Error for OutputClosed {}

/// Returns the exit status that an error leads to, from the first of its causes that determines one.
pub(crate) fn exit_status(error: &anyhow::Error) -> Exit {
    use gam_aggregate::AggregateError;
    use gam_collect::CollectError;
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<CliError>() {
            return error.exit;
        }
        if cause.is::<OutputClosed>() {
            return Exit::Success;
        }
        match cause.downcast_ref::<CollectError>() {
            Some(CollectError::Invalid(_)) => return Exit::Usage,
            Some(CollectError::GitHub(gam_github::Error::Limited { .. })) => return Exit::Limited,
            _ => {}
        }
        if cause.downcast_ref::<AggregateError>().is_some_and(AggregateError::is_unreadable_month) {
            return Exit::Partial;
        }
        if let Some(gam_github::Error::Limited { .. }) = cause.downcast_ref() {
            return Exit::Limited;
        }
    }
    Exit::Failed
}

/// Returns the error and its causes on one line. A cause that an earlier message already contains is
/// not repeated.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    // Messages of libraries may span several lines.
    escaped(&error_chain(error.as_ref()).split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn context_keeps_the_exit_status() {
        let nested = Err::<(), _>(usage_error("bad range")).context("while asking").unwrap_err();
        assert_eq!(exit_status(&nested), Exit::Usage);
        assert_eq!(exit_status(&anyhow::anyhow!("x")), Exit::Failed);
        assert_eq!(exit_status(&OutputClosed.into()), Exit::Success);
        let limited = gam_github::Error::Limited { until: None, why: "used up".into() };
        assert_eq!(exit_status(&limited.into()), Exit::Limited);
        let invalid = gam_collect::CollectError::Invalid("no".into());
        assert_eq!(exit_status(&invalid.into()), Exit::Usage);
    }

    #[test]
    fn causes_are_printed_once_on_one_line() {
        let cause = std::io::Error::other("disk\nfull");
        let error = anyhow::Error::new(cause).context("cannot write x");
        assert_eq!(one_line(&error), "cannot write x: disk full");
        let repeated = anyhow::Error::new(std::io::Error::other("full")).context("cannot write x: full");
        assert_eq!(one_line(&repeated), "cannot write x: full");
    }
}
