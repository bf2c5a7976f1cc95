//! The ports of the cache of issues to GitHub, over the client.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gam_github::{Client, DetailedIssue, Error, IssueLookup, IssueQuery, Webhook, WebhookOwner};
use gam_model::issue::IssueListPosition;
use gam_work::WEBHOOK_PATH;
use gam_work::hooks::repo_hook_id;
use gam_work::source::{
    FetchedIssue, IssueAddress, IssueAnswer, IssueListPage, IssueListQuery, IssueSource, LabelEvent,
    RepoAddress, RepoSummary, SourceError,
};
use gam_work::sweep::{APP_HOOK, AttemptPage, DeliveryAttempt, HookInfo, HookSource};

/// Number of pages that [`CachedAttempts`] remembers: some megabytes.
const MAX_CACHED_PAGES: usize = 100;

/// Reads issues, webhooks and deliveries from GitHub.
pub struct GitHubSource(Client);

fn source_error(error: Error) -> SourceError {
    SourceError {
        message: error.to_string(),
        is_temporary: error.is_temporary(),
        is_not_found: matches!(error, Error::NotFound(_)),
    }
}

fn fetched(issue: DetailedIssue) -> FetchedIssue {
    let DetailedIssue { details, closing_pull_requests, labels_set, edited_at } = issue;
    let label_events =
        labels_set.into_iter().map(|it| LabelEvent { label: it.label, by: it.by, at: it.at }).collect();
    FetchedIssue { details, closing_pull_requests, label_events, edited_at }
}

fn addresses(issues: Vec<(String, String, i64)>) -> Vec<IssueAddress> {
    let address = |(owner, name, number)| IssueAddress { repo: RepoAddress { owner, name }, number };
    issues.into_iter().map(address).collect()
}

impl GitHubSource {
    /// Reads with this client. Of an app, it is the client of the app itself.
    pub fn new(client: Client) -> Self {
        GitHubSource(client)
    }

    async fn client(&self, org: &str) -> Result<Client, SourceError> {
        self.0.for_org(org).await.map_err(source_error)
    }
}

#[async_trait(?Send)]
impl IssueSource for GitHubSource {
    async fn issue(&self, repo: &RepoAddress, number: i64) -> Result<IssueAnswer, SourceError> {
        let client = self.client(&repo.owner).await?;
        let lookup = client.issue_details(&repo.owner, &repo.name, number).await.map_err(source_error)?;
        Ok(match lookup {
            IssueLookup::Found(issue) => IssueAnswer::Found(Box::new(fetched(*issue))),
            IssueLookup::Gone => IssueAnswer::Gone,
            IssueLookup::PullRequest => IssueAnswer::PullRequest,
        })
    }

    async fn issues(
        &self,
        repo: &RepoAddress,
        query: IssueListQuery,
        position: Option<IssueListPosition>,
    ) -> Result<IssueListPage, SourceError> {
        let query = match query {
            IssueListQuery::Open => IssueQuery::Open,
            IssueListQuery::ChangedSince(since) => IssueQuery::ChangedSince(since),
        };
        let client = self.client(&repo.owner).await?;
        let address = (&*repo.owner, &*repo.name);
        let page = client.list_issue_details(address, query, position).await.map_err(source_error)?;
        Ok(IssueListPage { issues: page.issues.into_iter().map(fetched).collect(), next: page.next })
    }

    async fn blocked_by(&self, repo: &RepoAddress, number: i64) -> Result<Vec<IssueAddress>, SourceError> {
        let client = self.client(&repo.owner).await?;
        client.issues_blocked_by(&repo.owner, &repo.name, number).await.map(addresses).map_err(source_error)
    }

    async fn closed_by(&self, repo: &RepoAddress, number: i64) -> Result<Vec<IssueAddress>, SourceError> {
        let client = self.client(&repo.owner).await?;
        client.issues_closed_by(&repo.owner, &repo.name, number).await.map(addresses).map_err(source_error)
    }

    async fn can_write(&self, repo: &RepoAddress, login: &str) -> Result<bool, SourceError> {
        let client = self.client(&repo.owner).await?;
        client.can_write(&repo.owner, &repo.name, login).await.map_err(source_error)
    }

    async fn repo_id(&self, repo: &RepoAddress) -> Result<i64, SourceError> {
        let client = self.client(&repo.owner).await?;
        client.repository_id(&repo.owner, &repo.name).await.map_err(source_error)
    }

    async fn repos(&self, org: &str) -> Result<Vec<RepoSummary>, SourceError> {
        let probe = self.client(org).await?.probe(org).await.map_err(source_error)?;
        let summary = |repo: gam_github::RepoProbe| RepoSummary {
            id: repo.id,
            node_id: repo.node_id,
            name: repo.name,
            issues: repo.issues.total,
            changed_at: repo.issues.at,
        };
        Ok(probe.repos.into_iter().map(summary).collect())
    }
}

/// Returns whether an address is of the route of webhooks, which may have another path in front of it.
fn is_for_this_service(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.path().ends_with(WEBHOOK_PATH))
}

/// Returns the webhooks that deliver to this kind of service.
fn infos(hooks: Vec<Webhook>) -> Vec<HookInfo> {
    let info = |hook: Webhook| HookInfo {
        id: hook_id(&hook),
        url: hook.url,
        content_type: hook.content_type,
        has_secret: hook.has_secret,
        events: hook.events,
        is_active: hook.is_active,
    };
    hooks.into_iter().filter(|hook| is_for_this_service(&hook.url)).map(info).collect()
}

