//! Answers that are kept in the process as long as nothing has changed that they depend on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gam_query::{AnswerStamp, QueryPorts};
use lru::LruCache;

use super::etag::entity_tag;
use crate::error::ApiError;

/// The most memory that all kept answers take.
const MAX_KEPT_BYTES: usize = 32 << 20;
/// The longest answer that is kept.
const MAX_ANSWER_BYTES: usize = MAX_KEPT_BYTES / 16;
/// The memory that an answer takes in addition to its key and its body: headers, stamp and links.
const ENTRY_BYTES: usize = 1_024;

/// The answers that are kept, and the ports that show whether they are still right. Clones share them.
#[derive(Clone)]
pub(crate) struct KeptAnswers {
    ports: QueryPorts,
    variant: RequestVariant,
    answers: Arc<Mutex<AnswersByRequest>>,
}

/// What an answer depends on in a request: path and query, and its [`RequestVariant`].
type RequestKey = (Box<str>, Box<[u8]>);

/// Returns the parts of a request, other than path and query, that its answer depends on.
pub(crate) type RequestVariant = fn(&Request) -> Box<[u8]>;

#[derive(Clone)]
struct KeptAnswer {
    stamp: AnswerStamp,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers by request, of which the least recently used ones are dropped first.
struct AnswersByRequest {
    answers: LruCache<RequestKey, KeptAnswer>,
    /// The memory that they take.
    bytes: usize,
}

impl AnswersByRequest {
    fn new() -> Self {
        AnswersByRequest { answers: LruCache::unbounded(), bytes: 0 }
    }

    /// Returns the answer if it was computed under this stamp.
    fn get(&mut self, key: &RequestKey, stamp: &AnswerStamp) -> Option<KeptAnswer> {
        self.answers.get(key).filter(|answer| answer.stamp == *stamp).cloned()
    }

    fn insert(&mut self, key: RequestKey, answer: KeptAnswer) {
        self.bytes += bytes_of(&key, &answer);
        if let Some((key, replaced)) = self.answers.push(key, answer) {
            self.bytes -= bytes_of(&key, &replaced);
        }
        while self.bytes > MAX_KEPT_BYTES
            && let Some((key, dropped)) = self.answers.pop_lru()
        {
            self.bytes -= bytes_of(&key, &dropped);
        }
    }
}

fn bytes_of((target, variant): &RequestKey, answer: &KeptAnswer) -> usize {
    ENTRY_BYTES + target.len() + variant.len() + answer.body.len()
}

impl KeptAnswers {
    /// Keeps answers of the API, which depend on the media types that the client accepts.
    pub(crate) fn new(ports: QueryPorts) -> Self {
        KeptAnswers { ports, variant: accepted_types, answers: Arc::new(Mutex::new(AnswersByRequest::new())) }
    }

    /// Returns the same memory for answers of other paths, which depend on something else.
    pub(crate) fn with_variant(&self, variant: RequestVariant) -> Self {
        KeptAnswers { variant, ..self.clone() }
    }

    fn request_key(&self, request: &Request) -> RequestKey {
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        (target.into(), (self.variant)(request))
    }

    fn lock(&self) -> MutexGuard<'_, AnswersByRequest> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers from the kept answers, or computes the answer and keeps it. It is kept only if nothing has changed while it
/// was computed. Callers whose requests have one key may differ in whether they get an answer, but not in which one:
/// permissions are checked before.
pub(crate) async fn answer_from_kept(
    State(kept): State<KeptAnswers>,
    request: Request,
    next: Next,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let Some(stamp) = AnswerStamp::now(&kept.ports).await else { return next.run(request).await };
    let key = kept.request_key(&request);
    let found = kept.lock().get(&key, &stamp);
    if let Some(KeptAnswer { headers, body, .. }) = found {
        return (headers, body).into_response();
    }
    let response = next.run(request).await;
    let length = response.body().size_hint().exact();
    if response.status() != StatusCode::OK || length.is_none_or(|length| length > MAX_ANSWER_BYTES as u64) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = match to_bytes(body, MAX_ANSWER_BYTES).await {
        Ok(body) => body,
        Err(error) => return ApiError::internal(error).into_response(),
    };
    parts.headers.insert(header::ETAG, entity_tag(&body));
    if AnswerStamp::now(&kept.ports).await.as_ref() == Some(&stamp) {
        let answer = KeptAnswer { stamp, headers: parts.headers.clone(), body: body.clone() };
        kept.lock().insert(key, answer);
    }
    Response::from_parts(parts, Body::from(body))
}

fn accepted_types(request: &Request) -> Box<[u8]> {
    let accept = request.headers().get_all(header::ACCEPT).iter();
    accept.flat_map(|value| value.as_bytes().iter().chain(b",")).copied().collect()
}

#[cfg(test)]
mod tests {
    use gam_model::{Identity, OrgRegistry, SystemClock};
    use gam_store::MemoryStore;

    use super::*;

    async fn stamp() -> AnswerStamp {
        let store = Arc::new(MemoryStore::default());
        let ports = QueryPorts {
            rollups: store.clone(),
            names: store.clone(),
            checkpoints: store,
            clock: Arc::new(SystemClock),
            identities: Arc::new(Identity::default()),
            registry: Arc::new(OrgRegistry::default()),
        };
        AnswerStamp::now(&ports).await.unwrap()
    }

    #[tokio::test]
    async fn kept_answers_are_bounded_and_the_least_recently_used_ones_go_first() {
        let (stamp, other_stamp) = (stamp().await, stamp().await);
        let key = |n: usize| -> RequestKey { (format!("/{n}").into(), Box::default()) };
        let answer = |length: usize| KeptAnswer {
            stamp: stamp.clone(),
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; length]),
        };
        let mut answers = AnswersByRequest::new();
        for n in 0..40 {
            answers.insert(key(n), answer(MAX_ANSWER_BYTES));
            assert!(answers.bytes <= MAX_KEPT_BYTES);
            assert!(answers.get(&key(0), &stamp).is_some(), "it is used again and again");
        }
        assert_eq!(answers.answers.len(), 15);
        assert!(answers.get(&key(1), &stamp).is_none() && answers.get(&key(39), &stamp).is_some());
        assert!(answers.get(&key(0), &other_stamp).is_none(), "another store");
        for _ in 0..3 {
            answers.insert(key(0), answer(5));
        }
        let all: usize = answers.answers.iter().map(|(key, answer)| bytes_of(key, answer)).sum();
        assert_eq!((answers.answers.len(), answers.bytes), (15, all));
    }
}
