//! The document around every page.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::request::{Theme, language_name};
use super::view::View;
use crate::charts::Language;
use crate::error::ApiError;

/// Allows only this server's own style sheet, script and forms.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A page without the document around it.
pub(super) struct Page<'a> {
    /// The title, without the product's name.
    pub(super) title: &'a str,
    /// The organization, and which of its sections is shown.
    pub(super) org: Option<(&'a str, Section)>,
    /// The content of the main element.
    pub(super) body: Markup,
}

/// A section of an organization's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Overview,
    Delivery,
    Repos,
    Members,
    Agents,
    Tasks,
    Hooks,
    Actions,
    Notifications,
}

/// Renders a page on a thread that may be blocked: tables and charts take longer than an asynchronous one may be.
///
/// # Errors
/// If rendering panics.
pub(super) async fn render(
    renders: impl FnOnce() -> Response + Send + 'static,
) -> Result<Response, ApiError> {
    tokio::task::spawn_blocking(renders).await.map_err(ApiError::internal)
}

/// Returns the response with a complete document.
pub(super) fn respond(view: &View, status: StatusCode, page: Page<'_>) -> Response {
    let mut response = (status, Html(document(view, &page).into_string())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language_name(view.language)));
    response
}

fn document(view: &View, page: &Page<'_>) -> Markup {
    let words = view.words;
    let title = match page.title {
        "" => words.product.to_owned(),
        title => format!("{title} · {}", words.product),
    };
    html! {
        (DOCTYPE)
        html lang=(language_name(view.language)) data-theme=(view.params.theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href={ (view.root) "assets/" (assets::style_name()) };
                script src={ (view.root) "assets/" (assets::script_name()) } defer {}
            }
            body {
                a.skip href="#main" { (words.skip) }
                header.top {
                    div.bar {
                        (brand(view, page.org))
                        @if let Some((org, section)) = page.org { (sections(view, org, section)) }
                        div.settings { (languages(view)) (themes(view)) (sign_out(view)) }
                    }
                }
                main #main tabindex="-1" { (page.body) }
                footer { (footer(view)) }
            }
        }
    }
}

fn brand(view: &View, org: Option<(&str, Section)>) -> Markup {
    let home = view.link(&[]);
    html! {
        @match org {
            Some((org, _)) => {
                a.brand href=(home) title=(view.words.organizations) { (mark()) }
                a.org href=(view.link(&["orgs", org])) { (org) }
            }
            None => { a.brand href=(home) { (mark()) span { (view.words.product) } } }
        }
    }
}

/// Three bars, the sign of the product.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            rect x="1" y="8" width="3.4" height="7" rx="1" {}
            rect x="6.3" y="4" width="3.4" height="11" rx="1" {}
            rect x="11.6" y="1" width="3.4" height="14" rx="1" {}
        }
    }
}

fn sections(view: &View, org: &str, section: Section) -> Markup {
    let words = view.words;
    let links = [
        (Section::Overview, words.overview, None),
        (Section::Delivery, words.delivery, Some("delivery")),
        (Section::Repos, words.repositories, Some("repos")),
        (Section::Members, words.members, Some("members")),
        (Section::Agents, words.agents, Some("agents")),
        (Section::Tasks, words.tasks, Some("tasks")),
        (Section::Hooks, words.hooks, Some("hooks")),
        (Section::Actions, words.actions, Some("actions")),
        (Section::Notifications, words.notifications, Some("notifications")),
    ];
    html! {
        nav.sections aria-label=(words.sections) {
            @for (it, text, path) in links {
                @let segments: Vec<&str> = ["orgs", org].into_iter().chain(path).collect();
                a href=(view.link(&segments)) aria-current=[(it == section).then_some("page")] { (text) }
            }
        }
    }
}

fn languages(view: &View) -> Markup {
    let other = match view.language {
        Language::English => Language::Japanese,
        Language::Japanese => Language::English,
    };
    let text = match other {
        Language::English => "English",
        Language::Japanese => "日本語",
    };
    html! {
        a href=(view.here(|params| params.language = Some(other))) lang=(language_name(other))
            hreflang=(language_name(other)) { (text) }
    }
}

fn themes(view: &View) -> Markup {
    let words = view.words;
    let text = |theme: Theme| match theme {
        Theme::Light => words.light,
        Theme::Dark => words.dark,
        Theme::Auto => words.system,
    };
    html! {
        details.menu {
            summary aria-label=(words.theme) title=(words.theme) {
                svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                    circle cx="8" cy="8" r="6.5" fill="none" stroke="currentColor" stroke-width="1.5" {}
                    path d="M8 1.5a6.5 6.5 0 0 1 0 13z" fill="currentColor" {}
                }
            }
            ul {
                @for theme in Theme::ALL {
                    li {
                        a data-set-theme=(theme.name()) href=(view.here(|params| params.theme = theme))
                            aria-current=[(theme == view.params.theme).then_some("true")] { (text(theme)) }
                    }
                }
            }
        }
    }
}

fn sign_out(view: &View) -> Markup {
    html! {
        @if view.has_token {
            form.sign-out method="post" action={ (view.root) "sign-out" (view.appearance()) } {
                button { (view.words.sign_out) }
            }
        }
    }
}

fn footer(view: &View) -> Markup {
    html! {
        @if view.can_audit { a href={ (view.root) "log" } { (view.words.audit_log) } " · " }
        a href={ (view.root) "api/v1/metrics" } { (view.words.definitions) }
        " · " a href={ (view.root) "openapi.json" } { (view.words.api) }
        " · " span { (view.words.version) " " (env!("CARGO_PKG_VERSION")) }
    }
}
