//! The page for signing in with a token. It works without script.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::html;

use super::shell::{Page, respond};
use super::view::View;

/// Returns the page. `next` is where to go afterwards, a path on this server. `is_refused` says that the last attempt
/// failed. Links are relative, so that the page also works under a path prefix. No cache stores it.
pub(crate) fn page(view: &View, status: StatusCode, next: &str, is_refused: bool) -> Response {
    let words = view.words;
    let body = html! {
        div.message {
            h1 { (words.sign_in) }
            @if is_refused {
                p #refusal role="alert" { strong { (words.token_refused) } " " (words.token_refused_why) }
            }
            form method="post" action={ "sign-in" (view.appearance()) } {
                input type="hidden" name="next" value=(next);
                label for="token" { (words.access_token) }
                input #token name="token" type="password" required autofocus autocomplete="current-password"
                    aria-invalid=[is_refused.then_some("true")] aria-describedby=[is_refused.then_some("refusal")];
                button { (words.sign_in) }
            }
            p.note { (words.token_made_by) }
            p.note { (words.signed_in_already) " " a href=(relative(&view.dress(next))) { (words.go_on) } }
        }
    };
    let mut response = respond(view, status, Page { title: words.sign_in, org: None, body });
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns a path on this server relative to the page.
pub(crate) fn relative(path: &str) -> String {
    format!("./{}", path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        assert_eq!(
            (relative("/"), relative("/a/b?c"), relative("//evil.example")),
            ("./".into(), "./a/b?c".into(), "./evil.example".into())
        );
    }
}