fn hook_id(hook: &Webhook) -> String {
    match &hook.owner {
        WebhookOwner::App => APP_HOOK.to_owned(),
        WebhookOwner::Org(org) => format!("org/{}/{}", org.to_lowercase(), hook.id),
        WebhookOwner::Repo(owner, name) => repo_hook_id(owner, name, hook.id),
    }
}

fn hook_of(id: &str) -> Option<(WebhookOwner, i64)> {
    let parts: Vec<&str> = id.split('/').collect();
    Some(match parts.as_slice() {
        [APP_HOOK] => (WebhookOwner::App, 0),
        ["org", org, id] => (WebhookOwner::Org((*org).to_owned()), id.parse().ok()?),
        ["repo", owner, name, id] => {
            (WebhookOwner::Repo((*owner).to_owned(), (*name).to_owned()), id.parse().ok()?)
        }
        _ => return None,
    })
}

#[async_trait(?Send)]
impl HookSource for GitHubSource {
    async fn hooks(&self, org: &str) -> Result<Vec<HookInfo>, SourceError> {
        let mut hooks = Vec::new();
        if self.0.is_app() {
            match self.0.webhooks(&WebhookOwner::App).await {
                Ok(of_app) => hooks.extend(of_app),
                // The app has no webhook.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(source_error(error)),
            }
        }
        let client = self.client(org).await?;
        match client.webhooks(&WebhookOwner::Org(org.to_owned())).await {
            Ok(of_org) => hooks.extend(of_org),
            // Only an owner may list them. An app has its own webhook.
            Err(Error::NotFound(_) | Error::Forbidden(_)) if self.0.is_app() => {}
            Err(Error::NotFound(_) | Error::Forbidden(_)) => {
                return Err(SourceError {
                    message: format!(
                        "the token may not list the webhooks of {org:?}: give it \"Webhooks: read\" (a classic token: \
                         admin:org_hook), or sign in as a GitHub App"
                    ),
                    is_temporary: false,
                    is_not_found: false,
                });
            }
            Err(error) => return Err(source_error(error)),
        }
        Ok(infos(hooks))
    }

    async fn repo_hooks(&self, org: &str, repo: &str) -> Result<Vec<HookInfo>, SourceError> {
        let owner = WebhookOwner::Repo(org.to_owned(), repo.to_owned());
        match self.client(org).await?.webhooks(&owner).await {
            Ok(hooks) => Ok(infos(hooks)),
            Err(error @ (Error::NotFound(_) | Error::Forbidden(_))) => Err(SourceError {
                message: format!(
                    "the token may not list the webhooks of {org}/{repo}: give it \"Webhooks: read\" of that repository \
                     (a classic token: read:repo_hook)"
                ),
                is_temporary: false,
                is_not_found: matches!(error, Error::NotFound(_)),
            }),
            Err(error) => Err(source_error(error)),
        }
    }

    async fn attempts(&self, hook: &HookInfo, cursor: Option<&str>) -> Result<AttemptPage, SourceError> {
        let Some((owner, id)) = hook_of(&hook.id) else { return Ok(AttemptPage::default()) };
        let client = match &owner {
            WebhookOwner::App => self.0.clone(),
            WebhookOwner::Org(org) | WebhookOwner::Repo(org, _) => self.client(org).await?,
        };
        let page = client.webhook_deliveries(&owner, id, cursor).await.map_err(source_error)?;
        let attempts = page.deliveries.into_iter().map(|delivery| DeliveryAttempt {
            guid: delivery.guid,
            delivered_at: delivery.delivered_at,
            status_code: delivery.status_code,
            status: delivery.status,
            event: delivery.event,
            action: delivery.action,
            repo_id: delivery.repository_id,
        });
        Ok(AttemptPage { attempts: attempts.collect(), next: page.next })
    }
}

/// Remembers the first pages of the app's list of attempts, so that a sweep of several organizations reads them once.
pub struct CachedAttempts<'a> {
    hooks: &'a dyn HookSource,
    /// Pages by cursor.
    pages: Mutex<HashMap<Option<String>, AttemptPage>>,
}

impl<'a> CachedAttempts<'a> {
    /// Creates an empty cache.
    pub fn new(hooks: &'a dyn HookSource) -> Self {
        CachedAttempts { hooks, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<Option<String>, AttemptPage>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait(?Send)]
impl HookSource for CachedAttempts<'_> {
    async fn hooks(&self, org: &str) -> Result<Vec<HookInfo>, SourceError> {
        self.hooks.hooks(org).await
    }

    async fn repo_hooks(&self, org: &str, repo: &str) -> Result<Vec<HookInfo>, SourceError> {
        self.hooks.repo_hooks(org, repo).await
    }

    async fn attempts(&self, hook: &HookInfo, cursor: Option<&str>) -> Result<AttemptPage, SourceError> {
        if hook.id != APP_HOOK {
            return self.hooks.attempts(hook, cursor).await;
        }
        let key = cursor.map(str::to_owned);
        let cached = self.pages().get(&key).cloned();
        if let Some(page) = cached {
            return Ok(page);
        }
        let page = self.hooks.attempts(hook, cursor).await?;
        let mut pages = self.pages();
        if pages.len() < MAX_CACHED_PAGES {
            pages.insert(key, page.clone());
        }
        Ok(page)
    }
}
