use http::HeaderMap;

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> RateLimitHeaders {
    let headers: HeaderMap = pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
    RateLimitHeaders::parse(&headers)
}

const DATE: &str = "Sun, 22 Nov 2026 19:49:10 GMT";
/// Ten seconds after `DATE`.
const RESET: &str = "1795376960";

fn hourly(limit: &str, remaining: &str) -> RateLimitHeaders {
    headers(&[
        ("date", DATE),
        ("x-ratelimit-limit", limit),
        ("x-ratelimit-remaining", remaining),
        ("x-ratelimit-reset", RESET),
    ])
}

async fn starts_after(limiter: &RateLimiter, resource: RateLimitResource, cost: u64) -> Duration {
    let before = Instant::now();
    drop(limiter.reserve(resource, cost).await.expect("the wait is short enough"));
    before.elapsed()
}

fn limiter_with(max_wait_seconds: u64, budget: Option<f64>) -> RateLimiter {
    let max_wait = Duration::from_secs(max_wait_seconds);
    RateLimiter::new(max_wait, budget, watch::Sender::new(None), CutOff::default())
}

fn limiter() -> RateLimiter {
    limiter_with(3600, None)
}

/// Limiters that wait for no limit and may use three more points: one has no more, the other's share ends
/// there.
fn three_points_left() -> [RateLimiter; 2] {
    let (all, share) = (limiter_with(0, None), limiter_with(0, Some(0.6)));
    all.record(RateLimitResource::GraphQl, &hourly("5000", "3"));
    share.record(RateLimitResource::GraphQl, &hourly("5000", "2003"));
    [all, share]
}

