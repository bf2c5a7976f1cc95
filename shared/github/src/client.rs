//! The client: one attempt after another, within the limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use gam_model::error_chain;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use url::Url;

use crate::account::{Account, Host, Session, Source};
use crate::credentials::Credentials;
use crate::envelope::{GraphQlError, Limit, read};
use crate::error::{Error, Failure};
use crate::jwt::Signer;
use crate::lanes::{Lanes, Place};
use crate::limits::{Limits, Reservation, Resource, Stop, Told};
use crate::meter::{Meter, Usage};
use crate::page::PageSize;
use crate::queries::Query;
use crate::response::{Response, failure, message_of};
use crate::rest::{Installation, InstallationToken};

/// GitHub gives a GraphQL query up after 10 s; an answer that takes longer than this does not come.
const TIMEOUT: Duration = Duration::from_secs(25);
/// How often a redirect is followed.
const HOPS: usize = 5;
/// After how many pauses a call is given up.
const PAUSES: usize = 8;
/// The same for the first call of all, where there is no connection: it may be that there never is one.
const PAUSES_AT_FIRST: u32 = 4;
/// After how many failures in a row a waiting user is told.
const TELL_AFTER: u32 = 3;
/// How often a call that meets secondary limits is tried.
const SECONDARY_TRIES: u32 = 8;

/// How to reach GitHub.
#[derive(Clone)]
pub struct Settings {
    /// The REST address: `https://api.github.com`, or `https://HOST/api/v3` for Enterprise Server.
    pub api_url: String,
    /// Who signs in. Tokens are sent to `api_url`'s host only.
    pub credentials: Credentials,
    /// The longest a run waits for a limit to be reset.
    pub max_wait: Duration,
    /// How many requests may be in flight at once, at most: a run starts with fewer.
    pub parallelism: usize,
    /// Whether forks are listed too. A fork holds its upstream's history.
    pub forks: bool,
    /// The share of each limit, 0 to 1, that may be used up, by this run and whoever else uses the
    /// token; past it calls fail with [`Error::Limited`]. `None` for all of it.
    pub budget: Option<f64>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("api_url", &self.api_url)
            .field("credentials", &self.credentials)
            .field("max_wait", &self.max_wait)
            .field("parallelism", &self.parallelism)
            .field("forks", &self.forks)
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

/// A reading client for one GitHub host. Clones share everything; those of one organization share its
/// accounts.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    accounts: Arc<Vec<Account>>,
    /// Counts what this client's calls cost, and those of whom it is part of.
    meters: Vec<Arc<Meter>>,
    /// After how many pauses a call is given up.
    pauses: usize,
}

/// What all clients of a host share.
struct Shared {
    host: Host,
    /// The host's REST address.
    url: Url,
    settings: Settings,
    /// How many good answers came.
    answers: AtomicU64,
    lanes: Lanes,
    waits: watch::Sender<Option<Wait>>,
    stop: Stop,
    /// Clients of an app, by organization in lower case.
    installed: tokio::sync::Mutex<HashMap<String, Client>>,
}

/// A GraphQL answer.
pub(crate) struct Reply<T> {
    pub(crate) data: T,
    /// The errors that were tolerated.
    pub(crate) errors: Vec<GraphQlError>,
    pub(crate) date: Option<DateTime<Utc>>,
    /// How long it took to come.
    pub(crate) took: Duration,
}

/// What came of an attempt.
pub(crate) trait Timed {
    /// How long it took to come, once it was asked for.
    fn took(&self) -> Duration;
}

impl<T> Timed for Reply<T> {
    fn took(&self) -> Duration {
        self.took
    }
}

impl<T> Timed for (T, Response) {
    fn took(&self) -> Duration {
        self.1.took
    }
}

