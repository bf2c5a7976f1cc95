//! Counts the write units of DynamoDB by class of item, from the requests at a proxy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gam_tests::proxy::{self, Proxy, SeenRequest};
use serde_json::{Map, Value};

/// The bytes of an item that one unit writes.
const UNIT_BYTES: usize = 1024;

/// The written items of a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WrittenItems {
    /// Number of writes.
    pub(crate) items: usize,
    /// Size with the names of the attributes.
    pub(crate) bytes: usize,
    /// Write units. A refused write costs the same as another one.
    pub(crate) units: usize,
}

/// Counts the items that `PutItem` writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteUnits(Arc<Mutex<BTreeMap<String, WrittenItems>>>);

impl WriteUnits {
    /// Counts all writes through a proxy from now on.
    pub(crate) fn count(proxy: &Proxy) -> Self {
        let counted = WriteUnits::default();
        let counter = counted.clone();
        // A rule that sees each request, and affects none.
        proxy.inject_randomly(0, proxy::THROTTLED, move |request| {
            counter.record(request);
            false
        });
        counted
    }

    fn record(&self, request: &SeenRequest) {
        if request.operation != "PutItem" {
            return;
        }
        let Ok(body) = serde_json::from_str::<Value>(&request.body) else { return };
        let Some(item) = body["Item"].as_object() else { return };
        let bytes = item_bytes(item);
        let mut classes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let class = classes.entry(class(item)).or_default();
        class.items += 1;
        class.bytes += bytes;
        class.units += bytes.div_ceil(UNIT_BYTES);
    }

    /// Returns what was written so far, by class.
    pub(crate) fn written(&self) -> BTreeMap<String, WrittenItems> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Returns the class of an item: what its key begins with, and for rollups their class and kind.
fn class(item: &Map<String, Value>) -> String {
    let text = |name: &str| item.get(name).and_then(|value| value["S"].as_str()).unwrap_or_default();
    let parts: Vec<&str> = text("pk").split('#').collect();
    match parts.as_slice() {
        ["items", _, _, class, kind, ..] => format!("{class} of {kind}"),
        ["org", ..] => text("sk").split('#').next().unwrap_or_default().to_owned(),
        [first, ..] => (*first).to_owned(),
        [] => String::new(),
    }
}

/// Returns the size of an item: the names and the values of its attributes. See
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
fn item_bytes(item: &Map<String, Value>) -> usize {
    let value_bytes = |value: &Value| match value.as_object().and_then(|value| value.iter().next()) {
        Some((kind, Value::String(text))) => match kind.as_str() {
            "B" => STANDARD.decode(text).map_or(0, |bytes| bytes.len()),
            // One byte for two digits, and one more.
            "N" => text.trim_start_matches('-').len().div_ceil(2) + 1,
            _ => text.len(),
        },
        _ => 1,
    };
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}
