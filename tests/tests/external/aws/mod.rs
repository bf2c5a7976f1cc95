//! The deployed system on an emulator of AWS: the real template and functions, and each function under its
//! own role.
//! `infra/local-aws` installs the pinned tools from PyPI and starts the emulator. If `AWS_ENDPOINT_URL` is set,
//! tests that need no special emulator use that AWS instead.

mod access;
mod actions;
mod athena;
mod bad_input;
mod calls;
mod conformance;
mod emulator;
mod end_to_end;
mod fan_out;
mod faults;
mod footprint;
mod lint;
mod notify;
mod query;
mod scenario;
mod sessions;
mod stack;
mod webhooks;
mod write_units;

use crate::ExternalTest;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<ExternalTest> {
    let files = [
        access::tests(),
        actions::tests(),
        athena::tests(),
        bad_input::tests(),
        conformance::tests(),
        end_to_end::tests(),
        fan_out::tests(),
        faults::tests(),
        footprint::tests(),
        lint::tests(),
        notify::tests(),
        query::tests(),
        sessions::tests(),
        webhooks::tests(),
    ];
    files.into_iter().flatten().collect()
}
