//! The client: one attempt after another, within the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use http_body_util::BodyExt;
use octocrab::Octocrab;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::envelope::{self, GraphQlError, Limit, is_secondary, read};
use crate::error::{Error, Failure};
use crate::limits::{Limits, Reservation, Resource, Told};
use crate::page::PageSize;
use crate::queries::Query;

/// GitHub gives a GraphQL query up after 10 s; an answer that takes longer than this does not come.
const TIMEOUT: Duration = Duration::from_secs(25);
/// After how many failures in a row a waiting user is told.
const TELL_AFTER: u32 = 3;
/// How often a call that meets secondary limits is tried.
const SECONDARY_TRIES: u32 = 8;

/// How to reach GitHub.
#[derive(Clone)]
pub struct Settings {
    /// The REST address: `https://api.github.com`, or `https://HOST/api/v3` for Enterprise Server.
    pub api_url: String,
    /// A personal access token. It is sent to `api_url`'s host only.
    pub token: String,
    /// The longest a run waits for a limit to be reset.
    pub max_wait: Duration,
    /// How many requests may be in flight at once.
    pub parallelism: usize,
    /// The share of each limit, 0 to 1, that may be used up, by this run and whoever else uses the
    /// token; past it calls fail with [`Error::Limited`]. `None` for all of it.
    pub budget: Option<f64>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("api_url", &self.api_url)
            .field("token", &"(secret)")
            .field("max_wait", &self.max_wait)
            .field("parallelism", &self.parallelism)
            .field("budget", &self.budget)
            .finish()
    }
}

/// The run is waiting for a limit to be reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Until when, UTC, by GitHub's clock.
    pub until: DateTime<Utc>,
    /// What GitHub said.
    pub why: String,
}

/// How much of a limit is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Requests or points an hour.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the limit is reset, UTC.
    pub reset: DateTime<Utc>,
}

/// What GitHub says of the token and of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whose token it is; an app's installation token is nobody's.
    pub login: Option<String>,
    /// The scopes of a classic token; other tokens have permissions instead.
    pub scopes: Option<String>,
    /// What is left for REST; `None` where the server has no limits.
    pub rest: Option<Quota>,
    /// What is left for GraphQL; `None` where the server has no limits.
    pub graphql: Option<Quota>,
    /// GitHub's clock, UTC.
    pub server_time: Option<DateTime<Utc>>,
}

/// A reading client for one GitHub host and token.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    rest: Octocrab,
    graphql: Octocrab,
    api_url: String,
    api_path: String,
    limits: Limits,
    in_flight: Semaphore,
    requests: AtomicU64,
}

/// A response of any status, read to the end.
pub(crate) struct Response {
    status: StatusCode,
    pub(crate) told: Told,
    scopes: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) body: Bytes,
}

/// A GraphQL answer.
pub(crate) struct Reply<T> {
    pub(crate) data: T,
    /// The errors that were tolerated.
    pub(crate) errors: Vec<GraphQlError>,
    pub(crate) date: Option<DateTime<Utc>>,
}

