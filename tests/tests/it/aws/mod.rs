//! The deployed system on an emulator of AWS: the real template, the real functions, every function
//! under its own role.
//!
//! `infra/local-aws` starts the emulator and gets the pinned tools, from PyPI. Where it cannot, these
//! tests say what they need and are skipped; in CI they fail. With `AWS_ENDPOINT_URL` set, those that
//! need nothing special of an emulator use what is there instead.

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
mod scene;
mod stack;
mod tools;
