//! The client: signs in, sends calls within the rate limits, and retries them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{OnceCell, watch};

use crate::account::{Account, IssuedToken, TokenIssuer, TokenSource};
use crate::concurrency::{AdaptiveLimiter, Permit};
use crate::credentials::Credentials;
use crate::diagnose::Quota;
use crate::envelope::{GraphQlError, GraphQlReply, LimitHit, parse_json, parse_reply};
use crate::error::{AttemptError, Error};
use crate::failure_limit::FailureLimit;
use crate::jwt::AppTokenSigner;
use crate::meter::{MeterStack, Usage};
use crate::page::PageSize;
use crate::queries::Query;
use crate::rate_limit::{CutOff, RateLimitResource, RateLimitWait, RateLimiter, Reservation};
use crate::response::{ApiResponse, classify_failure, error_message};
use crate::rest::Installation;
use crate::retry::{MAX_PAUSES, RetryPolicy, Timed};
use crate::session::TokenSession;
use crate::transport::{ApiRequest, Transport};

/// How many times in a row GitHub may reject a call for a rate limit before the call fails.
const MAX_RATE_LIMIT_REJECTIONS: u32 = 8;

/// How to reach GitHub.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The REST address: `https://api.github.com`, or `https://HOST/api/v3` for Enterprise Server.
    pub api_url: String,
    /// How to sign in. Tokens are sent to the host of `api_url` only.
    pub credentials: Credentials,
    /// The longest that a call waits for a rate limit to reset.
    pub max_wait: Duration,
    /// The maximum number of concurrent requests. A run starts with fewer.
    pub parallelism: usize,
    /// Whether to list forks too. A fork repeats the history of its upstream repository.
    pub forks: bool,
    /// The share of each rate limit, 0 to 1, that may be used up, by this run and by anything else with the
    /// same token. Beyond it calls fail with [`Error::Limited`]. `None` to use all of it.
    pub budget: Option<f64>,
}

/// A client for one GitHub host. Clones share everything. Clients made from one another share the
/// host's limits; those of one organization also share its accounts.
#[derive(Clone)]
pub struct Client {
    shared: Arc<HostState>,
    accounts: Arc<Vec<Account<Client>>>,
    meters: MeterStack,
    /// How many pauses a call makes before it fails.
    max_pauses: usize,
    /// How much time calls may lose to failures.
    failure_limit: FailureLimit,
}

/// What all clients of a host share.
struct HostState {
    transport: Transport,
    settings: ClientSettings,
    successful_responses: AtomicU64,
    /// Whether the GraphQL API has answered a query, so that it exists.
    has_graphql_answered: AtomicBool,
    concurrency: AdaptiveLimiter,
    waits: watch::Sender<Option<RateLimitWait>>,
    cut_off: CutOff,
    /// The clients of an app's installations, by organization in lower case. A cell is empty until the app has
    /// found its installation there.
    installations: Mutex<HashMap<String, Arc<OnceCell<Client>>>>,
}

/// What a request needs to start: an account with enough points, its session, and a permit.
struct CallSlot<'a> {
    account: &'a Account<Client>,
    session: Arc<TokenSession>,
    _reservation: Reservation<'a>,
    permit: Permit<'a>,
}

impl Client {
    /// Creates a client. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// If the address or the credentials are invalid.
    pub fn new(settings: ClientSettings) -> Result<Self, Error> {
        let shared = Arc::new(HostState {
            transport: Transport::new(&settings.api_url)?,
            successful_responses: AtomicU64::new(0),
            has_graphql_answered: AtomicBool::new(false),
            concurrency: AdaptiveLimiter::new(settings.parallelism),
            waits: watch::Sender::new(None),
            cut_off: CutOff::default(),
            installations: Mutex::default(),
            settings,
        });
        let sources = match &shared.settings.credentials {
            Credentials::Tokens(tokens) => tokens.iter().cloned().map(TokenSource::Personal).collect(),
            Credentials::App(app) => {
                vec![TokenSource::App { signer: Box::new(AppTokenSigner::new(app)?), now: app.now }]
            }
        };
        let client = Self::with_token_sources(&shared, sources);
        if client.accounts.is_empty() {
            return Err(Error::Invalid("missing GitHub token: set GITHUB_TOKEN".to_owned()));
        }
        Ok(client)
    }

