//! What goes wrong, by script.

/// What becomes of a request instead of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A status with a page for people.
    Status(u16),
    /// The connection ends without an answer.
    Reset,
    /// The connection ends in the middle of the body.
    Truncated,
    /// The first node of a list is null, and an error says that something went wrong.
    NullNode,
    /// The last node of the outermost list is null, and an error names it: it was too much.
    BrokenEntry,
    /// Status 200 with an error: the primary limit is used up for so many seconds.
    RateLimited(u64),
    /// Status 200 with an error: the place at which the page was to begin is not known.
    UnknownCursor,
    /// The link to the next page is missing.
    MissingNextLink,
    /// Status 403: a secondary limit, to be waited for so many seconds.
    SecondaryLimit(u64),
}

/// A fault that is still to come.
#[derive(Debug)]
struct PlannedFault {
    on: &'static str,
    skip: u32,
    times: u32,
    fault: Fault,
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(super) struct FaultScript(Vec<PlannedFault>);

impl FaultScript {
    /// Plans a fault for requests of a kind, after `skip` of them and `times` in a row.
    pub(super) fn plan(&mut self, on: &'static str, skip: u32, times: u32, fault: Fault) {
        self.0.push(PlannedFault { on, skip, times, fault });
    }

    /// What becomes of a request of that kind.
    pub(super) fn next(&mut self, kind: &str) -> Option<Fault> {
        for planned in self.0.iter_mut().filter(|planned| planned.on == "*" || planned.on == kind) {
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if planned.times > 0 {
                planned.times -= 1;
                return Some(planned.fault);
            }
        }
        None
    }

    /// How many faults are still to come.
    pub(super) fn left(&self) -> u32 {
        self.0.iter().map(|planned| planned.times).sum()
    }
}
