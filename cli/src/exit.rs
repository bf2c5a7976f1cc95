//! How a run ends: its exit status.

/// The exit status of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything succeeded.
    Success,
    /// The command failed.
    Failed,
    /// The arguments, the variables or the configuration are invalid.
    Usage,
    /// Part of the work succeeded. Messages name what failed.
    Partial,
    /// The API's rate limit stopped the run. Progress is saved.
    Limited,
    /// Ctrl-C stopped the run.
    Interrupted,
    /// SIGTERM stopped the run.
    Terminated,
}

impl Exit {
    /// Returns the exit code of the process.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partial => 3,
            Exit::Limited => 75,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// Returns the status of a run from the statuses of its parts, one an organization or a step.
    pub(crate) fn combine(parts: &[Exit]) -> Exit {
        match parts {
            [] => Exit::Success,
            _ if parts.contains(&Exit::Limited) => Exit::Limited,
            [first, rest @ ..] if rest.iter().all(|part| part == first) => *first,
            _ => Exit::Partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_parts_combine() {
        use Exit::*;
        assert_eq!(Exit::combine(&[]), Success);
        assert_eq!(Exit::combine(&[Success, Success]), Success);
        assert_eq!(Exit::combine(&[Failed, Failed]), Failed);
        assert_eq!(Exit::combine(&[Success, Failed]), Partial);
        assert_eq!(Exit::combine(&[Partial, Success]), Partial);
        assert_eq!(Exit::combine(&[Failed, Limited]), Limited);
    }
}