    fn with_token_sources(shared: &Arc<HostState>, sources: Vec<TokenSource<Client>>) -> Self {
        let ClientSettings { max_wait, budget, .. } = shared.settings;
        let limiter = || RateLimiter::new(max_wait, budget, shared.waits.clone(), shared.cut_off.clone());
        let account = |source| Account::new(&shared.transport.host, source, limiter());
        Client {
            shared: shared.clone(),
            accounts: Arc::new(sources.into_iter().map(account).collect()),
            meters: MeterStack::new(),
            max_pauses: MAX_PAUSES,
            failure_limit: FailureLimit::default(),
        }
    }

    /// Returns the client for an organization. An app signs in to each organization separately; personal
    /// tokens work for all of them.
    ///
    /// # Errors
    /// If the app is not installed in the organization, or GitHub cannot be read.
    pub async fn for_org(&self, org: &str) -> Result<Client, Error> {
        if !self.is_app() {
            return Ok(self.clone());
        }
        // The map is locked only briefly: signing in to one organization does not delay another.
        let cell = self.installations().entry(org.to_lowercase()).or_default().clone();
        let installation = cell.get_or_try_init(|| self.sign_in_to(org)).await?;
        Ok(Client { accounts: installation.accounts.clone(), ..self.clone() })
    }

    fn installations(&self) -> MutexGuard<'_, HashMap<String, Arc<OnceCell<Client>>>> {
        self.shared.installations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the app's installation in an organization.
    async fn sign_in_to(&self, org: &str) -> Result<Client, Error> {
        let path = format!("/orgs/{org}/installation");
        let (Installation { id, permissions, .. }, _) =
            self.get("the app's installation", &path).await.map_err(|error| match error {
                Error::NotFound(_) => Error::NotFound(format!(
                    "the GitHub App is not installed in {org:?}: install it there, or check the spelling"
                )),
                other => other,
            })?;
        tracing::debug!(org, id, ?permissions, "the app is installed");
        let source = TokenSource::Installation { app: self.clone(), id };
        Ok(Self::with_token_sources(&self.shared, vec![source]))
    }

    fn uses_installation(&self, id: i64) -> bool {
        self.accounts.iter().any(|account| account.is_installation(id))
    }

    /// The address of the REST API, as configured.
    pub(crate) fn api_url(&self) -> &str {
        &self.shared.transport.host.api_url
    }

    /// The path of a page link; `None` if it lies outside the API.
    pub(crate) fn path_from_link(&self, link: &str) -> Option<String> {
        self.shared.transport.path_from_link(link)
    }

    /// The number of successful responses to all clients of this host.
    pub fn successful_responses(&self) -> u64 {
        self.shared.successful_responses.load(Ordering::Relaxed)
    }

    /// Returns a client whose calls fail after one pause instead of retrying for longer.
    pub fn with_one_retry(&self) -> Client {
        Client { max_pauses: 1, ..self.clone() }
    }

    /// Returns a client whose failing calls together lose about this much time at most. Calls that succeed in the
    /// end do not count.
    pub fn with_failure_limit(&self, limit: Duration) -> Client {
        Client { failure_limit: FailureLimit::new(limit), ..self.clone() }
    }

    /// Returns a client that starts counting its usage at zero. Its calls still count on this client too.
    pub fn metered(&self) -> Client {
        let mut client = self.clone();
        client.meters.push();
        client
    }

    /// The usage of this client and of those made from it, since [`Client::metered`] created it.
    pub fn usage(&self) -> Usage {
        self.meters.usage()
    }

    /// Whether an app signs in. Then each organization has rate limits of its own.
    pub fn is_app(&self) -> bool {
        matches!(self.shared.settings.credentials, Credentials::App(_))
    }

    /// Whether forks are listed too.
    pub(crate) fn includes_forks(&self) -> bool {
        self.shared.settings.forks
    }

    /// The number of requests sent so far.
    pub fn requests(&self) -> u64 {
        self.usage().requests
    }

    /// Sets the moment from which no request starts, for a process that must end at a known time. Later calls
    /// fail with [`Error::Limited`]; requests in flight still complete. `None` removes the moment.
    pub fn stop_at(&self, at: Option<tokio::time::Instant>) {
        self.shared.cut_off.set(at);
    }

    /// The share of GitHub's rate limits that is left, 0 to 1. Of an account's two limits the one with less
    /// left counts; of several tokens, the one with most left; of an app's organizations, the one with least
    /// left. `None` if no limit is known yet, or there are none.
    pub fn share_left(&self) -> Option<f64> {
        if self.is_app() {
            let installations = self.installations();
            let clients = installations.values().filter_map(|cell| cell.get());
            return clients.filter_map(Client::best_share_left).reduce(f64::min);
        }
        self.best_share_left()
    }

