//! Items of the table, and their attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use gam_store::error::{Error, Result};

use super::keys::TableKey;

/// The attributes of an item, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Item(pub(super) HashMap<String, AttributeValue>);

impl Item {
    pub(super) fn new(key: &TableKey) -> Self {
        Item(key.attributes())
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
        let value = self.0.get(name).and_then(|value| value.as_s().ok());
        value.map(String::as_str).ok_or_else(|| self.damaged(name))
    }

    pub(super) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<N> {
        let value = self.0.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
        value.ok_or_else(|| self.damaged(name))
    }

    /// Returns the text of an attribute that may be missing.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&str>> {
        if self.0.contains_key(name) { self.text(name).map(Some) } else { Ok(None) }
    }

    /// Returns the error for an item whose attribute is missing or invalid.
    pub(super) fn damaged(&self, name: &str) -> Error {
        let key =
            |name: &str| self.0.get(name).and_then(|value| value.as_s().ok()).map_or("?", String::as_str);
        let (pk, sk) = (key("pk"), key("sk"));
        let fix = if pk.starts_with("record#") {
            "restore the table to a point in time before the damage, or delete the item, whose content is then lost"
        } else {
            "delete the item; `aggregate --rebuild` restores rollups, and collecting again restores everything else"
        };
        let what = format!("missing or invalid {name} in the table's item {pk} / {sk}: {fix}");
        Error::Unusable { what, source: None }
    }
}

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}
