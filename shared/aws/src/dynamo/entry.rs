//! Items as they are stored, attribute by attribute.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use gam_store::error::{Error, Result};

use super::keys::Key;

/// An item of the table.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry(pub(super) HashMap<String, AttributeValue>);

impl Entry {
    pub(super) fn at(key: &Key) -> Self {
        Entry(key.attributes())
    }

    pub(super) fn with(mut self, name: &str, value: AttributeValue) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    pub(super) fn with_text(self, name: &str, value: impl Into<String>) -> Self {
        self.with(name, text(value))
    }

    pub(super) fn with_number(self, name: &str, value: impl ToString) -> Self {
        self.with(name, number(value))
    }

    pub(super) fn text(&self, name: &str) -> Result<&str> {
        let found = self.0.get(name).and_then(|value| value.as_s().ok());
        found.map(String::as_str).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<N> {
        let found = self.0.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
        found.ok_or_else(|| self.damaged(name))
    }

    /// The error of an item that no version of this program has written so.
    pub(super) fn damaged(&self, name: &str) -> Error {
        let place =
            |name: &str| self.0.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
        let what = format!(
            "the item {} / {} of the table has no usable {name}: delete it; `aggregate --rebuild` makes rollups anew, \
             and collecting again makes the rest",
            place("pk"),
            place("sk")
        );
        Error::Unusable { what, source: None }
    }
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