enum Call<'a> {
    Get(&'a str),
    Query(&'a Value),
}

fn octocrab(base: &str, token: &str) -> Result<Octocrab, Error> {
    let invalid = |why: octocrab::Error| {
        Error::Invalid(format!(
            "GITHUB_API_URL {base:?} is no usable address ({why}): give https://HOST/api/v3"
        ))
    };
    Octocrab::builder()
        .base_uri(base)
        .map_err(invalid)?
        .personal_token(token.to_owned())
        .set_connect_timeout(Some(Duration::from_secs(10)))
        .build()
        .map_err(invalid)
}

impl Client {
    /// A client. It must be made within a Tokio runtime.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let api_url = settings.api_url.trim_end_matches('/').to_owned();
        let url = url::Url::parse(&api_url).ok().filter(|url| url.has_host()).ok_or_else(|| {
            Error::Invalid(format!(
                "GITHUB_API_URL {api_url:?} is no address: give https://api.github.com, or https://HOST/api/v3"
            ))
        })?;
        // Enterprise Server serves REST at /api/v3 and GraphQL at /api/graphql.
        let graphql_base = api_url.strip_suffix("/v3").unwrap_or(&api_url);
        Ok(Client {
            inner: Arc::new(Inner {
                rest: octocrab(&api_url, &settings.token)?,
                graphql: octocrab(graphql_base, &settings.token)?,
                api_path: url.path().trim_end_matches('/').to_owned(),
                api_url,
                limits: Limits::new(settings.max_wait, settings.budget),
                in_flight: Semaphore::new(settings.parallelism.clamp(1, 100)),
                requests: AtomicU64::new(0),
            }),
        })
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    /// From when on no call starts, for a host that ends at a known moment: then calls fail with
    /// [`Error::Limited`], while those in flight come to their end.
    pub fn stop_at(&self, at: Option<tokio::time::Instant>) {
        self.inner.limits.stop_at(at);
    }

    /// The share of GitHub's limits that is left, 0 to 1, of that of which less is left; `None` where
    /// none was told yet, or there are none.
    pub fn share_left(&self) -> Option<f64> {
        self.inner.limits.share_left()
    }

    /// Tells when the client waits for a limit to be reset.
    pub fn waits(&self) -> watch::Receiver<Option<Wait>> {
        self.inner.limits.waits()
    }

    /// The path of a page link below the API's address: a link's host is never followed, so the
    /// token goes to the configured host only.
    pub(crate) fn path_of_link(&self, link: &str) -> Option<String> {
        let url = url::Url::parse(link).ok()?;
        let path = url.path().strip_prefix(self.inner.api_path.as_str())?.to_owned();
        Some(url.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
    }

    async fn send(&self, call: &Call<'_>) -> Result<Response, Failure> {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let exchange = async {
            let response = match call {
                Call::Get(path) => self.inner.rest._get(*path).await,
                Call::Query(body) => self.inner.graphql._post("/graphql", Some(*body)).await,
            }?;
            let (parts, body) = response.into_parts();
            let text =
                |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok::<_, octocrab::Error>(Response {
                status: parts.status,
                told: Told::of(&parts.headers),
                scopes: text("x-oauth-scopes"),
                link: text("link"),
                body: body.collect().await?.to_bytes(),
            })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Err(_) => Err(Failure::TooHeavy(format!("no answer within {} s", TIMEOUT.as_secs()))),
            Ok(Err(error)) => {
                let why = format!("{} cannot be reached ({})", self.inner.api_url, chain(&error));
                Err(Failure::Transient(why))
            }
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// Waits until a call may start: with its points, and a place among those in flight.
    async fn start(
        &self,
        resource: Resource,
        points: u64,
    ) -> Result<(Reservation<'_>, SemaphorePermit<'_>), Error> {
        loop {
            let reservation = self.inner.limits.reserve(resource, points).await?;
            let place = self.inner.in_flight.acquire().await.expect("the semaphore is never closed");
            // A limit may have been hit while this call waited for its place.
            if !self.inner.limits.is_blocked(resource) {
                return Ok((reservation, place));
            }
        }
    }

    /// One attempt: waits for the limits, sends, and takes note of what comes back. Refusals for the
    /// limits are waited for here, and are no attempts of their own.
    async fn attempt(
        &self,
        what: &str,
        resource: Resource,
        points: u64,
        call: &Call<'_>,
    ) -> Result<Response, Failure> {
        let limits = &self.inner.limits;
        let mut tries = 0;
        loop {
            let started = self.start(resource, points).await?;
            let response = self.send(call).await?;
            limits.note(resource, &response.told);
            let Some(limit) = response.limit(resource) else {
                let message = message_of(&response.body);
                return if response.status.is_success() {
                    Ok(response)
                } else {
                    Err(failure(what, &response, &message))
                };
            };
            let (until, why) = match limit {
                Limit::Primary(why) => (limits.block(resource, &response.told, &why), why),
                Limit::Secondary(why) => (limits.block_all(&response.told, tries, &why), why),
            };
            drop(started);
            tries += 1;
            if tries >= SECONDARY_TRIES {
                return Err(Failure::Fatal(Error::Limited { until, why }));
            }
        }
    }

    /// Attempts until one succeeds: a page that is too heavy is asked for smaller, anything else that
    /// may pass is tried again after a growing, jittered pause, a bounded number of times.
    async fn persist<T>(
        &self,
        what: &str,
        mut size: Option<&mut PageSize>,
        attempt: impl AsyncFn(u32) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(8)
            .with_jitter()
            .build();
        let (mut failed_at, mut tried) = (None, 0);
        loop {
            let ask = size.as_ref().map_or(1, |size| size.get());
            let (why, shrink) = match attempt(ask).await {
                Ok(done) => {
                    if let Some(size) = &mut size {
                        size.succeeded();
                    }
                    return Ok(done);
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::TooHeavy(why)) => (why, true),
                // A server's failure may be a passing one: only the second at a size is held against it.
                Err(Failure::Heavy(why)) => (why, failed_at.replace(ask) == Some(ask)),
                Err(Failure::Transient(why)) => (why, false),
            };
            if shrink && size.as_mut().is_some_and(|size| size.shrink()) {
                tracing::debug!(what, why, asked = ask, "too heavy, asking for less");
                continue;
            }
            let Some(pause) = pauses.next() else {
                return Err(Error::Unavailable { what: what.to_owned(), why });
            };
            tried += 1;
            if tried == TELL_AFTER {
                tracing::warn!(what, why, "GitHub does not answer; still trying");
            }
            tracing::debug!(what, why, pause_ms = pause.as_millis() as u64, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks a GraphQL query; with a page size, which becomes the variable `first`, for less where the
    /// server finds it too heavy.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        query: &Query,
        variables: Value,
        size: Option<&mut PageSize>,
        tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<Reply<T>, Error> {
        let text = query.text();
        let paged = size.is_some();
        self.persist(query.what, size, async |first| {
            let mut body = json!({ "query": text, "variables": variables });
            if paged {
                body["variables"]["first"] = first.into();
            }
            self.ask(query.what, query.points, &body, &tolerated).await
        })
        .await
    }

    /// Asks a GraphQL query whose text depends on how much is asked for at once.
    pub(crate) async fn query_sized<T: DeserializeOwned>(
        &self,
        what: &str,
        points: u64,
        variables: Value,
        size: &mut PageSize,
        text: impl Fn(u32) -> String,
        tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<Reply<T>, Error> {
        self.persist(what, Some(size), async |first| {
            let body = json!({ "query": text(first), "variables": variables });
            self.ask(what, points, &body, &tolerated).await
        })
        .await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        points: u64,
        body: &Value,
        tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<Reply<T>, Failure> {
        let response = self.attempt(what, Resource::GraphQl, points, &Call::Query(body)).await?;
        let (data, errors) = read(what, &response.body, tolerated)?;
        Ok(Reply { data, errors, date: response.told.date })
    }

    /// Gets a REST path.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<(T, Response), Error> {
        self.persist(what, None, async |_| {
            let response = self.attempt(what, Resource::Rest, 1, &Call::Get(path)).await?;
            let value = serde_json::from_slice(&response.body).map_err(|error| {
                Failure::Transient(format!("the answer to {what} is not understood ({error})"))
            })?;
            Ok((value, response))
        })
        .await
    }

    /// Asks GitHub about the token and its limits.
    ///
    /// # Errors
    /// Where the token is refused or GitHub does not answer.
    pub async fn diagnose(&self) -> Result<Diagnosis, Error> {
        #[derive(Deserialize)]
        struct User {
            login: String,
        }
        #[derive(Deserialize)]
        struct Bucket {
            limit: u64,
            remaining: u64,
            reset: i64,
        }
        #[derive(Deserialize, Default)]
        struct Resources {
            core: Option<Bucket>,
            graphql: Option<Bucket>,
        }
        #[derive(Deserialize, Default)]
        struct Limits {
            #[serde(default)]
            resources: Resources,
        }
        let (login, scopes, date) = match self.get::<User>("the token's owner", "/user").await {
            Ok((user, response)) => (Some(user.login), response.scopes, response.told.date),
            // An app's installation token belongs to no user.
            Err(Error::Forbidden(_)) => (None, None, None),
            Err(error) => return Err(error),
        };
        let limits = match self.get::<Limits>("the limits", "/rate_limit").await {
            Ok((limits, _)) => limits,
            // Enterprise Server answers so where limits are off.
            Err(Error::NotFound(_)) => Limits::default(),
            Err(error) => return Err(error),
        };
        let quota = |bucket: Option<Bucket>| {
            bucket.filter(|bucket| bucket.limit > 0).and_then(|bucket| {
                let reset = DateTime::from_timestamp(bucket.reset, 0)?;
                Some(Quota { limit: bucket.limit, remaining: bucket.remaining, reset })
            })
        };
        Ok(Diagnosis {
            login,
            scopes,
            rest: quota(limits.resources.core),
            graphql: quota(limits.resources.graphql),
            server_time: date,
        })
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice::<Message>(body).map(|m| m.message).unwrap_or_default()
}

impl Response {
    /// The limit that the response tells of, if it does. The words are not always there, and the
    /// headers not always right, so either will do for a refusal.
    fn limit(&self, resource: Resource) -> Option<Limit> {
        if self.status.is_success() {
            return (resource == Resource::GraphQl).then(|| envelope::limit(&self.body)).flatten();
        }
        let message = message_of(&self.body);
        if is_secondary(&message) {
            return Some(Limit::Secondary(message));
        }
        let refused = matches!(self.status.as_u16(), 403 | 429);
        if refused && (self.told.is_used_up() || message.to_lowercase().contains("rate limit")) {
            return Some(Limit::Primary(message));
        }
        let abuse = refused && (self.told.says_when() || self.status == StatusCode::TOO_MANY_REQUESTS);
        abuse.then_some(Limit::Secondary(message))
    }
}

fn failure(what: &str, response: &Response, message: &str) -> Failure {
    let status = response.status.as_u16();
    let said =
        if message.is_empty() { format!("status {status}") } else { format!("status {status}, {message}") };
    match status {
        401 => Failure::Fatal(Error::Unauthorized(format!(
            "GitHub refused the token ({said}): set GITHUB_TOKEN to one that is valid and not expired"
        ))),
        403 | 451 => Failure::Fatal(Error::Forbidden(format!(
            "GitHub does not let this token read {what} ({said}): grant it access to the repository's contents, \
             pull requests, issues and deployments, and authorize it for the organization"
        ))),
        404 | 409 | 410 | 422 => Failure::Fatal(Error::NotFound(format!("GitHub has no {what} ({said})"))),
        500..=599 | 408 => Failure::Heavy(said),
        _ => Failure::Fatal(Error::Invalid(format!("GitHub answered {what} with {said}"))),
    }
}
