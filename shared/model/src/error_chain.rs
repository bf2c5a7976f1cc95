//! Errors and their causes as one line of text.

use std::error::Error;

/// Returns the error and its causes on one line, joined by `: `.
///
/// Leaves out a cause whose text is already part of the line, because many errors repeat their cause.
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum TestError {
        #[error("no {0}")]
        Root(&'static str),
        #[error("it failed")]
        Silent(#[source] Box<TestError>),
        #[error("it failed: {0}")]
        Verbose(#[source] Box<TestError>),
    }

    #[test]
    fn each_cause_appears_once() {
        let root = || Box::new(TestError::Root("disk"));
        assert_eq!(error_chain(&TestError::Silent(root())), "it failed: no disk");
        assert_eq!(error_chain(&TestError::Verbose(root())), "it failed: no disk");
    }
}
