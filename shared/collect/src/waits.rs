//! Reports waits for GitHub's rate limits while a run is going on. The client waits in
//! `gam_github`'s `RateLimiter::reserve`.

use gam_github::Client;

use crate::{CollectObserver, CollectProgress};

/// Runs `work`, and reports to the observer whenever the client waits for a limit to reset.
pub(crate) async fn with_wait_reports<T>(
    github: &Client,
    observer: &dyn CollectObserver,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        result = work => result,
        () = report_waits(github, observer) => unreachable!("reporting waits never ends"),
    }
}

/// Reports each wait once. Never ends.
async fn report_waits(github: &Client, observer: &dyn CollectObserver) {
    let mut waits = github.rate_limit_waits();
    // The client may be waiting already.
    waits.mark_changed();
    let mut reported_until = None;
    while waits.changed().await.is_ok() {
        let wait = waits.borrow_and_update().clone();
        if let Some(wait) = wait
            && reported_until != Some(wait.until)
        {
            reported_until = Some(wait.until);
            observer.notice(CollectProgress::Waiting { until: wait.until, why: wait.why });
        }
    }
    std::future::pending().await
}
