//! The deployed system on an emulator of AWS: the real template, the real functions, every function
//! under its own role.
//!
//! `infra/local-aws` starts the emulator and installs the pinned tools, from PyPI. With `AWS_ENDPOINT_URL`
//! set, the tests that need nothing special of an emulator use that AWS instead.

mod access;
mod athena;
mod bad_input;
mod calls;
mod conformance;
mod emulator;
mod end_to_end;
mod faults;
mod footprint;
mod lint;
mod scenario;
mod stack;

use crate::ExternalTest;

/// The tests of this folder.
pub(crate) fn tests() -> Vec<ExternalTest> {
    let files = [
        access::tests(),
        athena::tests(),
        bad_input::tests(),
        conformance::tests(),
        end_to_end::tests(),
        faults::tests(),
        footprint::tests(),
        lint::tests(),
    ];
    files.into_iter().flatten().collect()
}
