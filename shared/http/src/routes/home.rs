//! `/`: a web page with links to every organization's answers.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gam_access::{Principal, RouteClass};
use gam_query::{KeptOrgs, OrgSummary, QueryPorts};
use sha2::{Digest, Sha256};

use super::Route;
use crate::auth::visible_orgs;
use crate::error::ApiError;
use crate::openapi::{Operation, ResponseBody};

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:48rem;margin:3rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}\
ul{list-style:none;padding:0}li{padding:.75rem 0;border-top:1px solid color-mix(in srgb,currentColor 20%,transparent)}\
small{opacity:.7}nav a{margin-right:1rem}";

/// Allows only the page's own style, by its hash.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("the policy is ASCII")
});

pub(super) fn route(path: &'static str) -> Route {
    let operation = Operation {
        id: "index".to_owned(),
        summary: "A web page with links to every organization's answers".to_owned(),
        parameters: Vec::new(),
        response: ResponseBody::Html,
        error_statuses: &[503],
    };
    Route { path, handler: get(handle), operation, class: RouteClass::Read }
}

async fn handle(
    State(ports): State<QueryPorts>,
    Extension(kept): Extension<Arc<KeptOrgs>>,
    Extension(principal): Extension<Principal>,
) -> Result<impl IntoResponse, ApiError> {
    let orgs = visible_orgs(&ports, &kept, &principal, None).await?.orgs;
    Ok(([(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone())], Html(render(&orgs))))
}

/// Renders the page. Its links are relative, so that it also works under a path prefix.
fn render(orgs: &[OrgSummary]) -> String {
    let mut items = String::new();
    for org in orgs {
        write_item(&mut items, org);
    }
    if orgs.is_empty() {
        items.push_str(
            "<p>No organization has been collected yet: run <code>github-metrics up ORG</code>.</p>",
        );
    } else {
        items = format!("<ul>{items}</ul>");
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>GitHub activity metrics</title><style>{STYLE}</style></head>\
         <body><h1>GitHub activity metrics</h1>\
         <p>A read-only HTTP API for the GitHub activity of organizations, repositories and members.</p>\
         <nav><a href=\"openapi.json\">OpenAPI document</a><a href=\"api/v1/metrics\">Metric definitions</a>\
         <a href=\"api/v1/orgs\">Organizations as JSON</a></nav>\
         <h2>Organizations</h2>{items}</body></html>\n"
    )
}

fn write_item(items: &mut String, org: &OrgSummary) {
    let base = format!("api/v1/orgs/{}", percent_encode(&org.org));
    let days = match (org.first_event, org.last_event) {
        (Some(first), Some(last)) => format!(", {} to {}", first.date_naive(), last.date_naive()),
        _ => String::new(),
    };
    let size = match (org.repos, org.members) {
        (Some(repos), Some(members)) => format!("{repos} repositories, {members} members{days}"),
        _ => "the numbers are being computed".to_owned(),
    };
    write!(
        items,
        "<li><strong>{name}</strong> <small>{size}</small><br>\
         <nav><a href=\"{base}/metrics\">metrics</a><a href=\"{base}/metrics/timeseries\">commits by day</a>\
         <a href=\"{base}/repos\">repositories</a><a href=\"{base}/members\">members</a></nav></li>",
        name = escape_html(&org.org),
    )
    .expect("writing to a string does not fail");
}

/// Escapes text for HTML, including attribute values.
pub(crate) fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Percent-encodes a name for a path segment.
fn percent_encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string does not fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(org: &str) -> OrgSummary {
        OrgSummary { org: org.into(), repos: Some(2), members: Some(3), first_event: None, last_event: None }
    }

    #[test]
    fn names_are_escaped_in_text_and_links() {
        let page = render(&[summary("<b onload='x'>&\"/ä")]);
        assert!(page.contains("<strong>&lt;b onload=&#39;x&#39;&gt;&amp;&quot;/ä</strong>"), "{page}");
        assert!(page.contains("api/v1/orgs/%3Cb%20onload%3D%27x%27%3E%26%22%2F%C3%A4/metrics\""), "{page}");
    }

    #[test]
    fn an_organization_being_computed_shows_no_numbers() {
        assert!(render(&[summary("acme")]).contains("2 repositories, 3 members"));
        let page = render(&[OrgSummary { repos: None, members: None, ..summary("acme") }]);
        assert!(page.contains("being computed") && !page.contains("repositories,"), "{page}");
    }

    #[test]
    fn a_page_without_organizations_says_what_to_do() {
        assert!(render(&[]).contains("github-metrics up ORG"));
        assert!(!render(&[summary("acme")]).contains("github-metrics up"));
    }
}