enum Call<'a> {
    Get(&'a str),
    /// A POST that may be repeated: it asks for a token.
    Post(&'a str),
    Query(&'a Value),
}

/// A call that may start.
struct Started<'a> {
    account: &'a Account,
    session: Arc<Session>,
    _points: Reservation<'a>,
    place: Place<'a>,
}

/// How sure it is that a page was too heavy.
#[derive(Clone, Copy)]
enum Less {
    Perhaps,
    Sure,
}
use Less::{Perhaps, Sure};

/// Failures at a page size. A server's failure may be a passing one: only the second at a size that was for
/// the question, as it seems, or the third of any kind is held against the size.
#[derive(Default)]
struct Suspicion {
    size: u32,
    grown: u32,
}

impl Suspicion {
    /// A page of that size has failed; whether a smaller one is to be tried now.
    fn grows(&mut self, size: u32, by: Less) -> Option<Less> {
        let before = if self.size == size { self.grown } else { 0 };
        let grown = before + if matches!(by, Sure) { 3 } else { 2 };
        *self = Suspicion { size, grown };
        (grown >= 6).then_some(by)
    }
}

/// Whether there was no connection.
fn is_unreachable(error: &octocrab::Error) -> bool {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.filter_map(|cause| cause.downcast_ref::<reqwest::Error>()).any(reqwest::Error::is_connect)
}

/// GitHub says whole sentences.
fn unavailable(what: &str, why: &str) -> Error {
    Error::Unavailable { what: what.to_owned(), why: why.trim_end_matches('.').to_owned() }
}

impl Client {
    /// A client. It must be made within a Tokio runtime.
    ///
    /// # Errors
    /// Where the address cannot be used.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let api_url = settings.api_url.trim_end_matches('/').to_owned();
        let url = Url::parse(&api_url).ok().filter(|url| url.has_host()).ok_or_else(|| {
            Error::Invalid(format!(
                "GITHUB_API_URL {api_url:?} is no address: give https://api.github.com, or https://HOST/api/v3"
            ))
        })?;
        if url.path() == "/api" {
            return Err(Error::Invalid(format!(
                "GITHUB_API_URL {api_url:?} is not the address of the REST API: give {api_url}/v3"
            )));
        }
        let shared = Arc::new(Shared {
            host: Host::new(api_url)?,
            answers: AtomicU64::new(0),
            url,
            lanes: Lanes::new(settings.parallelism),
            waits: watch::Sender::new(None),
            stop: Stop::default(),
            installed: tokio::sync::Mutex::default(),
            settings,
        });
        let sources = match &shared.settings.credentials {
            Credentials::Tokens(tokens) => tokens.iter().cloned().map(Source::Token).collect(),
            Credentials::App(app) => vec![Source::App { signer: Box::new(Signer::new(app)?), now: app.now }],
        };
        let client = Self::signed_in(&shared, sources);
        if client.accounts.is_empty() {
            return Err(Error::Invalid("there is no GitHub token: set GITHUB_TOKEN".to_owned()));
        }
        Ok(client)
    }

    fn signed_in(shared: &Arc<Shared>, sources: Vec<Source>) -> Self {
        let Settings { max_wait, budget, .. } = shared.settings;
        let limits = || Limits::new(max_wait, budget, shared.waits.clone(), shared.stop.clone());
        let account = |source| Account::new(&shared.host, source, limits());
        Client {
            shared: shared.clone(),
            accounts: Arc::new(sources.into_iter().map(account).collect()),
            meters: vec![Arc::default()],
            pauses: PAUSES,
        }
    }

    /// The client for an organization: an app signs in to each one by itself, tokens are good for all.
    ///
    /// # Errors
    /// Where the app is not installed in the organization, or GitHub does not answer.
    pub async fn for_org(&self, org: &str) -> Result<Client, Error> {
        if !self.is_app() {
            return Ok(self.clone());
        }
        let mut installed = self.shared.installed.lock().await;
        if let Some(client) = installed.get(&org.to_lowercase()) {
            return Ok(Client { meters: self.meters.clone(), ..client.clone() });
        }
        let path = format!("/orgs/{org}/installation");
        let (Installation { id, permissions, .. }, _) =
            self.get("the app's installation", &path).await.map_err(|error| match error {
                Error::NotFound(_) => Error::NotFound(format!(
                    "the GitHub App is not installed in {org:?}: install it there, or check the spelling"
                )),
                other => other,
            })?;
        tracing::debug!(org, id, ?permissions, "the app is installed");
        let client = Self::signed_in(&self.shared, vec![Source::Installation { app: self.clone(), id }]);
        let client = Client { meters: self.meters.clone(), ..client };
        installed.insert(org.to_lowercase(), client.clone());
        Ok(client)
    }

    /// A token of an installation, and when GitHub gave it.
    pub(crate) async fn installation_token(
        &self,
        id: i64,
    ) -> Result<(InstallationToken, Option<DateTime<Utc>>), Error> {
        let path = format!("/app/installations/{id}/access_tokens");
        match self.rest("the app's token", Call::Post(&path)).await {
            Ok((token, response)) => Ok((token, response.told.date)),
            Err(Error::NotFound(_)) => {
                // Installed again it has another id, which is then looked up.
                let of_it = |client: &Client| client.accounts.iter().any(|account| account.is_of(id));
                self.shared.installed.lock().await.retain(|_, client| !of_it(client));
                Err(Error::Unauthorized(
                    "the GitHub App is not installed in the organization any more: install it again"
                        .to_owned(),
                ))
            }
            Err(error) => Err(error),
        }
    }

    /// The REST address.
    pub(crate) fn url(&self) -> &str {
        &self.shared.host.api_url
    }

    /// How many good answers came to this client and to all that share its host.
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// The same client, whose calls are given up after one pause, for who would rather know why.
    pub fn impatient(&self) -> Client {
        Client { pauses: 1, ..self.clone() }
    }

    /// The same client, whose calls are counted by themselves too.
    pub fn metered(&self) -> Client {
        let mut client = self.clone();
        client.meters.push(Arc::default());
        client
    }

    /// What the calls of this client, and of those made from it by [`Client::metered`], have cost.
    pub fn usage(&self) -> Usage {
        self.meters.last().map(|meter| meter.usage()).unwrap_or_default()
    }

    /// Whether an app signs in, and not a token: then each organization has limits of its own.
    pub fn is_app(&self) -> bool {
        matches!(self.shared.settings.credentials, Credentials::App(_))
    }

    /// Whether forks are listed too.
    pub(crate) fn forks(&self) -> bool {
        self.shared.settings.forks
    }

    fn count(&self, usage: Usage) {
        self.meters.iter().for_each(|meter| meter.add(usage));
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u64 {
        self.usage().requests
    }

    /// From when on no call starts, for a host that ends at a known moment: then calls fail with
    /// [`Error::Limited`], while those in flight come to their end.
    pub fn stop_at(&self, at: Option<tokio::time::Instant>) {
        self.shared.stop.set(at);
    }

    /// The share of GitHub's limits that is left, 0 to 1, of that of which less is left: of several tokens
    /// for the one with most, of an app for the organization with least. `None` where none was told yet,
    /// or there are none.
    pub fn share_left(&self) -> Option<f64> {
        if let Ok(installed) = self.shared.installed.try_lock()
            && self.is_app()
        {
            return installed.values().filter_map(Client::best_share_left).reduce(f64::min);
        }
        self.best_share_left()
    }

    fn best_share_left(&self) -> Option<f64> {
        self.accounts.iter().filter_map(|account| account.limits.share_left()).reduce(f64::max)
    }

    /// Tells when the client waits for a limit to be reset.
    pub fn waits(&self) -> watch::Receiver<Option<Wait>> {
        self.shared.waits.subscribe()
    }

    /// The path of a page link below the API's address: a link's host is never followed, so the
    /// token goes to the configured host only.
    pub(crate) fn path_of_link(&self, link: &str) -> Option<String> {
        let url = Url::parse(link).ok()?;
        let path = url.path().strip_prefix(self.shared.url.path().trim_end_matches('/'))?.to_owned();
        Some(url.query().map_or_else(|| path.clone(), |query| format!("{path}?{query}")))
    }

    /// Sends a call, and follows where it leads, as GitHub answers for what was renamed: on the configured
    /// host only, and only where asking is all that is done.
    async fn send(&self, session: &Session, call: &Call<'_>) -> Result<Response, Failure> {
        let mut response = self.send_once(session, call).await?;
        let mut hops = 0;
        while let Some(location) = response.location.take() {
            let target = self.shared.url.join(&location).ok();
            let here = target.filter(|target| target.origin() == self.shared.url.origin());
            let path = here.and_then(|target| self.path_of_link(target.as_str()));
            let Some(path) = path.filter(|_| hops < HOPS && matches!(call, Call::Get(_))) else {
                return Err(Failure::Fatal(Error::Invalid(format!(
                    "{} sends this call on to {location}, where it does not follow: set GITHUB_API_URL to the \
                     address of the API itself",
                    self.shared.host.api_url
                ))));
            };
            hops += 1;
            response = self.send_once(session, &Call::Get(&path)).await?;
        }
        Ok(response)
    }

    async fn send_once(&self, session: &Session, call: &Call<'_>) -> Result<Response, Failure> {
        self.count(Usage { requests: 1, ..Usage::default() });
        let begun = Instant::now();
        let exchange = async {
            let response = match call {
                Call::Get(path) => session.rest._get(*path).await,
                Call::Post(path) => session.rest._post(*path, None::<&()>).await,
                Call::Query(body) => session.graphql._post("/graphql", Some(*body)).await,
            }?;
            let (parts, body) = response.into_parts();
            let text =
                |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            Ok::<_, octocrab::Error>(Response {
                status: parts.status,
                told: Told::of(&parts.headers),
                scopes: text("x-oauth-scopes"),
                link: text("link"),
                location: text("location").filter(|_| parts.status.is_redirection()),
                body: body.collect().await?.to_bytes(),
                took: begun.elapsed(),
            })
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Err(_) => Err(Failure::TooHeavy(format!("no answer within {} s", TIMEOUT.as_secs()))),
            Ok(Err(error)) => {
                let why = format!("{} cannot be reached ({})", self.shared.host.api_url, error_chain(&error));
                Err(if is_unreachable(&error) { Failure::Unreachable(why) } else { Failure::Transient(why) })
            }
            Ok(Ok(response)) => {
                self.count(Usage { bytes: response.body.len() as u64, ..Usage::default() });
                Ok(response)
            }
        }
    }

    /// The account that a call of that cost fares best with.
    fn best(&self, resource: Resource, points: u64) -> &Account {
        let best = self
            .accounts
            .iter()
            .min_by_key(|account| (account.is_refused(), account.limits.outlook(resource, points)));
        best.expect("a client has an account")
    }

    /// Waits until a call may start: with its points, and a place among those in flight.
    async fn start(&self, resource: Resource, points: u64) -> Result<Started<'_>, Error> {
        loop {
            let account = self.best(resource, points);
            let reservation = match account.limits.reserve(resource, points).await {
                Ok(reservation) => reservation,
                // Another account may have points by now.
                Err(Error::Limited { .. }) if !std::ptr::eq(self.best(resource, points), account) => continue,
                Err(error) => return Err(error),
            };
            // A token may have to be asked for first, by a call that needs a place of its own.
            let session = account.session().await?;
            let place = self.shared.lanes.enter().await;
            // A limit may have been hit, or time run out, while this call waited for its place.
            if reservation.is_good() {
                return Ok(Started { account, session, _points: reservation, place });
            }
        }
    }

    /// One attempt: waits for the limits, sends, and takes note of what comes back. Refusals for the
    /// limits are waited for here, and are no attempts of their own; a token that is refused is renewed
    /// or left out once.
    async fn attempt(
        &self,
        what: &str,
        resource: Resource,
        points: u64,
        call: &Call<'_>,
    ) -> Result<Response, Failure> {
        let (mut tries, mut refusals) = (0, 0);
        loop {
            let started = self.start(resource, points).await?;
            let sent = self.send(&started.session, call).await;
            if matches!(sent, Err(Failure::TooHeavy(_))) {
                started.place.lessen();
            }
            let response = sent?;
            started.place.answered();
            let limits = &started.account.limits;
            limits.note(resource, &response.told);
            if response.status == StatusCode::UNAUTHORIZED && refusals < self.accounts.len() {
                refusals += 1;
                let renewable = started.account.refuse(&started.session, response.told.date);
                if renewable || self.accounts.iter().any(|account| !account.is_refused()) {
                    tracing::warn!(what, "GitHub refused the token; trying with another");
                    continue;
                }
            }
            let Some(limit) = response.limit(resource) else {
                if response.status.is_success() {
                    self.shared.answers.fetch_add(1, Ordering::Relaxed);
                    return Ok(response);
                }
                return Err(self.failure(what, resource, &response));
            };
            let (until, why) = match limit {
                Limit::Primary(why) => (limits.block(resource, &response.told, &why), why),
                Limit::Secondary(why) => {
                    started.place.lessen();
                    (limits.block_all(&response.told, tries, &why), why)
                }
            };
            drop(started);
            tries += 1;
            self.count(Usage { retries: 1, ..Usage::default() });
            if tries >= SECONDARY_TRIES {
                return Err(Failure::Fatal(Error::Limited { until, why }));
            }
        }
    }

    /// That GitHub is not where it is said to be.
    pub(crate) fn no_api(&self, address: &str) -> Error {
        Error::Invalid(format!(
            "there is no GitHub API at {address}: GITHUB_API_URL is {}, give https://api.github.com, or \
             https://HOST/api/v3 for Enterprise Server",
            self.shared.host.api_url
        ))
    }

    /// What a response that is no success comes to.
    fn failure(&self, what: &str, resource: Resource, response: &Response) -> Failure {
        let failure = failure(what, response, &message_of(&response.body));
        match failure {
            // An app's own token, or one that an app was given.
            Failure::Fatal(Error::Unauthorized(_)) if self.is_app() => Failure::Fatal(Error::Unauthorized(
                "GitHub refused the app: GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY have to be those of one app, \
                 and the key one that was not deleted"
                    .to_owned(),
            )),
            // What a query asks for may not be there, but that it can be asked is.
            Failure::Fatal(Error::NotFound(_)) if resource == Resource::GraphQl => {
                Failure::Fatal(self.no_api(&format!("{}/graphql", self.shared.host.graphql_base)))
            }
            failure => failure,
        }
    }

    /// Attempts until one succeeds: a page that is too heavy is asked for smaller, anything else that
    /// may pass is tried again after a growing, jittered pause, a bounded number of times.
    pub(crate) async fn persist<T: Timed>(
        &self,
        what: &str,
        size: Option<&mut PageSize>,
        attempt: impl AsyncFn(u32) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.persist_for(self.pauses, what, size, attempt).await
    }

    /// The same with so many pauses at most.
    pub(crate) async fn persist_for<T: Timed>(
        &self,
        pauses: usize,
        what: &str,
        mut size: Option<&mut PageSize>,
        attempt: impl AsyncFn(u32) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_max_delay(Duration::from_secs(20))
            .with_max_times(pauses)
            .with_jitter()
            .build();
        let (mut suspicion, mut tried) = (Suspicion::default(), 0);
        loop {
            let ask = size.as_ref().map_or(1, |size| size.get());
            let (why, less) = match attempt(ask).await {
                Ok(done) => {
                    if let Some(size) = &mut size {
                        size.succeeded(done.took());
                    }
                    return Ok(done);
                }
                Err(Failure::Fatal(error)) => return Err(error),
                Err(Failure::TooHeavy(why)) => (why, Some(Sure)),
                Err(Failure::Heavy(why)) => (why, suspicion.grows(ask, Sure)),
                Err(Failure::Failing(why)) => (why, suspicion.grows(ask, Perhaps)),
                Err(Failure::Transient(why)) => (why, None),
                Err(Failure::Unreachable(why)) if tried >= PAUSES_AT_FIRST && self.answers() == 0 => {
                    return Err(unavailable(what, &why));
                }
                Err(Failure::Unreachable(why)) => (why, None),
            };
            self.count(Usage { retries: 1, ..Usage::default() });
            let shrunk = size.as_mut().zip(less).is_some_and(|(size, less)| match less {
                Sure => size.shrink(),
                Perhaps => size.try_less(),
            });
            if shrunk {
                tracing::debug!(what, why, asked = ask, "too heavy, asking for less");
                continue;
            }
            let Some(pause) = pauses.next() else {
                return Err(unavailable(what, &why));
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

    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        what: &str,
        points: u64,
        body: &Value,
        tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<Reply<T>, Failure> {
        let response = self.attempt(what, Resource::GraphQl, points, &Call::Query(body)).await?;
        let (data, errors, cost) = read(what, &response.body, tolerated)?;
        self.count(Usage { points: cost.unwrap_or(points), ..Usage::default() });
        Ok(Reply { data, errors, date: response.told.date, took: response.took })
    }

    /// Gets a REST path.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<(T, Response), Error> {
        self.rest(what, Call::Get(path)).await
    }

    async fn rest<T: DeserializeOwned>(&self, what: &str, call: Call<'_>) -> Result<(T, Response), Error> {
        self.persist(what, None, async |_| {
            let response = self.attempt(what, Resource::Rest, 1, &call).await?;
            self.count(Usage { points: 1, ..Usage::default() });
            let value = serde_json::from_slice(&response.body).map_err(|error| {
                Failure::Transient(format!("the answer to {what} is not understood ({error})"))
            })?;
            Ok((value, response))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_suspected_for_the_second_failure_that_was_for_it_or_the_third_of_any_kind() {
        let said = |failures: &[(u32, Less)]| {
            let mut suspicion = Suspicion::default();
            let said = failures.iter().map(|(size, by)| suspicion.grows(*size, *by).is_some());
            said.collect::<Vec<_>>()
        };
        assert_eq!(said(&[(50, Sure), (50, Sure)]), [false, true]);
        assert_eq!(said(&[(50, Perhaps), (50, Perhaps), (50, Perhaps)]), [false, false, true]);
        assert_eq!(said(&[(50, Sure), (50, Perhaps), (50, Perhaps)]), [false, false, true]);
        assert_eq!(said(&[(50, Sure), (25, Sure), (25, Sure)]), [false, false, true]);
    }
}
