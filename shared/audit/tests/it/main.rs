//! Tests of the audit log: drains that are killed or run side by side, readers, and tampering.

mod crashes;
mod drain;
mod reading;
mod support;
mod tampering;
