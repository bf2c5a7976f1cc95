//! Planned faults of the double, and entries for which it always fails.

use serde_json::{Value, json};

use super::world::{Poison, World};

/// GitHub's message if it fails for no stated reason.
const SOMETHING_WRONG: &str = "Something went wrong while executing your query.";
/// The operations that request expensive fields.
const EXPENSIVE: [&str; 10] = [
    "PullRequests",
    "PullRequestsById",
    "Issues",
    "IssuesById",
    "Releases",
    "ReleasesById",
    "Deployments",
    "DeploymentsById",
    "Commits",
    "CommitsByOid",
];

/// Makes an answer fail if it contains expensive fields of a poisoned entry. Returns the status and the body.
pub(super) fn poison(world: &World, operation: &str, mut body: Value) -> (u16, Value) {
    if world.poisoned.is_empty() || !EXPENSIVE.contains(&operation) {
        return (200, body);
    }
    let mut paths = Vec::new();
    poisoned_paths(world, &body["data"], &mut Vec::new(), &mut paths);
    match world.poison {
        _ if paths.is_empty() => (200, body),
        Poison::BadGateway => (502, json!({ "data": null, "errors": [{ "message": SOMETHING_WRONG }] })),
        Poison::NullEntry => {
            let mut errors = body["errors"].as_array().cloned().unwrap_or_default();
            for path in paths {
                let mut node = &mut body["data"];
                for step in &path {
                    node = match step {
                        Value::Number(index) => &mut node[index.as_u64().unwrap_or_default() as usize],
                        step => &mut node[step.as_str().unwrap_or_default()],
                    };
                }
                *node = Value::Null;
                errors.push(json!({ "message": SOMETHING_WRONG, "path": path }));
            }
            body["errors"] = errors.into();
            (200, body)
        }
    }
}

/// Finds the poisoned entries below a value. Lists of bare ids, and commits without line counts, are cheap.
fn poisoned_paths(world: &World, value: &Value, path: &mut Vec<Value>, found: &mut Vec<Vec<Value>>) {
    let id = match value {
        Value::Object(fields) if fields.len() > 1 => match fields.get("oid") {
            Some(oid) if fields.contains_key("additions") => oid.as_str(),
            Some(_) => None,
            None => fields.get("id").and_then(Value::as_str),
        },
        _ => None,
    };
    if id.is_some_and(|id| world.poisoned.contains(id)) {
        found.push(path.clone());
        return;
    }
    let children: Vec<(Value, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (json!(name), child)).collect(),
        Value::Array(entries) => entries.iter().enumerate().map(|(at, child)| (json!(at), child)).collect(),
        _ => Vec::new(),
    };
    for (step, child) in children {
        path.push(step);
        poisoned_paths(world, child, path, found);
        path.pop();
    }
}

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
    /// Status 200 with an error: the object is hidden or does not exist.
    NotFound,
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
