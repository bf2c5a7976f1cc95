//! Test fixtures: data in memory, requests through the router, and the captured log.

pub(crate) mod acme;
mod counting_store;
mod faulty_store;
mod log;

use std::sync::{Arc, LazyLock, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use gam_access::LogReadings;
use gam_aggregate::AggregatePorts;
use gam_audit::{AuditPorts, SegmentLog};
use gam_http::{ApiPorts, LogPorts, WorkPorts};
use gam_lake::MemoryObjects;
use gam_model::{Clock, Identity, OrgRegistry};
use gam_query::QueryPorts;
use gam_store::MemoryStore;
use gam_work::IssueReader;
use gam_work::actions::{ActionSettingsSource, Actions};
use gam_work::tasks::Tasks;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) use counting_store::CountingStore;
pub(crate) use faulty_store::{Fault, STORE_ERROR, faulty_api};
pub(crate) use log::{log_lines, log_lines_with};

/// A clock that stands still.
struct FixedClock(DateTime<Utc>);

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// A clock that tests set.
pub(crate) struct SettableClock(Mutex<DateTime<Utc>>);

impl SettableClock {
    /// Creates a clock that shows [`NOW`].
    pub(crate) fn new() -> Self {
        SettableClock(Mutex::new(NOW.parse().expect("a time")))
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        *self.0.lock().expect("nobody panicked") += by;
    }
}

impl Clock for SettableClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().expect("nobody panicked")
    }
}

/// The time of every request.
const NOW: &str = "2024-03-10T12:00:00Z";

/// A lake and a store in memory.
#[derive(Default)]
pub(crate) struct TestData {
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) store: Arc<MemoryStore>,
}

impl TestData {
    pub(crate) fn query_ports(&self) -> QueryPorts {
        LazyLock::force(&log::LOG);
        QueryPorts {
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: fixed_clock(),
            identities: Arc::new(Identity::default()),
            registry: Arc::new(OrgRegistry::default()),
        }
    }

    pub(crate) fn aggregate_ports(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.objects.clone(),
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: fixed_clock(),
        }
    }

    /// Returns the ports of a host that can write its store.
    pub(crate) fn api_ports(&self) -> ApiPorts {
        ApiPorts {
            query: self.query_ports(),
            work: Some(self.work_ports(fixed_clock())),
            log: Some(self.log_ports(fixed_clock())),
        }
    }

    /// Returns what the routes of tasks and issues use.
    pub(crate) fn work_ports(&self, clock: Arc<dyn Clock>) -> WorkPorts {
        let issues = IssueReader::new(self.store.clone(), clock.clone());
        let actions = Actions::new(self.store.clone(), clock.clone(), Arc::new(NoSettings), None);
        WorkPorts { tasks: self.tasks(clock), issues, actions, default_owner: None, links: None }
    }

    /// Returns the ports of the audit log.
    pub(crate) fn audit_ports(&self, clock: Arc<dyn Clock>) -> AuditPorts {
        AuditPorts { objects: self.objects.clone(), records: self.store.clone(), clock }
    }

    /// Returns what the routes of the audit log use.
    pub(crate) fn log_ports(&self, clock: Arc<dyn Clock>) -> LogPorts {
        let readings = LogReadings::new(self.store.clone(), clock.clone());
        LogPorts { log: Arc::new(SegmentLog::new(self.audit_ports(clock))), readings, is_streaming: true }
    }

    pub(crate) fn tasks(&self, clock: Arc<dyn Clock>) -> Tasks {
        Tasks::new(self.store.clone(), clock, Arc::new(|_| 0))
    }

    pub(crate) fn api(&self) -> Router {
        gam_http::router(self.api_ports())
    }
}

/// The id of the action of "Acme".
pub(crate) const ACTION_ID: &str = "acme.1700000000000.0123456789abcdef";

/// Organizations without policies.
pub(crate) struct NoSettings;

#[async_trait::async_trait]
impl ActionSettingsSource for NoSettings {
    async fn settings(
        &self,
        _: &str,
    ) -> Result<(u32, gam_model::ActionSettings), Box<dyn std::error::Error + Send + Sync>> {
        Ok((0, gam_model::ActionSettings::default()))
    }
}

pub(crate) fn fixed_clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock(NOW.parse().expect("a time")))
}

/// Returns the API over an empty store.
pub(crate) fn empty_api() -> Router {
    TestData::default().api()
}

