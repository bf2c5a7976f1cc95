//! Planned faults of the double.

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// This status with an HTML page.
    Status(u16),
    /// The connection closes without an answer.
    Reset,
    /// The connection closes in the middle of the body.
    Truncated,
    /// The first node of the outermost list is null, and an error says that something went wrong.
    NullNode,
    /// The last node of the outermost list is null, and an error says that it exceeds the resource limits.
    BrokenEntry,
    /// Status 200 with an error: the primary limit is exceeded and resets after this many seconds.
    RateLimited(u64),
    /// Status 200 with an error: the cursor is invalid.
    UnknownCursor,
    /// The link to the next page is missing.
    MissingNextLink,
    /// Status 403: the secondary limit is exceeded, retry after this many seconds.
    SecondaryLimit(u64),
}

/// A fault and the requests it affects.
#[derive(Debug)]
struct PlannedFault {
    kind: &'static str,
    skip: u32,
    times: u32,
    fault: Fault,
}

/// The planned faults.
#[derive(Debug, Default)]
pub(super) struct FaultScript(Vec<PlannedFault>);

impl FaultScript {
    /// Plans a fault: lets `skip` requests of the kind pass, and affects the next `times`. `*` is every kind.
    pub(super) fn plan(&mut self, kind: &'static str, skip: u32, times: u32, fault: Fault) {
        self.0.push(PlannedFault { kind, skip, times, fault });
    }

    /// Returns the fault of the next request of this kind.
    pub(super) fn next(&mut self, kind: &str) -> Option<Fault> {
        for planned in self.0.iter_mut().filter(|planned| planned.kind == "*" || planned.kind == kind) {
            if planned.skip > 0 {
                planned.skip -= 1;
            } else if planned.times > 0 {
                planned.times -= 1;
                return Some(planned.fault);
            }
        }
        None
    }

    /// Returns the number of faults that have not happened yet.
    pub(super) fn pending(&self) -> u32 {
        self.0.iter().map(|planned| planned.times).sum()
    }
}
