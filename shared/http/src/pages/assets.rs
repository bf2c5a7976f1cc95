//! The style sheet and the script, under names that change with their content.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use sha2::{Digest, Sha256};

use crate::charts::palette::{chart_rules, custom_properties};
use crate::error::ApiError;
use crate::params::PathParams;

/// The style sheet: the colours of both themes, then the rules.
static STYLE: LazyLock<String> = LazyLock::new(|| {
    let (light, dark) = (custom_properties(false), custom_properties(true));
    let rules = include_str!("page.css");
    minified(&format!(
        ":root{{{light}}}\n@media screen{{[data-theme=dark]{{{dark}}}}}\n\
         @media screen and (prefers-color-scheme:dark){{[data-theme=auto]{{{dark}}}}}\n{rules}\n{}",
        chart_rules()
    ))
});
const SCRIPT: &str = include_str!("page.js");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| name_of(&STYLE, "css"));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| name_of(SCRIPT, "js"));

/// Returns the file name of the style sheet.
pub(super) fn style_name() -> &'static str {
    &STYLE_NAME
}

/// Returns the file name of the script.
pub(super) fn script_name() -> &'static str {
    &SCRIPT_NAME
}

fn name_of(content: &str, extension: &str) -> String {
    format!("{}.{extension}", &hex::encode(Sha256::digest(content))[..16])
}

/// Returns a style sheet without the white space at the ends of lines.
fn minified(css: &str) -> String {
    css.lines().map(str::trim).collect()
}

/// `/assets/{name}`.
pub(super) async fn handle(PathParams(name): PathParams<String>) -> Result<impl IntoResponse, ApiError> {
    let (kind, content) = match name {
        name if name == *STYLE_NAME => ("text/css; charset=utf-8", STYLE.as_str()),
        name if name == *SCRIPT_NAME => ("text/javascript; charset=utf-8", SCRIPT),
        name => return Err(ApiError::no_such_route(&format!("/assets/{name}"))),
    };
    let headers =
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, content))
}
