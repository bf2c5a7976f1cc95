//! A world in memory, and requests through the router.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chrono::{DateTime, NaiveDate, Utc};
use gam_aggregate::AggregatePorts;
use gam_lake::MemoryObjects;
use gam_model::{Clock, Grain, Identity, Month};
use gam_query::QueryPorts;
use gam_store::{
    AdvanceOutcome, Error, FoldScope, Logic, Marker, MemoryStore, NameEntry, NameKind, NameStore, PutOutcome,
    Result, RollupKey, RollupStore, StoredRollup, Subject, SubjectKind,
};
use serde_json::Value;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

/// A clock that stands still.
pub(crate) struct StoppedClock(pub(crate) DateTime<Utc>);

impl Clock for StoppedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// The day of every request: today.
pub(crate) const NOW: &str = "2024-03-10T12:00:00Z";

/// A lake and a store in memory.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) store: Arc<MemoryStore>,
}

impl World {
    pub(crate) fn query_ports(&self) -> QueryPorts {
        LazyLock::force(&LOG);
        QueryPorts {
            rollups: self.store.clone(),
            names: self.store.clone(),
            checkpoints: self.store.clone(),
            clock: stopped_clock(),
            identity: Arc::new(Identity::default()),
        }
    }

    pub(crate) fn aggregate_ports(&self) -> AggregatePorts {
        AggregatePorts {
            objects: self.objects.clone(),
            rollups: self.store.clone(),
            names: self.store.clone(),
            clock: stopped_clock(),
            identity: Arc::new(Identity::default()),
        }
    }
}

fn stopped_clock() -> Arc<StoppedClock> {
    Arc::new(StoppedClock(NOW.parse().expect("a time")))
}

/// The API over nothing.
pub(crate) fn empty() -> Router {
    gam_http::router(World::default().query_ports())
}

/// The API over a store that fails in its own way.
pub(crate) fn faulty(fault: Fault) -> Router {
    let store = Arc::new(FaultyStore(fault));
    gam_http::router(QueryPorts { rollups: store.clone(), names: store, ..World::default().query_ports() })
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("the header is text"))
    }

    /// The answer as snapshots show it: the status, the headers and the body.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!("{}\n", self.status);
        for (name, value) in &self.headers {
            let value = match name.as_str() {
                // They change with every request or with every content.
                "x-request-id" | "etag" | "content-length" => "[present]",
                _ => value.to_str().expect("the header is text"),
            };
            text.push_str(&format!("{name}: {value}\n"));
        }
        format!("{text}\n{}", self.shown_body())
    }

    /// The body as snapshots show it. Keys of JSON objects are sorted, because their order means nothing.
    pub(crate) fn shown_body(&self) -> String {
        let body = if self.header("content-type").ends_with("json") {
            serde_json::to_string_pretty(&self.json()).expect("it is JSON")
        } else {
            self.text().replace("><", ">\n<")
        };
        let body = body.replace(concat!('"', env!("CARGO_PKG_VERSION"), '"'), "\"[version]\"");
        match self.header("x-request-id") {
            "" => body,
            id => body.replace(id, "[request id]"),
        }
    }

    /// Checks that this is a problem document of the status and code, and returns its detail.
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

/// Compares a text with its snapshot.
pub(crate) fn check(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, text);
    });
}

/// Sends a request with headers.
pub(crate) async fn send(api: &Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let (parts, body) = api.clone().oneshot(request).await.expect("the router does not fail").into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("the body is there");
    Answer { status: parts.status, headers: parts.headers, body }
}

/// Asks for a path.
pub(crate) async fn get(api: &Router, path: &str) -> Answer {
    send(api, Method::GET, path, &[]).await
}

/// How a store fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Asking again may help.
    Busy,
    /// It needs somebody's hand.
    Broken,
    /// A bug.
    Panic,
}

/// What a faulty store says of its inner life.
pub(crate) const INNER_LIFE: &str = "table rollups_v1 at 10.0.0.7 is missing";

struct FaultyStore(Fault);

impl FaultyStore {
    fn fail<T>(&self) -> Result<T> {
        match self.0 {
            Fault::Busy => Err(Error::unavailable("reading", std::io::Error::other(INNER_LIFE))),
            Fault::Broken => Err(Error::unusable("reading", std::io::Error::other(INNER_LIFE))),
            Fault::Panic => panic!("{INNER_LIFE}"),
        }
    }
}

#[async_trait]
impl RollupStore for FaultyStore {
    async fn put(&self, _: &str, _: &[(RollupKey, StoredRollup)]) -> Result<PutOutcome> {
        self.fail()
    }

    async fn range(
        &self,
        _: &str,
        _: &Subject,
        _: Grain,
        _: NaiveDate,
        _: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        self.fail()
    }

    async fn range_of_kind(
        &self,
        _: &str,
        _: SubjectKind,
        _: Grain,
        _: NaiveDate,
        _: NaiveDate,
    ) -> Result<Vec<(RollupKey, StoredRollup)>> {
        self.fail()
    }

    async fn marker(&self, _: &str, _: Month) -> Result<Option<Marker>> {
        self.fail()
    }

    async fn markers(&self, _: &str) -> Result<Vec<Marker>> {
        self.fail()
    }

    async fn advance(&self, _: &str, _: Month, _: &Logic, _: u64, _: FoldScope) -> Result<AdvanceOutcome> {
        self.fail()
    }
}

#[async_trait]
impl NameStore for FaultyStore {
    async fn put_names(&self, _: &str, _: &[NameEntry]) -> Result<()> {
        self.fail()
    }

    async fn names(&self, _: &str, _: NameKind) -> Result<Vec<NameEntry>> {
        self.fail()
    }

    async fn orgs(&self) -> Result<Vec<String>> {
        self.fail()
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

/// What was logged by all tests of the process. It listens before the first request comes, because
/// what is first logged while nobody listens is never logged.
static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing_subscriber::fmt().json().with_writer(log.clone()).init();
    log
});

/// The lines logged of the request of that id.
pub(crate) fn logged(request_id: &str) -> Vec<Value> {
    let bytes = LOG.0.lock().expect("no writer panicked").clone();
    let lines = String::from_utf8(bytes).expect("the log is text");
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"));
    lines.filter(|line| line["span"]["request_id"] == request_id).collect()
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}
