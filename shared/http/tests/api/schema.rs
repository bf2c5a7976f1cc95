//! Comparing answers with the schemas of the OpenAPI document. It knows the keywords that those schemas
//! use.

use serde_json::{Map, Value};

/// Checks that a value matches its schema: it has the type, all required fields, and no field that the
/// schema does not name.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).ok_or("a reference to nothing")?;
        return check(document, target, value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let matches = choices.iter().filter(|choice| check(document, choice, value).is_ok()).count();
        return if matches == 1 { Ok(()) } else { Err(format!("{value} matches {matches} of {choices:?}")) };
    }
    if !types(schema).iter().any(|name| is_type(value, name)) {
        return Err(format!("{value} is not of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Err(format!("{value} is not in {}", schema["enum"]));
    }
    match value {
        Value::Object(fields) => check_fields(document, schema, fields),
        Value::Array(items) => items.iter().try_for_each(|item| check(document, &schema["items"], item)),
        Value::String(text) => check_format(schema, text),
        _ => Ok(()),
    }
}

fn check_fields(document: &Value, schema: &Value, fields: &Map<String, Value>) -> Result<(), String> {
    // A schema that lists no fields is that of an object with any fields.
    if schema.get("properties").is_none() {
        return Ok(());
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap_or_default()) {
            return Err(format!("{name} is missing"));
        }
    }
    // An object whose fields are not known.
    if !schema["additionalProperties"].is_null() {
        return Ok(());
    }
    for (name, value) in fields {
        let property =
            schema["properties"].get(name).ok_or_else(|| format!("{name} is not in the schema"))?;
        check(document, property, value).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn check_format(schema: &Value, text: &str) -> Result<(), String> {
    let is_valid = match schema["format"].as_str() {
        Some("date") => text.parse::<chrono::NaiveDate>().is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok_and(|_| text.ends_with('Z')),
        _ => true,
    };
    if is_valid { Ok(()) } else { Err(format!("{text} is not a {}", schema["format"])) }
}

fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
