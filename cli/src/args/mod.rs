//! Arguments that several commands share, and the parsers of their values. Nothing here knows a command.

mod global;
mod groups;
mod values;

pub(crate) use global::{GlobalOptions, LogFormat, OutputFormat, TerminalVariables, Variables};
pub(crate) use groups::{BotsOption, ConfigOption, GitHubOptions, ListenOption};
pub(crate) use values::{day, grain_parser, interval, login, long_duration, org, repo};