    fn best_share_left(&self) -> Option<f64> {
        self.accounts.iter().filter_map(|account| account.limiter.share_left()).reduce(f64::max)
    }

    /// Returns what is left of GitHub's limit of GraphQL for an organization, as the last response said. Sends no
    /// request. Of several tokens the one with most left counts. `None` if it is not known, the limit has reset since,
    /// or there is none.
    pub fn graphql_quota(&self, org: &str) -> Option<Quota> {
        let installation = self.installations().get(&org.to_lowercase()).and_then(|cell| cell.get().cloned());
        let accounts = &installation.as_ref().unwrap_or(self).accounts;
        let quotas = accounts.iter().filter_map(|account| account.limiter.quota(RateLimitResource::GraphQl));
        quotas.max_by_key(|quota| quota.remaining)
    }

    /// Subscribes to waits for a rate limit. The value is the current wait, or `None`.
    pub fn rate_limit_waits(&self) -> watch::Receiver<Option<RateLimitWait>> {
        self.shared.waits.subscribe()
    }

    /// The account with which a request of this cost should start.
    fn best_account(&self, resource: RateLimitResource, points: u64) -> &Account<Client> {
        let best = self
            .accounts
            .iter()
            .min_by_key(|account| (account.is_refused(), account.limiter.forecast(resource, points)));
        best.expect("a client has at least one account")
    }

