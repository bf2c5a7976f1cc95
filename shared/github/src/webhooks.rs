//! Webhooks, and the list of what GitHub delivered to them in the last days.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;

const HOOKS: &str = "webhooks";
const DELIVERIES: &str = "the deliveries of a webhook";

/// To whom a webhook belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum WebhookOwner {
    /// The GitHub App that signs in. It has one webhook for all organizations.
    App,
    /// An organization, by login.
    Org(String),
    /// A repository, by the logins of its owner and its name.
    Repo(String, String),
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// To whom it belongs.
    pub owner: WebhookOwner,
    /// GitHub's id. 0 for an app's.
    pub id: i64,
    /// The address that GitHub delivers to.
    pub url: String,
    /// `json` or `form`.
    pub content_type: String,
    /// Whether GitHub signs deliveries. `None` if GitHub does not say.
    pub has_secret: Option<bool>,
    /// The events that it is subscribed to. Empty if GitHub does not say.
    pub events: Vec<String>,
    /// Whether it delivers.
    pub is_active: bool,
}

/// An attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Delivery {
    /// The id of the attempt.
    pub id: i64,
    /// The GUID of the event, the same for all webhooks and attempts.
    pub guid: String,
    /// When it was delivered, UTC.
    pub delivered_at: DateTime<Utc>,
    /// The status of the answer. 0 if there was none.
    #[serde(default)]
    pub status_code: i64,
    /// `OK`, or what failed.
    #[serde(default)]
    pub status: String,
    /// The event, such as `issues`.
    pub event: String,
    /// The action, such as `opened`.
    pub action: Option<String>,
    /// GitHub's id of the repository, if the event is about one.
    pub repository_id: Option<i64>,
}

/// A page of deliveries, the last one first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryPage {
    /// The deliveries.
    pub deliveries: Vec<Delivery>,
    /// The cursor of the next page; `None` if this is the last one.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct Hook {
    id: i64,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    events: Vec<String>,
    config: HookConfig,
}

#[derive(Default, Deserialize)]
struct HookConfig {
    #[serde(default)]
    url: String,
    #[serde(default)]
    content_type: String,
    secret: Option<String>,
}

impl Client {
    /// Lists the webhooks of an owner, up to 100.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Forbidden`] if there are none, or the token may not list them; other errors if
    /// GitHub cannot be read.
    pub async fn webhooks(&self, owner: &WebhookOwner) -> Result<Vec<Webhook>, Error> {
        let path = match owner {
            WebhookOwner::App => {
                let (config, _) = self.get::<HookConfig>(HOOKS, "/app/hook/config").await?;
                let hook = Hook { id: 0, active: true, events: Vec::new(), config };
                return Ok(vec![webhook(owner, hook)]);
            }
            WebhookOwner::Org(org) => format!("/orgs/{org}/hooks?per_page=100"),
            WebhookOwner::Repo(owner, name) => format!("/repos/{owner}/{name}/hooks?per_page=100"),
        };
        let (hooks, _) = self.get::<Vec<Hook>>(HOOKS, &path).await?;
        Ok(hooks.into_iter().map(|hook| webhook(owner, hook)).collect())
    }

    /// Fetches a page of the deliveries of the owner's webhook with this id. An app has one webhook, whatever the id.
    /// `cursor` is from the page before.
    ///
    /// # Errors
    /// As [`Client::webhooks`].
    pub async fn webhook_deliveries(
        &self,
        owner: &WebhookOwner,
        id: i64,
        cursor: Option<&str>,
    ) -> Result<DeliveryPage, Error> {
        let path = match owner {
            WebhookOwner::App => "/app/hook/deliveries".to_owned(),
            WebhookOwner::Org(org) => format!("/orgs/{org}/hooks/{id}/deliveries"),
            WebhookOwner::Repo(owner, name) => format!("/repos/{owner}/{name}/hooks/{id}/deliveries"),
        };
        let mut path = format!("{path}?per_page=100");
        if let Some(cursor) = cursor {
            let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            path.push_str(&format!("&cursor={cursor}"));
        }
        let (deliveries, response) = self.get::<Vec<Delivery>>(DELIVERIES, &path).await?;
        Ok(DeliveryPage { deliveries, next: response.link.as_deref().and_then(next_cursor) })
    }
}

fn webhook(owner: &WebhookOwner, hook: Hook) -> Webhook {
    let HookConfig { url, content_type, secret } = hook.config;
    Webhook {
        owner: owner.clone(),
        id: hook.id,
        url,
        content_type,
        // GitHub shows asterisks instead of a secret.
        has_secret: Some(secret.is_some_and(|secret| !secret.is_empty())),
        events: hook.events,
        is_active: hook.active,
    }
}

/// Returns the cursor of the next page from the header `Link`.
fn next_cursor(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let address = next.split_once('<')?.1.split_once('>')?.0;
    let (_, query) = address.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_of_the_next_page_is_in_the_link() {
        let link = "<https://api.github.com/app/hook/deliveries?per_page=100&cursor=v1_12%3D>; rel=\"next\"";
        assert_eq!(next_cursor(link).as_deref(), Some("v1_12="));
        assert_eq!(next_cursor("<https://api.github.com/x?cursor=1>; rel=\"prev\""), None);
    }
}
