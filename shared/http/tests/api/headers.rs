//! What every answer carries, and revalidation.

use axum::http::Method;

use crate::support::{empty, get, send};

const ANSWERS: [&str; 7] = [
    "/",
    "/healthz",
    "/api/v1/healthz",
    "/openapi.json",
    "/api/v1/openapi.json",
    "/api/v1/metrics",
    "/api/v1/orgs",
];

#[tokio::test]
async fn every_answer_has_its_headers() {
    let api = empty();
    for path in ANSWERS.into_iter().chain(["/nothing", "/api/v1/orgs?x=1"]) {
        let answer = get(&api, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("vary"), "accept-encoding", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        let kept = answer.status == 200 && !path.ends_with("healthz");
        assert_eq!(
            answer.header("cache-control"),
            if kept { "private, no-cache" } else { "no-store" },
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_request_id_is_kept_where_it_is_well_formed() {
    let api = empty();
    let sent = async |id: &str| {
        let answer = send(&api, Method::GET, "/healthz", &[("x-request-id", id)]).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(sent("abc-1_2.3").await, "abc-1_2.3");
    for id in ["", "a b", "<script>", &"x".repeat(129)] {
        assert_eq!(sent(id).await.len(), 36, "{id}");
    }
    let (one, two) = (get(&api, "/healthz").await, get(&api, "/healthz").await);
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
}

#[tokio::test]
async fn an_answer_known_already_is_not_sent_again() {
    let api = empty();
    for path in ANSWERS {
        let answer = get(&api, path).await;
        assert_eq!(answer.status, 200, "{path}");
        let tag = answer.header("etag");
        assert!(tag.starts_with("W/\"") && tag.len() == 68, "{tag}");
        assert_eq!(get(&api, path).await.header("etag"), tag, "{path}");
        for known in [tag, &tag[2..], "*", &format!("\"a\", {tag}")] {
            let again = send(&api, Method::GET, path, &[("if-none-match", known)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header("etag"), tag);
            assert_eq!(again.header("cache-control"), answer.header("cache-control"));
            assert_eq!(again.header("vary"), "accept-encoding");
            assert!(!again.headers.contains_key("content-length"), "{again:?}");
            assert!(!again.headers.contains_key("content-type"), "{again:?}");
        }
        let other = send(&api, Method::GET, path, &[("if-none-match", "\"a\", W/\"b\"")]).await;
        assert_eq!((other.status.as_u16(), &other.body), (200, &answer.body));
    }
}

#[tokio::test]
async fn a_refusal_is_never_answered_by_its_tag() {
    let refused = send(&empty(), Method::GET, "/nothing", &[("if-none-match", "*")]).await;
    refused.problem(404, "NOT_FOUND");
    assert!(!refused.headers.contains_key("etag"));
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let api = empty();
    for path in ANSWERS.into_iter().chain(["/nothing"]) {
        let (whole, head) = (get(&api, path).await, send(&api, Method::HEAD, path, &[]).await);
        assert_eq!(head.status, whole.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["etag", "content-type", "cache-control"] {
            assert_eq!(head.header(name), whole.header(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), whole.body.len().to_string(), "{path}");
        if path != "/nothing" {
            let again = send(&api, Method::HEAD, path, &[("if-none-match", head.header("etag"))]).await;
            assert_eq!(again.status, 304, "{path}");
        }
    }
}

#[tokio::test]
async fn answers_are_compressed_where_asked() {
    let api = empty();
    let plain = get(&api, "/api/v1/metrics").await;
    assert!(!plain.headers.contains_key("content-encoding"));
    let asked = [("accept-encoding", "br;q=1.0, gzip;q=0.8")];
    let gzip = send(&api, Method::GET, "/api/v1/metrics", &asked).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert_eq!(gzip.header("etag"), plain.header("etag"));
    assert!(gzip.body.starts_with(&[0x1f, 0x8b]) && gzip.body.len() < plain.body.len() / 2);
    let known = [asked[0], ("if-none-match", gzip.header("etag"))];
    assert_eq!(send(&api, Method::GET, "/api/v1/metrics", &known).await.status, 304);
    let refused = send(&api, Method::GET, "/api/v1/nothing-of-that-name", &asked).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-encoding")), (404, "gzip"));
}

#[tokio::test]
async fn the_first_page_takes_nothing_from_elsewhere() {
    let page = get(&empty(), "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(
        page.text().contains("openapi.json") && page.text().contains("github-metrics up"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("http"), "{}", page.text());
}
