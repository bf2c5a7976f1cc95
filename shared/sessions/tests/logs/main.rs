//! Readers of session logs on logs that were written for these tests.

mod claude;
mod claude_copies;
mod codex;
mod content;
mod support;