/// A response, read completely.
#[derive(Debug)]
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ApiResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// Returns the header, or an empty text if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }

    /// Returns the response as snapshots show it: the status, the headers and the body.
    pub(crate) fn as_snapshot(&self) -> String {
        let mut text = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            let value = match name.as_str() {
                // They change with every request or with every content.
                "x-request-id" | "etag" | "content-length" => "[present]",
                _ => value.to_str().expect("the header is text"),
            };
            text.push_str(&format!("{name}: {value}\n"));
        }
        format!("{text}\n{}", self.body_as_snapshot())
    }

    /// Returns the body as snapshots show it. Keys of JSON objects are sorted, because their order means nothing.
    pub(crate) fn body_as_snapshot(&self) -> String {
        let body = if self.header("content-type").ends_with("json")
            && !self.header("content-type").ends_with("ndjson")
        {
            serde_json::to_string_pretty(&self.json()).expect("it is JSON")
        } else {
            self.text().replace("><", ">\n<")
        };
        let body = body.replace(concat!('"', env!("CARGO_PKG_VERSION"), '"'), "\"[version]\"");
        let body = without_nonce(&body);
        match self.header("x-request-id") {
            "" => body,
            id => body.replace(id, "[request id]"),
        }
    }

    /// Checks that this is a problem document with the status and code, and returns its detail.
    pub(crate) fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        let mut names = problem.as_object().expect("an object").keys().collect::<Vec<_>>();
        names.sort();
        assert_eq!(names, ["code", "detail", "status", "title", "type"]);
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()));
        problem["detail"].as_str().expect("a text").to_owned()
    }
}

/// The beginning of the ids of the claims of the fixture. The rest is random.
const CLAIM_PREFIX: &str = "acme.1.5.1-";

/// Returns a text without the random part of the id of the fixture's claim.
fn without_nonce(text: &str) -> String {
    let mut parts = text.split(CLAIM_PREFIX);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        format!("{text}{CLAIM_PREFIX}[nonce]{}", part.get(12..).unwrap_or_default())
    })
}

/// Returns a path with the names of an organization, a repository, a member, a chart and a claim in place of its
/// parameters.
pub(crate) fn with_names(path: &str) -> String {
    let names = [
        ("{org}", "acme"),
        ("{repo}", "site"),
        ("{member}", "ann"),
        ("{chart}", "commits.svg"),
        ("{claim_id}", "acme.1.5.1-0123456789ab"),
        ("{action_id}", ACTION_ID),
    ];
    names.iter().fold(path.to_owned(), |path, (parameter, name)| path.replace(parameter, name))
}

/// Compares a text with its snapshot.
pub(crate) fn check_snapshot(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// Sends a request with headers.
pub(crate) async fn send(api: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> ApiResponse {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(api, request.body(Body::empty()).expect("a request")).await
}

/// Sends a form, as a browser does.
pub(crate) async fn send_form(api: &Router, path: &str, headers: &[(&str, &str)], form: &str) -> ApiResponse {
    let mut request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(api, request.body(Body::from(form.to_owned())).expect("a request")).await
}

/// Sends JSON.
pub(crate) async fn send_json(
    api: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: impl ToString,
) -> ApiResponse {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(api, request.body(Body::from(body.to_string())).expect("a request")).await
}

/// Sends a POST request with a body.
pub(crate) async fn send_body(
    api: &Router,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> ApiResponse {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(api, request.body(Body::from(body)).expect("a request")).await
}

async fn answer(api: &Router, request: Request<Body>) -> ApiResponse {
    let (parts, body) = api.clone().oneshot(request).await.expect("the router does not fail").into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body is there");
    ApiResponse { status: parts.status, headers: parts.headers, body }
}

/// Sends a GET request.
pub(crate) async fn get(api: &Router, path: &str) -> ApiResponse {
    send(api, Method::GET, path, &[]).await
}

/// Compares a text with a file of the workspace. Writes the file instead if `UPDATE_DOCS` is set.
#[expect(clippy::disallowed_methods, reason = "no program, but a developer sets the variable")]
pub(crate) fn check_file(path: &str, text: &str) {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).expect("the file is written");
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(current == text, "{path} is stale: run UPDATE_DOCS=1 cargo test -p gam-http --test api docs");
}

/// Sends a GET request that must succeed, and returns the JSON of the answer.
pub(crate) async fn get_json(api: &Router, path: &str) -> Value {
    let response = get(api, path).await;
    assert_eq!(
        (response.status.as_u16(), response.header("content-type")),
        (200, "application/json"),
        "{path}: {response:?}"
    );
    response.json()
}
