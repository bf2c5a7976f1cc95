//! Web pages: functions from data to HTML.

pub(crate) mod sign_in;
