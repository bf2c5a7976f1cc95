//! How a run ends: its exit status, and errors as one sentence each.

use std::fmt;

use gam_model::error_chain;

/// The exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for is done.
    Done,
    /// It failed.
    Failed,
    /// It was asked for in a way that cannot be done.
    Usage,
    /// Part of it is done, and what is not has been named.
    Partial,
    /// It stopped for the API's limits; progress is saved.
    Limited,
    /// It was stopped by Ctrl-C.
    Interrupted,
    /// It was stopped by SIGTERM.
    Terminated,
}

impl Exit {
    /// The number the process ends with.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::Limited => 75,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// How a run over several things ends that end so one by one.
    pub(crate) fn of_all(parts: &[Exit]) -> Exit {
        match parts {
            [] => Exit::Done,
            _ if parts.contains(&Exit::Limited) => Exit::Limited,
            [first, rest @ ..] if rest.iter().all(|part| part == first) => *first,
            _ => Exit::Partial,
        }
    }
}

/// An error of the program itself, with the status it ends the run with. The text is one sentence
/// that names the input, why, and the mend.
#[derive(Debug)]
pub(crate) struct Refusal {
    exit: Exit,
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

/// What was asked for cannot be done as it was asked.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Refusal { exit: Exit::Usage, text: text.into() }.into()
}

/// What was asked for could not be done.
pub(crate) fn failed(text: impl Into<String>) -> anyhow::Error {
    Refusal { exit: Exit::Failed, text: text.into() }.into()
}

/// Whoever read the output has stopped reading, as `head` does. It ends the run, but is no failure.
#[derive(Debug)]
pub(crate) struct OutputClosed;

impl fmt::Display for OutputClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output is closed")
    }
}

impl std::error::Error for OutputClosed {}

/// The status an error ends the run with.
pub(crate) fn status(error: &anyhow::Error) -> Exit {
    use gam_collect::CollectError;
    for cause in error.chain() {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.exit;
        }
        if cause.is::<OutputClosed>() {
            return Exit::Done;
        }
        match cause.downcast_ref::<CollectError>() {
            Some(CollectError::Invalid(_)) => return Exit::Usage,
            Some(CollectError::GitHub(gam_github::Error::Limited { .. })) => return Exit::Limited,
            _ => {}
        }
        if let Some(gam_github::Error::Limited { .. }) = cause.downcast_ref() {
            return Exit::Limited;
        }
    }
    Exit::Failed
}

/// The error and its causes as one sentence. A cause that is told already is not told again.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    // Libraries put line breaks into their messages.
    error_chain(&**error).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn an_error_knows_its_status_through_its_context() {
        let nested = Err::<(), _>(usage("bad range")).context("while asking").unwrap_err();
        assert_eq!(status(&nested), Exit::Usage);
        assert_eq!(status(&anyhow::anyhow!("x")), Exit::Failed);
        assert_eq!(status(&OutputClosed.into()), Exit::Done);
        let limited = gam_github::Error::Limited { until: None, why: "used up".into() };
        assert_eq!(status(&limited.into()), Exit::Limited);
        let invalid = gam_collect::CollectError::Invalid("no".into());
        assert_eq!(status(&invalid.into()), Exit::Usage);
    }

    #[test]
    fn causes_are_told_once_and_on_one_line() {
        let cause = std::io::Error::other("disk\nfull");
        let error = anyhow::Error::new(cause).context("cannot write x");
        assert_eq!(sentence(&error), "cannot write x: disk full");
        let told = anyhow::Error::new(std::io::Error::other("full")).context("cannot write x: full");
        assert_eq!(sentence(&told), "cannot write x: full");
    }

    #[test]
    fn many_ends_make_one() {
        use Exit::*;
        assert_eq!(Exit::of_all(&[]), Done);
        assert_eq!(Exit::of_all(&[Done, Done]), Done);
        assert_eq!(Exit::of_all(&[Failed, Failed]), Failed);
        assert_eq!(Exit::of_all(&[Done, Failed]), Partial);
        assert_eq!(Exit::of_all(&[Partial, Done]), Partial);
        assert_eq!(Exit::of_all(&[Failed, Limited]), Limited);
    }
}