    /// Waits until a request of this cost may start.
    async fn acquire_slot(&self, resource: RateLimitResource, points: u64) -> Result<CallSlot<'_>, Error> {
        loop {
            let account = self.best_account(resource, points);
            let reservation = match account.limiter.reserve(resource, points).await {
                Ok(reservation) => reservation,
                // Another account may have points by now.
                Err(Error::Limited { .. }) if !std::ptr::eq(self.best_account(resource, points), account) => {
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Comes before the permit: requesting a token needs a permit of its own.
            let session = account.session(&self.meters).await?;
            let permit = self.shared.concurrency.acquire().await;
            // A limit may have been hit, or the cut-off passed, while this call waited for its permit.
            if reservation.is_valid() {
                return Ok(CallSlot { account, session, _reservation: reservation, permit });
            }
        }
    }

    /// Sends a request once the rate limits allow it, and updates the limits from the response. A rate limit
    /// rejection is waited for and repeated here. A refused token is replaced, once for each account.
    async fn send_within_limits(
        &self,
        what: &str,
        resource: RateLimitResource,
        points: u64,
        request: &ApiRequest<'_>,
    ) -> Result<ApiResponse, AttemptError> {
        let (mut rejections, mut token_refusals) = (0, 0);
        loop {
            let slot = self.acquire_slot(resource, points).await?;
            let result = self.shared.transport.send(&slot.session, request, &self.meters).await;
            if matches!(result, Err(AttemptError::TooHeavy(_))) {
                slot.permit.back_off();
            }
            let response = result?;
            slot.permit.record_response();
            let limiter = &slot.account.limiter;
            limiter.record(resource, &response.rate_limit);
            if response.status == StatusCode::UNAUTHORIZED && token_refusals < self.accounts.len() {
                token_refusals += 1;
                let can_renew = slot.account.refuse(&slot.session, response.rate_limit.date);
                if can_renew || self.accounts.iter().any(|account| !account.is_refused()) {
                    tracing::warn!(what, "GitHub refused the token; trying another one");
                    continue;
                }
            }
            let Some(limit_hit) = response.limit_hit(resource) else {
                if response.status.is_success() || response.status == StatusCode::NOT_MODIFIED {
                    self.shared.successful_responses.fetch_add(1, Ordering::Relaxed);
                    if resource == RateLimitResource::GraphQl {
                        self.shared.has_graphql_answered.store(true, Ordering::Relaxed);
                    }
                    return Ok(response);
                }
                return Err(self.response_error(what, resource, &response));
            };
            let (until, why) = match limit_hit {
                LimitHit::Primary(why) => (limiter.block(resource, &response.rate_limit, &why), why),
                LimitHit::Secondary(why) => {
                    slot.permit.back_off();
                    (limiter.block_all(&response.rate_limit, rejections, &why), why)
                }
            };
            drop(slot);
            rejections += 1;
            self.meters.record(Usage { retries: 1, ..Usage::default() });
            if rejections >= MAX_RATE_LIMIT_REJECTIONS {
                return Err(AttemptError::Fatal(Error::Limited { until, why }));
            }
        }
    }

    /// Sends a request once, whatever the answer. Returns the response, and whether the account can get another token if
    /// GitHub refused this one.
    ///
    /// # Errors
    /// `Fatal` and `Unreachable` if the request was not carried out: it was not sent, or GitHub redirected it. Other
    /// errors if it was sent, and no complete response arrived.
    pub(crate) async fn send_one_attempt(
        &self,
        resource: RateLimitResource,
        request: &ApiRequest<'_>,
    ) -> Result<(ApiResponse, bool), AttemptError> {
        let slot = self.acquire_slot(resource, 1).await?;
        let response = self.shared.transport.send(&slot.session, request, &self.meters).await?;
        slot.permit.record_response();
        let limiter = &slot.account.limiter;
        limiter.record(resource, &response.rate_limit);
        match response.limit_hit(resource) {
            None => {}
            Some(LimitHit::Primary(why)) => _ = limiter.block(resource, &response.rate_limit, &why),
            Some(LimitHit::Secondary(why)) => _ = limiter.block_all(&response.rate_limit, 0, &why),
        }
        let can_renew = response.status == StatusCode::UNAUTHORIZED
            && slot.account.refuse(&slot.session, response.rate_limit.date);
        Ok((response, can_renew))
    }

    /// The error for an address at which there is no GitHub API.
    pub(crate) fn no_api_error(&self, address: &str) -> Error {
        Error::Invalid(format!(
            "no GitHub API at {address}: GITHUB_API_URL is {}; use https://api.github.com, or \
             https://HOST/api/v3 for Enterprise Server",
            self.api_url()
        ))
    }

    /// Classifies a response that is neither a success nor a rate limit.
    fn response_error(
        &self,
        what: &str,
        resource: RateLimitResource,
        response: &ApiResponse,
    ) -> AttemptError {
        match classify_failure(what, response, &error_message(&response.body)) {
            // GitHub refused the app's own token, or one that it issued to the app.
            AttemptError::Fatal(Error::Unauthorized(_)) if self.is_app() => {
                AttemptError::Fatal(Error::Unauthorized(
                    "GitHub refused the app: GITHUB_APP_ID and GITHUB_APP_PRIVATE_KEY must belong to the same \
                     app, and the key must not have been deleted"
                        .to_owned(),
                ))
            }
            // An endpoint that has answered before exists, and something between it and here is broken.
            AttemptError::Fatal(Error::NotFound(_))
                if resource == RateLimitResource::GraphQl
                    && self.shared.has_graphql_answered.load(Ordering::Relaxed) =>
            {
                AttemptError::ServerFailure(format!("status {}", response.status.as_u16()))
            }
            // A GraphQL endpoint answers 404 only if it does not exist, whatever the query is about.
            AttemptError::Fatal(Error::NotFound(_)) if resource == RateLimitResource::GraphQl => {
                let address = format!("{}/graphql", self.shared.transport.host.graphql_base);
                AttemptError::Fatal(self.no_api_error(&address))
            }
            error => error,
        }
    }

    /// Runs `attempt` until it succeeds. See [`RetryPolicy::run`].
    pub(crate) async fn retry<T: Timed>(
        &self,
        what: &str,
        page_size: Option<&mut PageSize>,
        attempt: impl AsyncFn(u32) -> Result<T, AttemptError>,
    ) -> Result<T, Error> {
        self.retry_policy().run(what, page_size, attempt).await
    }

    /// How calls are retried unless they state it otherwise.
    pub(crate) fn retry_policy(&self) -> RetryPolicy<'_> {
        RetryPolicy {
            max_pauses: self.max_pauses,
            max_shrinks: None,
            failure_limit: &self.failure_limit,
            successful_responses: &self.shared.successful_responses,
            meters: &self.meters,
        }
    }

