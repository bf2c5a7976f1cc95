//! Headers, conditional requests, HEAD and compression.

use axum::http::Method;

use crate::support::{empty_api, get, send};

/// Routes that answer over an empty store.
const ROUTES: [&str; 7] = [
    "/",
    "/healthz",
    "/api/v1/healthz",
    "/openapi.json",
    "/api/v1/openapi.json",
    "/api/v1/metrics",
    "/api/v1/orgs",
];

#[tokio::test]
async fn every_response_has_the_common_headers() {
    let api = empty_api();
    for path in ROUTES.into_iter().chain(["/nothing", "/api/v1/orgs?x=1"]) {
        let answer = get(&api, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let vary =
            if path == "/" { "accept, accept-encoding, accept-language" } else { "accept, accept-encoding" };
        assert_eq!(answer.header("vary"), vary, "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        let is_cacheable = answer.status == 200 && !path.ends_with("healthz");
        assert_eq!(
            answer.header("cache-control"),
            if is_cacheable { "private, no-cache" } else { "no-store" },
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_valid_request_id_is_kept_and_others_are_replaced() {
    let api = empty_api();
    let returned_id = async |id: &str| {
        let answer = send(&api, Method::GET, "/healthz", &[("x-request-id", id)]).await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(returned_id("abc-1_2.3").await, "abc-1_2.3");
    for id in ["", "a b", "<script>", &"x".repeat(129)] {
        assert_eq!(returned_id(id).await.len(), 36, "{id}");
    }
    let (first, second) = (get(&api, "/healthz").await, get(&api, "/healthz").await);
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
}

#[tokio::test]
async fn an_unchanged_answer_returns_304() {
    let api = empty_api();
    for path in ROUTES {
        let first = get(&api, path).await;
        assert_eq!(first.status, 200, "{path}");
        let tag = first.header("etag");
        assert!(tag.starts_with("W/\"") && tag.len() == 68, "{tag}");
        assert_eq!(get(&api, path).await.header("etag"), tag, "{path}");
        for list in [tag, &tag[2..], "*", &format!("\"a\", {tag}")] {
            let again = send(&api, Method::GET, path, &[("if-none-match", list)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path} {list}");
            assert_eq!(again.header("etag"), tag);
            assert_eq!(again.header("cache-control"), first.header("cache-control"));
            assert_eq!(again.header("vary"), first.header("vary"));
            assert!(!again.headers.contains_key("content-length"), "{again:?}");
            assert!(!again.headers.contains_key("content-type"), "{again:?}");
        }
        let other = send(&api, Method::GET, path, &[("if-none-match", "\"a\", W/\"b\"")]).await;
        assert_eq!((other.status.as_u16(), &other.body), (200, &first.body));
    }
}

#[tokio::test]
async fn an_error_never_returns_304() {
    let response = send(&empty_api(), Method::GET, "/nothing", &[("if-none-match", "*")]).await;
    response.problem(404, "NOT_FOUND");
    assert!(!response.headers.contains_key("etag"));
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let api = empty_api();
    for path in ROUTES.into_iter().chain(["/nothing"]) {
        let (full, head) = (get(&api, path).await, send(&api, Method::HEAD, path, &[]).await);
        assert_eq!(head.status, full.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["etag", "content-type", "cache-control"] {
            assert_eq!(head.header(name), full.header(name), "{path} {name}");
        }
        assert_eq!(head.header("content-length"), full.body.len().to_string(), "{path}");
        if path != "/nothing" {
            let again = send(&api, Method::HEAD, path, &[("if-none-match", head.header("etag"))]).await;
            assert_eq!(again.status, 304, "{path}");
        }
    }
}

#[tokio::test]
async fn responses_are_compressed_if_the_client_accepts_it() {
    let api = empty_api();
    let plain = get(&api, "/api/v1/metrics").await;
    assert!(!plain.headers.contains_key("content-encoding"));
    let accept = [("accept-encoding", "br;q=1.0, gzip;q=0.8")];
    let gzip = send(&api, Method::GET, "/api/v1/metrics", &accept).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert_eq!(gzip.header("etag"), plain.header("etag"));
    assert!(gzip.body.starts_with(&[0x1f, 0x8b]) && gzip.body.len() < plain.body.len() / 2);
    let headers = [accept[0], ("if-none-match", gzip.header("etag"))];
    assert_eq!(send(&api, Method::GET, "/api/v1/metrics", &headers).await.status, 304);
    let error = send(&api, Method::GET, "/api/v1/nothing-of-that-name", &accept).await;
    assert_eq!((error.status.as_u16(), error.header("content-encoding")), (404, "gzip"));
}

#[tokio::test]
async fn the_web_page_loads_nothing_from_elsewhere() {
    let page = get(&empty_api(), "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; script-src 'self';"), "{policy}");
    assert!(
        page.text().contains("openapi.json") && page.text().contains("github-metrics up"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("http"), "{}", page.text());
}
