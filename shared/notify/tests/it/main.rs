//! From audit rows to messages, with a store in memory, a clock that the tests move, and services that fail.

mod pipeline;
mod support;
