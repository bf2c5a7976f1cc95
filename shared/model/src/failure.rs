//! Errors in words.

use std::error::Error;

/// The error and its causes in one line; a cause whose words are there already is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("no {0}")]
        Root(&'static str),
        #[error("it failed")]
        Because(#[source] Box<Failed>),
        #[error("it failed: {0}")]
        Told(#[source] Box<Failed>),
    }

    #[test]
    fn every_cause_is_said_once() {
        let root = || Box::new(Failed::Root("disk"));
        assert_eq!(chain(&Failed::Because(root())), "it failed: no disk");
        assert_eq!(chain(&Failed::Told(root())), "it failed: no disk");
    }
}
