//! `docs/API.md`, made from the OpenAPI document.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value};

/// Returns the text of `docs/API.md`.
pub(super) fn markdown(document: &Value) -> String {
    let mut page = String::from(
        "# HTTP API\n\n\
         Generated from the OpenAPI document, which a server has at `/openapi.json`; a test fails if the two differ. \
         [METRICS.md](METRICS.md) defines the metrics.\n\n",
    );
    page.push_str(text(&document["info"]["description"]));
    page.push_str("\n\n");
    write_security(&mut page, document);
    write_routes(&mut page, document);
    write_parameters(&mut page, document);
    write_errors(&mut page, document);
    write_schemas(&mut page, document);
    page
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Returns the text of a table's cell.
fn cell(text: &str) -> String {
    text.replace("\n\n* ", "<br>").replace("\n* ", "<br>").replace('\n', " ").replace('|', "\\|")
}

/// Returns the operations with their methods and paths. Paths that end in `.csv` repeat others.
fn operations(document: &Value) -> impl Iterator<Item = (&'static str, &String, &Value)> {
    let routes = fields(&document["paths"]).filter(|(path, _)| !path.ends_with(".csv"));
    routes.flat_map(|(path, item)| {
        let operation = move |(name, method)| Some((name, path, item.get(method)?));
        [("GET", "get"), ("POST", "post")].into_iter().filter_map(operation)
    })
}

fn write_security(page: &mut String, document: &Value) {
    page.push_str("## Authentication\n\n");
    for (name, scheme) in fields(&document["components"]["securitySchemes"]) {
        let way = match text(&scheme["type"]) {
            "http" => "the header `Authorization: Bearer TOKEN`".to_owned(),
            _ => format!("the cookie `{}`", text(&scheme["name"])),
        };
        let description = text(&scheme["description"]);
        writeln!(page, "- `{name}`: {way}. {description}.").expect("a string");
    }
    page.push_str("\nHealth checks and the OpenAPI document need neither.\n\n");
}

fn write_routes(page: &mut String, document: &Value) {
    page.push_str(
        "## Routes\n\nEvery route can also return the errors 403, 405, 406, 413, 414, 429, 431, 500 and 503.\n\n",
    );
    for (method, path, operation) in operations(document) {
        writeln!(page, "### `{method} {path}`\n\n{}.\n", text(&operation["summary"])).expect("a string");
        let parameters = list(&operation["parameters"]);
        let names = parameters.iter().map(|it| format!("`{}`", text(&it["name"]))).collect::<Vec<_>>();
        if !names.is_empty() {
            writeln!(page, "Parameters: {}\n", names.join(", ")).expect("a string");
        }
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_object() {
            writeln!(page, "Body: {}\n", answer("application/json", &body["schema"])).expect("a string");
        }
        let content = &operation["responses"]["200"]["content"];
        let answers = fields(content).map(|(media_type, content)| answer(media_type, &content["schema"]));
        writeln!(page, "Answer: {}\n", answers.collect::<Vec<_>>().join(", or ")).expect("a string");
        if let Some(description) = operation["responses"]["204"]["description"].as_str() {
            writeln!(page, "Without an answer (204): {description}.\n").expect("a string");
        }
        if document["paths"].get(format!("{path}.csv")).is_some() {
            writeln!(page, "`{path}.csv` is CSV only.\n").expect("a string");
        }
        let common = ["403", "405", "406", "413", "414", "429", "431", "500", "503"];
        let errors = fields(&operation["responses"]).map(|(status, _)| status.as_str());
        let errors = errors.filter(|status| *status >= "400" && !common.contains(status)).collect::<Vec<_>>();
        if !errors.is_empty() {
            writeln!(page, "Errors: {}\n", errors.join(", ")).expect("a string");
        }
        write_examples(page, content);
    }
}

/// Describes the content of an answer.
fn answer(media_type: &str, schema: &Value) -> String {
    let names = match list(&schema["oneOf"]) {
        [] => vec![type_of(schema)],
        choices => choices.iter().map(type_of).collect(),
    };
    match names.concat().contains("](#") {
        true => format!("`{media_type}` with {}", names.join(" or ")),
        false => format!("`{media_type}`"),
    }
}

/// Writes the examples of the answers as JSON.
fn write_examples(page: &mut String, content: &Value) {
    for (name, example) in fields(&content["application/json"]["examples"]) {
        let json = serde_json::to_string_pretty(&example["value"]).expect("JSON");
        let summary = format!("<summary>Example: {name}</summary>");
        writeln!(page, "<details>{summary}\n\n```json\n{json}\n```\n\n</details>\n").expect("a string");
    }
}

/// Parameters of one name with different descriptions are listed one after the other.
fn write_parameters(page: &mut String, document: &Value) {
    let mut parameters: BTreeMap<(&str, &str), &Value> = BTreeMap::new();
    for (_, _, operation) in operations(document) {
        for parameter in list(&operation["parameters"]) {
            parameters.insert((text(&parameter["name"]), text(&parameter["description"])), parameter);
        }
    }
    page.push_str("## Parameters\n\n| name | in | values | meaning |\n|---|---|---|---|\n");
    for ((name, description), parameter) in parameters {
        let (place, values) = (text(&parameter["in"]), values_of(&parameter["schema"]));
        writeln!(page, "| `{name}` | {place} | {} | {} |", cell(&values), cell(description))
            .expect("a string");
    }
    page.push('\n');
}

/// Describes the values of a parameter.
fn values_of(schema: &Value) -> String {
    if schema["type"] == "array" {
        return format!("any of: {}", values_of(&schema["items"]));
    }
    let mut values = match list(&schema["enum"]) {
        [] => type_of(schema),
        values => values.iter().map(|value| format!("`{}`", text(value))).collect::<Vec<_>>().join(", "),
    };
    for (bound, word) in
        [("minimum", "from"), ("maximum", "to"), ("maxLength", "at most this many characters:")]
    {
        if schema[bound].is_i64() && schema[bound] != i64::MAX {
            write!(values, ", {word} {}", schema[bound]).expect("a string");
        }
    }
    if !schema["default"].is_null() {
        let default = schema["default"].to_string().replace('"', "");
        write!(values, "; default `{default}`").expect("a string");
    }
    values
}

fn write_errors(page: &mut String, document: &Value) {
    page.push_str(
        "## Errors\n\n| status | meaning | header | example of `code` and `detail` |\n|---|---|---|---|\n",
    );
    let mut rows = BTreeMap::new();
    for (_, response) in fields(&document["components"]["responses"]) {
        let example = &response["content"]["application/problem+json"]["example"];
        let header = fields(&response["headers"]).map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>();
        let row = format!(
            "| {} | {} | {} | `{}`: {} |\n",
            example["status"],
            cell(text(&response["description"])),
            header.join(", "),
            text(&example["code"]),
            cell(text(&example["detail"]))
        );
        rows.insert(example["status"].as_u64(), row);
    }
    page.extend(rows.into_values());
    page.push('\n');
}

fn write_schemas(page: &mut String, document: &Value) {
    page.push_str("## Schemas\n\nFields in *italics* can be missing.\n\n");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        writeln!(page, "### {name}\n").expect("a string");
        let empty = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&empty);
        if properties.is_empty() {
            writeln!(page, "{}: {}\n", text(&schema["description"]), values_of(schema)).expect("a string");
            continue;
        }
        if let Some(description) = schema["description"].as_str() {
            writeln!(page, "{description}\n").expect("a string");
        }
        page.push_str("| field | type | meaning |\n|---|---|---|\n");
        for (field, schema_of_field) in properties {
            let is_required = list(&schema["required"]).iter().any(|it| it == field);
            let field = if is_required { format!("`{field}`") } else { format!("*`{field}`*") };
            let meaning = cell(text(&schema_of_field["description"]));
            writeln!(page, "| {field} | {} | {meaning} |", cell(&type_of(schema_of_field)))
                .expect("a string");
        }
        page.push('\n');
    }
}

/// Returns the type of a value as text.
fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    match list(&schema["oneOf"]) {
        [] => {}
        choices => return choices.iter().map(type_of).collect::<Vec<_>>().join(" or "),
    }
    let name = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        name => text(name).to_owned(),
    };
    match schema["format"].as_str() {
        Some("date-time") => name.replace("string", "time"),
        Some("date") => name.replace("string", "day"),
        _ if name == "array" => format!("list of {}", type_of(&schema["items"])),
        _ => name,
    }
}
