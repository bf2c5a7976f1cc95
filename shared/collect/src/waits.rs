//! Telling that a run waits for GitHub's limits.

use gam_github::Client;

use crate::{CollectObserver, CollectProgress};

/// Does the work, and tells the observer whenever the client waits for a limit to be reset meanwhile.
pub(crate) async fn telling_waits<T>(
    github: &Client,
    observer: &dyn CollectObserver,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        done = work => done,
        () = tell_waits(github, observer) => unreachable!("telling of waits never ends"),
    }
}

/// Tells the observer whenever the client waits for a limit. Never ends.
async fn tell_waits(github: &Client, observer: &dyn CollectObserver) {
    let mut waits = github.rate_limit_waits();
    // It may be waiting already.
    waits.mark_changed();
    let mut told = None;
    while waits.changed().await.is_ok() {
        let wait = waits.borrow_and_update().clone();
        if let Some(wait) = wait
            && told != Some(wait.until)
        {
            told = Some(wait.until);
            observer.notice(CollectProgress::Waiting { until: wait.until, why: wait.why });
        }
    }
    std::future::pending().await
}
