//! What a collection costs, by repository.

use std::collections::BTreeMap;
use std::time::Duration;

use gam_github::Usage;
use tokio::time::Instant;

/// What the read tasks of a repository cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoCost {
    /// The repository's name.
    pub repo: String,
    /// Requests, points, retries and bytes.
    pub usage: Usage,
    /// Number of events written.
    pub events: usize,
    /// Time from the start of the first read task to the end of the last.
    pub took: Duration,
}

/// The costs of read tasks that run in parallel.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// The cost of each repository and the start of its first read task, by id.
    repos: BTreeMap<i64, (RepoCost, Instant)>,
}

impl Costs {
    /// Adds a read task that began at `begun` and has just ended.
    pub(crate) fn add(&mut self, repo_id: i64, repo: &str, usage: Usage, begun: Instant) {
        let entry = self.repos.entry(repo_id);
        let (cost, first) =
            entry.or_insert_with(|| (RepoCost { repo: repo.to_owned(), ..RepoCost::default() }, begun));
        *first = begun.min(*first);
        cost.usage += usage;
        cost.took = first.elapsed();
    }

    /// Returns the costs by name. `events` is the number of events of each repository, by id.
    pub(crate) fn into_repos(self, events: &BTreeMap<i64, usize>) -> Vec<RepoCost> {
        let with_events = |(id, (cost, _)): (i64, (RepoCost, Instant))| RepoCost {
            events: events.get(&id).copied().unwrap_or_default(),
            ..cost
        };
        let mut repos: Vec<RepoCost> = self.repos.into_iter().map(with_events).collect();
        repos.sort_by(|a, b| a.repo.cmp(&b.repo));
        repos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn parallel_tasks_add_up_in_usage_but_not_in_time() {
        let mut costs = Costs::default();
        let begun = Instant::now();
        let usage = Usage { requests: 2, points: 3, retries: 1, bytes: 10 };
        tokio::time::advance(Duration::from_secs(4)).await;
        costs.add(7, "site", usage, begun);
        costs.add(7, "site", usage, begun + Duration::from_secs(1));
        costs.add(3, "zoo", Usage::default(), Instant::now());
        let repos = costs.into_repos(&BTreeMap::from([(7, 5)]));
        assert_eq!(repos.iter().map(|cost| cost.repo.as_str()).collect::<Vec<_>>(), ["site", "zoo"]);
        assert_eq!((repos[0].usage.requests, repos[0].usage.bytes, repos[0].events), (4, 20, 5));
        assert_eq!(repos[0].took, Duration::from_secs(4));
    }
}
