//! The page for signing in with a token. It works without script.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::routes::home::escape_html;

const STYLE: &str = "\
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
body{max-width:24rem;margin:4rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0 0 1rem}label{display:block;margin-bottom:.25rem}\
input,button{font:inherit;padding:.5rem;box-sizing:border-box}input{width:100%;margin-bottom:.75rem}\
small{opacity:.7}";

/// Allows only the page's own style, by its hash, and only a form to this server.
pub(crate) static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("the policy is ASCII")
});

/// Renders the page. `next` is where to go afterwards, a path on this server. `is_refused` says that the last attempt
/// failed. Links are relative, so that the page also works under a path prefix.
pub(crate) fn render(next: &str, is_refused: bool) -> String {
    let next_value = escape_html(next);
    let link = escape_html(&relative(next));
    let refusal = match is_refused {
        true => {
            "<p role=\"alert\" id=\"refusal\"><strong>This token is not valid.</strong> It may be mistyped, expired \
                 or revoked.</p>"
        }
        false => "",
    };
    let described_by = if is_refused { " aria-invalid=\"true\" aria-describedby=\"refusal\"" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Sign in - GitHub activity metrics</title><style>{STYLE}</style></head>\
         <body><main><h1>Sign in</h1>{refusal}\
         <form method=\"post\" action=\"sign-in\"><input type=\"hidden\" name=\"next\" value=\"{next_value}\">\
         <label for=\"token\">Access token</label>\
         <input id=\"token\" name=\"token\" type=\"password\" required autofocus autocomplete=\"current-password\"\
         {described_by}><button>Sign in</button></form>\
         <p><small>An administrator creates tokens with <code>github-metrics token new</code>. \
         Signed in already? <a href=\"{link}\">Continue</a>.</small></p></main></body></html>\n"
    )
}

/// Returns a path on this server relative to the page.
pub(crate) fn relative(path: &str) -> String {
    format!("./{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_escaped_and_the_links_are_relative() {
        let page = render("/orgs/a?x=\"><script>", false);
        assert!(
            !page.contains("<script>") && page.contains("value=\"/orgs/a?x=&quot;&gt;&lt;script&gt;\""),
            "{page}"
        );
        assert!(page.contains("href=\"./orgs/a?x=&quot;"), "{page}");
        assert!(!page.contains("not valid") && render("/", true).contains("not valid"));
        assert_eq!(
            (relative("/"), relative("/a/b?c"), relative("//evil.example")),
            ("./".into(), "./a/b?c".into(), "./evil.example".into())
        );
    }
}
