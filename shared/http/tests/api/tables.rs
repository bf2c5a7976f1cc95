//! Tables of pages: each has a caption and heads, and numbers are below heads that are aligned like them.

use std::sync::Arc;

use axum::Router;
use gam_access::{Principal, Role};
use gam_http::{AccessControl, AllowedOrigins, NotificationPorts, guarded_router, with_notifications};
use gam_notify::{FactSource, NotifyError, NotifyOrg, OrgFacts};
use gam_store::{
    Expectation, KeyPart, RecordCommit, RecordCommitId, RecordKey, RecordKind, RecordStore as _,
};
use serde_json::json;

use crate::agents_page;
use crate::orgs::hooks;
use crate::support::{TestData, fixed_clock, get};

/// The pages with tables.
const PAGES: [&str; 10] = [
    "/orgs/acme",
    "/orgs/acme/delivery",
    "/orgs/acme/repos",
    "/orgs/acme/members",
    "/orgs/acme/repos/site",
    agents_page::PAGE,
    "/orgs/acme/tasks",
    "/orgs/acme/actions",
    "/orgs/acme/hooks",
    "/orgs/acme/notifications",
];

/// "Acme" has a channel and a rule.
struct OneChannel;

#[async_trait::async_trait]
impl FactSource for OneChannel {
    async fn orgs(&self) -> Result<Vec<NotifyOrg>, NotifyError> {
        let settings = json!({
            "channels": [{ "name": "ops", "type": "slack", "url": "NOTIFY_SLACK" }],
            "rules": [{ "channels": ["ops"] }],
        });
        let settings = serde_json::from_value(settings).expect("valid settings");
        Ok(vec![NotifyOrg { key: "acme".to_owned(), settings, time_zone: Default::default() }])
    }

    async fn facts(&self, _: &str) -> Result<OrgFacts, NotifyError> {
        unreachable!("no page asks for them")
    }
}

/// Stores a message that was sent.
async fn store_message(data: &TestData) {
    let now = fixed_clock().now();
    let message = json!({
        "id": "0123", "channel": "ops", "at": now, "title": "A task failed", "notifications": 1, "attempts": 1,
    });
    let parts = [KeyPart::Number(1), KeyPart::Text("0123")];
    let key = RecordKey::new(Some("acme"), RecordKind::NotifyMessage, &parts).expect("a key");
    let commit = RecordCommit::new(RecordCommitId::random());
    let commit = commit.put(key, message.to_string(), Expectation::Any);
    data.store.commit(&commit, now).await.expect("it is stored");
}

/// "Acme" with sessions, webhooks and notifications, for an administrator.
async fn api() -> Router {
    let data = agents_page::data().await;
    hooks::store(&data, &hooks::swept()).await;
    store_message(&data).await;
    let admin = AccessControl::trusted(Principal::trusted("admin", Role::Admin));
    let router = guarded_router(data.api_ports(), admin, AllowedOrigins::default());
    let (facts, clock) = (Arc::new(OneChannel), fixed_clock());
    with_notifications(router, NotificationPorts { facts, records: data.store.clone(), clock })
}

/// Returns what is between two texts.
fn between<'a>(html: &'a str, start: &str, end: &str) -> Option<&'a str> {
    html.split_once(start).and_then(|(_, rest)| rest.split_once(end)).map(|(text, _)| text)
}

/// Returns the start tags of the cells of a row, and whether each is of numbers.
fn cells(row: &str) -> Vec<(&str, bool)> {
    let tags = row.split('<').filter(|tag| tag.starts_with("th") || tag.starts_with("td"));
    let tags = tags.filter_map(|tag| tag.split_once('>').map(|(tag, _)| tag));
    tags.map(|tag| (tag, tag.contains("class=\"number\""))).collect()
}

#[tokio::test]
async fn every_table_has_a_caption_and_heads_that_are_aligned_like_their_cells() {
    let api = api().await;
    for path in PAGES {
        let page = get(&api, path).await;
        assert_eq!(page.status, 200, "{path}: {page:?}");
        let tables: Vec<&str> = page.text().split("<table").skip(1).collect();
        assert!(!tables.is_empty(), "{path}: {page:?}");
        for table in tables {
            let table = table.split("</table>").next().expect("it ends");
            let name = between(table, "<caption class=\"hidden\">", "</caption>");
            let name = name.unwrap_or_else(|| panic!("{path} has a table without a caption: {table}"));
            // The calendar has a head that spans the columns of a month.
            let Some(head) =
                between(table, "<thead><tr>", "</tr></thead>").filter(|it| !it.contains("colspan"))
            else {
                assert!(table.contains("colspan"), "{path} {name}: no heads");
                continue;
            };
            let heads = cells(head);
            assert!(heads.iter().all(|(tag, _)| tag.contains("scope=\"col\"")), "{path} {name}: {heads:?}");
            let body = between(table, "<tbody>", "</tbody>").expect("a body");
            for row in body.split("<tr").skip(1) {
                let (heads, cells): (Vec<bool>, Vec<bool>) =
                    (heads.iter().map(|it| it.1).collect(), cells(row).iter().map(|it| it.1).collect());
                assert_eq!(heads, cells, "{path} {name}: {row}");
            }
        }
    }
}

/// Returns the texts of a page that people read: without tags, and without what is the same in every language.
fn texts(html: &str) -> Vec<&str> {
    let body = html.split_once("<main").map_or(html, |(_, main)| main);
    let texts = body.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text.trim()));
    texts.filter(|text| text.chars().any(char::is_alphabetic)).collect()
}

#[tokio::test]
async fn heads_titles_and_captions_of_pages_are_translated() {
    let api = api().await;
    for path in PAGES {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = get(&api, &format!("{path}{separator}lang=ja")).await;
        let html = page.text();
        for (start, end) in [("<h1", "</h1>"), ("<h2", "</h2>"), ("<caption", "</caption>")] {
            for part in html.split(start).skip(1) {
                let part = part.split(end).next().expect("it ends");
                let text: String = texts(&format!("<main{part}")).concat();
                let is_name = ["Site", "acme", "Acme", "Webhook"].iter().any(|name| text == *name);
                assert!(is_name || text.is_empty() || !text.is_ascii(), "{path}: {start}{part}");
            }
        }
    }
}