    /// Sends a GraphQL query. With a page size, the query's variable `first` is that size, and is reduced if
    /// the server finds the page too heavy.
    pub(crate) async fn query<T: DeserializeOwned>(
        &self,
        query: &Query,
        variables: Value,
        page_size: Option<&mut PageSize>,
        is_tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<GraphQlReply<T>, Error> {
        self.query_with_policy(&self.retry_policy(), query, variables, page_size, is_tolerated).await
    }

    /// Like [`Client::query`], with another retry policy.
    pub(crate) async fn query_with_policy<T: DeserializeOwned>(
        &self,
        policy: &RetryPolicy<'_>,
        query: &Query,
        variables: Value,
        page_size: Option<&mut PageSize>,
        is_tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<GraphQlReply<T>, Error> {
        let text = query.text();
        let is_paged = page_size.is_some();
        let attempt = async |first: u32| {
            let mut body = json!({ "query": text, "variables": variables });
            if is_paged {
                body["variables"]["first"] = first.into();
            }
            self.send_query(query.what, query.points, &body, &is_tolerated).await
        };
        policy.run(query.what, page_size, attempt).await
    }

    /// Sends a GraphQL query whose text depends on the page size.
    pub(crate) async fn query_with_sized_text<T: DeserializeOwned>(
        &self,
        what: &str,
        points: u64,
        variables: Value,
        page_size: &mut PageSize,
        text_for_size: impl Fn(u32) -> String,
        is_tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<GraphQlReply<T>, Error> {
        self.retry(what, Some(page_size), async |first| {
            let body = json!({ "query": text_for_size(first), "variables": variables });
            self.send_query(what, points, &body, &is_tolerated).await
        })
        .await
    }

    /// Sends a GraphQL query once. `points` is its maximum cost; `body` holds its text and variables.
    pub(crate) async fn send_query<T: DeserializeOwned>(
        &self,
        what: &str,
        points: u64,
        body: &Value,
        is_tolerated: impl Fn(&GraphQlError) -> bool,
    ) -> Result<GraphQlReply<T>, AttemptError> {
        let request = ApiRequest::Query(body);
        let response = self.send_within_limits(what, RateLimitResource::GraphQl, points, &request).await?;
        let (data, errors, cost) = parse_reply(what, &response.body, is_tolerated)?;
        self.meters.record(Usage { points: cost.unwrap_or(points), ..Usage::default() });
        let ApiResponse { rate_limit, response_time, .. } = response;
        Ok(GraphQlReply { data, errors, date: rate_limit.date, response_time })
    }

    /// Sends a REST GET and parses the response.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
    ) -> Result<(T, ApiResponse), Error> {
        self.send_rest(what, ApiRequest::Get(path)).await
    }

    /// Sends a REST GET and parses the response, unless it still has the tag of an earlier one. Then it costs
    /// no points, and the result is `None`.
    pub(crate) async fn get_if_changed<T: DeserializeOwned>(
        &self,
        what: &str,
        path: &str,
        etag: Option<&str>,
    ) -> Result<Option<(T, ApiResponse)>, Error> {
        let Some(etag) = etag else { return self.get(what, path).await.map(Some) };
        let (value, response) = self
            .retry(what, None, async |_| {
                let request = ApiRequest::GetIfChanged(path, etag);
                let response = self.send_within_limits(what, RateLimitResource::Rest, 1, &request).await?;
                if response.status == StatusCode::NOT_MODIFIED {
                    return Ok((None, response));
                }
                self.meters.record(Usage { points: 1, ..Usage::default() });
                let value = parse_json(what, &response.body)?;
                Ok((Some(value), response))
            })
            .await?;
        Ok(value.map(|value| (value, response)))
    }

    async fn send_rest<T: DeserializeOwned>(
        &self,
        what: &str,
        request: ApiRequest<'_>,
    ) -> Result<(T, ApiResponse), Error> {
        self.retry(what, None, async |_| {
            let response = self.send_within_limits(what, RateLimitResource::Rest, 1, &request).await?;
            self.meters.record(Usage { points: 1, ..Usage::default() });
            let value = parse_json(what, &response.body)?;
            Ok((value, response))
        })
        .await
    }
}

impl TokenIssuer for Client {
    async fn issue_token(&self, installation_id: i64, meters: &MeterStack) -> Result<IssuedToken, Error> {
        let path = format!("/app/installations/{installation_id}/access_tokens");
        // The token counts as a request of whoever needs it now, not of whoever signed in first.
        let app = Client { meters: meters.clone(), ..self.clone() };
        match app.send_rest("the app's token", ApiRequest::Post(&path)).await {
            Ok((token, response)) => Ok((token, response.rate_limit.date)),
            Err(Error::NotFound(_)) => {
                // If the app is installed again, the installation has a new id, which must be looked up.
                let is_gone = |client: &Client| client.uses_installation(installation_id);
                self.installations().retain(|_, cell| !cell.get().is_some_and(is_gone));
                Err(Error::Unauthorized(
                    "the GitHub App is no longer installed in the organization: install it again".to_owned(),
                ))
            }
            Err(error) => Err(error),
        }
    }
}