/// When and why a call is refused.
async fn refusal(limiter: &RateLimiter, cost: u64) -> (Option<DateTime<Utc>>, String) {
    match limiter.reserve(RateLimitResource::GraphQl, cost).await.err() {
        Some(Error::Limited { until, why }) => (until, why),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_used_up_limit_is_waited_for_by_githubs_clock() {
    let limiter = limiter();
    limiter.record(RateLimitResource::GraphQl, &hourly("5000", "1"));
    assert!(starts_after(&limiter, RateLimitResource::Rest, 1).await.is_zero(), "REST has its own limit");
    assert!(starts_after(&limiter, RateLimitResource::GraphQl, 1).await.is_zero());
    assert_eq!(starts_after(&limiter, RateLimitResource::GraphQl, 2).await.as_secs(), 11);
    assert!(
        starts_after(&limiter, RateLimitResource::GraphQl, 9).await.is_zero(),
        "after the reset the points are unknown"
    );
}

#[tokio::test(start_paused = true)]
async fn reserved_points_are_not_given_to_another_call() {
    let limiter = limiter();
    limiter.record(RateLimitResource::GraphQl, &hourly("5000", "3"));
    let held = limiter.reserve(RateLimitResource::GraphQl, 2).await.unwrap();
    let second = async { starts_after(&limiter, RateLimitResource::GraphQl, 2).await };
    let release = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        drop(held);
    };
    let (waited, ()) = tokio::join!(second, release);
    assert_eq!(waited.as_secs(), 4, "until the call in flight returned them");
}

#[tokio::test(start_paused = true)]
async fn reserved_points_are_waited_for_beyond_the_longest_wait() {
    for limiter in three_points_left() {
        let held = limiter.reserve(RateLimitResource::GraphQl, 2).await.unwrap();
        let release = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            drop(held);
        };
        let (waited, ()) = tokio::join!(starts_after(&limiter, RateLimitResource::GraphQl, 2), release);
        assert_eq!(waited.as_secs(), 4);
        assert!(limiter.waits.borrow().is_none(), "this is no wait for GitHub");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_queueing_for_the_last_points_all_start() {
    for limiter in three_points_left().map(Arc::new) {
        let before = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let limiter = limiter.clone();
            calls.spawn(async move {
                let held = limiter.reserve(RateLimitResource::GraphQl, 2).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
                held.is_ok()
            });
        }
        while let Some(has_started) = calls.join_next().await {
            assert!(has_started.unwrap());
        }
        assert_eq!(before.elapsed().as_secs(), 2, "one after another");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_call_fails_once_the_reserved_points_are_used() {
    for ((limiter, left), reason) in
        three_points_left().into_iter().zip(["1", "2001"]).zip([HOURLY_LIMIT_USED_UP, BUDGET_SPENT])
    {
        let held = limiter.reserve(RateLimitResource::GraphQl, 2).await.unwrap();
        let before = Instant::now();
        let (until, why) = refusal(&limiter, 4).await;
        assert!(until.is_some() && before.elapsed().is_zero(), "there were never that many points");
        assert_eq!(why, reason);
        let use_up = async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            limiter.record(RateLimitResource::GraphQl, &hourly("5000", left));
            drop(held);
        };
        let ((until, why), ()) = tokio::join!(refusal(&limiter, 2), use_up);
        assert!(until.is_some() && before.elapsed().as_secs() == 4);
        assert_eq!(why, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn unreturned_points_are_waited_for_until_reset_or_cut_off() {
    for which in 0..2 {
        let limiter = &three_points_left()[which];
        let _held = limiter.reserve(RateLimitResource::GraphQl, 2).await.unwrap();
        let before = Instant::now();
        limiter.cut_off.set(Some(before + Duration::from_secs(5)));
        assert_eq!(refusal(limiter, 2).await.0, None, "the cut-off comes first");
        assert_eq!(before.elapsed().as_secs(), 5);
        limiter.cut_off.set(None);
        starts_after(limiter, RateLimitResource::GraphQl, 2).await;
        assert_eq!(before.elapsed().as_secs(), 11, "after the reset the points are unknown");
    }
}

#[tokio::test(start_paused = true)]
async fn each_limit_reports_its_own_reason() {
    let limiter = limiter_with(0, None);
    limiter.block_all(&headers(&[("date", DATE), ("retry-after", "7")]), 0, "slow down");
    limiter.record(RateLimitResource::GraphQl, &hourly("5000", "0"));
    assert_eq!(refusal(&limiter, 1).await.1, "slow down", "it outweighs the primary limit");
    tokio::time::advance(Duration::from_secs(8)).await;
    assert_eq!(refusal(&limiter, 1).await.1, HOURLY_LIMIT_USED_UP);
    limiter.block(RateLimitResource::GraphQl, &hourly("5000", "0"), "exceeded for user ID 1");
    assert_eq!(refusal(&limiter, 1).await.1, "exceeded for user ID 1");
    limiter.block_all(&headers(&[("date", DATE), ("retry-after", "60")]), 0, "");
    assert_eq!(refusal(&limiter, 1).await.1, SECONDARY_LIMIT_HIT);
    let [_, share] = three_points_left();
    share.block(RateLimitResource::GraphQl, &hourly("5000", "0"), "exceeded for user ID 1");
    share.record(RateLimitResource::GraphQl, &hourly("5000", "0"));
    assert_eq!(refusal(&share, 1).await.1, BUDGET_SPENT);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_limits_delays_nothing() {
    let limiter = limiter();
    limiter.record(RateLimitResource::GraphQl, &hourly("0", "0"));
    limiter.record(RateLimitResource::GraphQl, &headers(&[("date", DATE)]));
    assert!(starts_after(&limiter, RateLimitResource::GraphQl, 50).await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn secondary_limits_stop_both_apis_and_their_default_wait_doubles() {
    let limiter = limiter();
    limiter.block_all(&headers(&[("date", DATE), ("retry-after", "7")]), 0, "slow down");
    assert_eq!(starts_after(&limiter, RateLimitResource::Rest, 1).await.as_secs(), 7);
    limiter.block_all(&headers(&[("date", DATE)]), 0, "slow down");
    assert_eq!(starts_after(&limiter, RateLimitResource::GraphQl, 1).await.as_secs(), 60);
    limiter.block_all(&headers(&[("date", DATE)]), 1, "slow down");
    assert_eq!(starts_after(&limiter, RateLimitResource::GraphQl, 1).await.as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn no_call_starts_after_the_cut_off() {
    let limiter = limiter();
    limiter.cut_off.set(Some(Instant::now() + Duration::from_secs(5)));
    assert!(starts_after(&limiter, RateLimitResource::Rest, 1).await.is_zero());
    tokio::time::advance(Duration::from_secs(5)).await;
    let stopped = limiter.reserve(RateLimitResource::Rest, 1).await.err();
    assert!(matches!(stopped, Some(Error::Limited { until: None, .. })), "{stopped:?}");
    limiter.cut_off.set(None);
    assert!(starts_after(&limiter, RateLimitResource::Rest, 1).await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_what_the_last_response_said_until_the_reset() {
    let limiter = limiter();
    assert_eq!(limiter.quota(RateLimitResource::GraphQl), None);
    limiter.record(RateLimitResource::Rest, &hourly("5000", "4000"));
    limiter.record(RateLimitResource::GraphQl, &hourly("1000", "250"));
    let reset = DateTime::from_timestamp(RESET.parse().unwrap(), 0).unwrap();
    let quota = Quota { limit: 1_000, remaining: 250, reset };
    assert_eq!(limiter.quota(RateLimitResource::GraphQl), Some(quota));
    tokio::time::advance(Duration::from_secs(12)).await;
    assert_eq!(limiter.quota(RateLimitResource::GraphQl), None, "the limit has reset");
}

#[test]
fn share_left_is_the_smaller_of_both_limits() {
    let limiter = limiter();
    assert_eq!(limiter.share_left(), None);
    limiter.record(RateLimitResource::Rest, &hourly("5000", "4000"));
    limiter.record(RateLimitResource::GraphQl, &hourly("1000", "250"));
    assert_eq!(limiter.share_left(), Some(0.25));
}

#[tokio::test(start_paused = true)]
async fn calls_fail_beyond_the_longest_wait_or_the_share() {
    let impatient =
        RateLimiter::new(Duration::from_secs(5), None, watch::Sender::new(None), CutOff::default());
    impatient.record(RateLimitResource::GraphQl, &hourly("5000", "0"));
    let stopped = impatient.reserve(RateLimitResource::GraphQl, 1).await.err();
    assert!(matches!(stopped, Some(Error::Limited { until: Some(_), .. })), "{stopped:?}");

    let frugal =
        RateLimiter::new(Duration::from_secs(3600), Some(0.6), watch::Sender::new(None), CutOff::default());
    frugal.record(RateLimitResource::GraphQl, &hourly("5000", "2001"));
    assert!(starts_after(&frugal, RateLimitResource::GraphQl, 1).await.is_zero());
    let stopped = frugal.reserve(RateLimitResource::GraphQl, 2).await.err();
    assert!(matches!(stopped, Some(Error::Limited { until: Some(_), .. })), "{stopped:?}");
}

#[tokio::test(start_paused = true)]
async fn the_account_with_most_points_left_is_the_best() {
    let (a, b) = (limiter(), limiter());
    let best =
        |cost| a.forecast(RateLimitResource::GraphQl, cost) < b.forecast(RateLimitResource::GraphQl, cost);
    a.record(RateLimitResource::GraphQl, &hourly("5000", "40"));
    assert!(!best(1), "an unknown account counts as full");
    b.record(RateLimitResource::GraphQl, &hourly("5000", "30"));
    assert!(best(1));
    let _held = a.reserve(RateLimitResource::GraphQl, 20).await.unwrap();
    assert!(!best(1), "reserved points do not count as left");
    assert!(best(35), "a release may help here, but not on the other account");
    assert!(!best(45), "both would wait, and the other has more left");
    b.block_all(&headers(&[("date", DATE), ("retry-after", "3")]), 0, "slow down");
    assert!(best(1), "this one need not wait");
}
