//! `/orgs/{org}/notifications`: the channels of an organization, its rules, and what was sent or refused.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use gam_model::notify::{NotifySettings, RoutingRule};
use gam_notify::{ChannelStatus, NotifyError, SentMessage, channel_status, list_messages};
use gam_query::{QueryError, QueryPorts, StoredOrgName};
use maud::{Markup, html};

use super::format;
use super::shell::{Page, Section, render, respond};
use super::tables::{Head, list_panel};
use super::view::View;
use super::words::{fill, fill_english};
use crate::error::ApiError;
use crate::params::SubjectPath;
use crate::router::NotificationPorts;

/// Number of messages that the page shows.
const MAX_MESSAGES: usize = 50;

/// What the page shows.
struct Shown {
    settings: NotifySettings,
    channels: Vec<ChannelStatus>,
    messages: Vec<SentMessage>,
}

pub(super) async fn handle(
    State(ports): State<QueryPorts>,
    notifications: Option<Extension<NotificationPorts>>,
    path: SubjectPath,
    view: View,
) -> Result<Response, ApiError> {
    let StoredOrgName { key, display: org } = gam_query::find_org(&ports, &path.org).await?;
    let shown = match notifications {
        Some(Extension(notifications)) => Some(read(&notifications, &key).await.map_err(failed)?),
        None => None,
    };
    render(move || page(&view, &org, shown.as_ref())).await
}

async fn read(ports: &NotificationPorts, key: &str) -> Result<Shown, NotifyError> {
    let now = ports.clock.now();
    let org = ports.facts.orgs().await?.into_iter().find(|org| org.key == key);
    let settings = org.map(|org| org.settings).unwrap_or_default();
    let mut channels = Vec::new();
    for channel in &settings.channels {
        channels.push(channel_status(&*ports.records, (key, &channel.name), now).await?);
    }
    let messages = list_messages(&*ports.records, key, MAX_MESSAGES, now).await?;
    Ok(Shown { settings, channels, messages })
}

fn failed(error: NotifyError) -> ApiError {
    match error {
        NotifyError::Store(error) => QueryError::Store(error).into(),
        other => QueryError::Configuration(Box::new(other)).into(),
    }
}

/// `shown` is `None` if this server sends no notifications.
fn page(view: &View, org: &str, shown: Option<&Shown>) -> Response {
    let words = view.words;
    let body = html! {
        h1 { (words.notifications) }
        @match shown {
            None => p.note { (words.notifications_read_only) },
            Some(shown) if shown.channels.is_empty() => {
                p.note { (words.no_channels) }
                pre { code { "github-metrics help notify" } }
            }
            Some(shown) => div.panels {
                (channel_table(view, shown))
                (rule_table(view, &shown.settings))
                (message_table(view, &shown.messages))
            },
        }
    };
    let title = format!("{} · {org}", words.notifications);
    respond(view, StatusCode::OK, Page { title: &title, org: Some((org, Section::Notifications)), body })
}

fn channel_table(view: &View, shown: &Shown) -> Markup {
    let words = view.words;
    let row = |status: &ChannelStatus| {
        let kind = shown.settings.channel(&status.channel).map_or("", |channel| channel.kind.as_str());
        let state = match (&status.why, status.paused_until) {
            (Some(why), _) if status.is_broken => fill_english(words.channel_broken, why),
            (Some(why), _) => fill_english(words.channel_retries, why),
            (None, Some(until)) => {
                let until = format::time(until, view.language);
                html! { (fill(words.channel_paused, &[("t", &until)])) }
            }
            (None, None) => html! { (words.channel_works) },
        };
        let last =
            status.last_sent.map_or_else(|| format::NONE.to_owned(), |at| format::time(at, view.language));
        html! {
            tr {
                th scope="row" { (status.channel) " " span.note { (kind) } }
                td { (state) }
                td.number { (format::count(status.waiting + status.digests as u64)) }
                td.number { (last) }
            }
        }
    };
    let heads = [
        Head::Text(words.channel),
        Head::Text(words.channel_state),
        Head::Number(words.channel_waiting),
        Head::Number(words.channel_last),
    ];
    list_panel(view, (words.channels, ""), &heads, shown.channels.iter().map(row))
}

fn rule_table(view: &View, settings: &NotifySettings) -> Markup {
    let words = view.words;
    let or_all =
        |items: Vec<&str>| if items.is_empty() { words.notify_all.to_owned() } else { items.join(", ") };
    let row = |rule: &RoutingRule| {
        html! {
            tr {
                th scope="row" { (or_all(rule.kinds.iter().map(|kind| kind.as_str()).collect())) }
                td { (or_all(rule.repositories.iter().map(String::as_str).collect())) }
                td { (rule.channels.join(", ")) }
            }
        }
    };
    let heads = [words.notify_kinds, words.repositories, words.channels].map(Head::Text);
    let note = if settings.rules.is_empty() { words.no_notify_rules } else { "" };
    list_panel(view, (words.notify_rules, note), &heads, settings.rules.iter().map(row))
}

fn message_table(view: &View, messages: &[SentMessage]) -> Markup {
    let words = view.words;
    let row = |message: &SentMessage| {
        let result = match &message.refused {
            None => html! { (words.message_sent) },
            Some(why) => fill_english(words.message_refused, why),
        };
        html! {
            tr {
                th scope="row" { (message.title) }
                td { (message.channel) }
                td { (result) }
                td.number { (format::time(message.at, view.language)) }
            }
        }
    };
    let heads = [
        Head::Text(words.message),
        Head::Text(words.channel),
        Head::Text(words.log_outcome),
        Head::Number(words.log_time),
    ];
    let note = if messages.is_empty() { words.no_messages } else { "" };
    list_panel(view, (words.messages, note), &heads, messages.iter().map(row))
}
