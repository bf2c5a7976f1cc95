//! The real program is killed with SIGKILL at each request that writes to GitHub, and at random moments: each action is done
//! at most once, and none is lost.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use fastrand::Rng;
use gam_tests::action_host::{ActionHost, action_of, wait_until};
use gam_tests::github::writes::WriteFault;
use serde_json::{Value, json};

/// How a request that writes ends when the server dies during it.
const DEATHS: [WriteFault; 2] = [WriteFault::SilenceBefore, WriteFault::SilenceAfter];

/// A request of a client, and the end of the path of GitHub's API at which the server dies.
struct KilledRequest {
    key: String,
    path: &'static str,
    body: Value,
    dies_at: String,
    death: WriteFault,
}

impl KilledRequest {
    fn all() -> Vec<Self> {
        let requests = |number: usize| {
            let comment = json!({ "repository": "site", "number": 300 + number, "body": "Done." });
            let issue = json!({ "repository": "site", "title": "Broken", "comment": "Look." });
            let pull = json!({ "repository": "site", "branch": format!("branch-{number}") });
            let merge = |pull: usize| json!({ "repository": "site", "pr_number": pull });
            [
                ("/create-issue", issue.clone(), "/issues".to_owned()),
                ("/create-issue", issue, "/comments".to_owned()),
                ("/create-comment", comment, format!("/issues/{}/comments", 300 + number)),
                ("/create-pr", pull, "/pulls".to_owned()),
                ("/approve-merge-pr", merge(10 + number), format!("/pulls/{}/reviews", 10 + number)),
                ("/approve-merge-pr", merge(20 + number), format!("/pulls/{}/merge-async", 20 + number)),
            ]
        };
        let mut all = Vec::new();
        for (number, death) in DEATHS.into_iter().enumerate() {
            for (path, body, dies_at) in requests(number) {
                let key = format!("key-{}", all.len());
                all.push(KilledRequest { key, path, body, dies_at, death });
            }
        }
        all
    }

    /// Returns whether GitHub shows what became of the request. A merge that is not done can be sent again.
    fn leaves_a_trace(&self) -> bool {
        self.death == WriteFault::SilenceAfter || self.dies_at.ends_with("/merge-async")
    }
}

/// Adds the branches and pull requests that the requests are about.
fn prepare(host: &ActionHost) {
    for (number, digit) in ['b', 'c'].into_iter().enumerate() {
        host.github.add_branch(&format!("branch-{number}"), digit, "2026-02-01T00:00:00Z");
        for first in [10, 20] {
            let pull = first + number as i64;
            host.github.add_pull(pull, &format!("change-{pull}"), digit);
        }
    }
}

/// Kills the server at each request that writes, before and after its effect.
pub(crate) fn kill_at_each_write(mut host: ActionHost) {
    let operator = host.token("operator", "operator");
    prepare(&host);
    let requests = KilledRequest::all();
    for request in &requests {
        let silences = host.github.silence_count();
        host.github.fail_next(&request.dies_at, request.death);
        let connection = host.start_post(&operator, request.path, &request.body, &request.key);
        wait_until(|| host.github.silence_count() > silences);
        host.kill_and_restart();
        drop(connection);
    }
    // The clients do not know what happened, and repeat their requests.
    let mut ids = BTreeMap::new();
    for request in &requests {
        let key = [("idempotency-key", request.key.as_str())];
        let answer = host.post(&operator, request.path, &request.body, &key);
        assert!(matches!(answer.status, 200..=202), "{}", answer.text());
        ids.insert(&request.key, action_of(&answer));
    }
    for request in &requests {
        let id = &ids[&request.key];
        match request.leaves_a_trace() {
            true => {
                let action = host.wait_for(&operator, id, &["succeeded", "failed", "unknown"]);
                assert_eq!(action["state"], "succeeded", "{action}");
            }
            // GitHub's lists may lag, so it is looked for longer than a test lasts.
            false => {
                let action = host.wait_for(&operator, id, &["checking", "succeeded", "failed"]);
                assert_eq!(action["state"], "checking", "{action}");
            }
        }
    }
    // Died before the effect: an issue without its comment, and a merge with its review. After it: everything.
    assert_eq!(host.github.effects(), [3, 3, 1, 3, 3]);
    assert_done_once(&host);
    let listed =
        host.sandbox.run(&["action", "list", "--org", "acme", "--format", "json"]).expect_status(0).json();
    assert_eq!(listed["actions"].as_array().map(Vec::len), Some(requests.len()), "a key is an action");
}

/// Kills the server at random moments while it works.
pub(crate) fn kill_at_random_moments(mut host: ActionHost, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let operator = host.token("operator", "operator");
    prepare(&host);
    let requests = KilledRequest::all();
    for request in &requests {
        let connection = host.start_post(&operator, request.path, &request.body, &request.key);
        let count = host.github.request_count() + rng.usize(1..6);
        // The pace may hold it back.
        let patience = Instant::now() + Duration::from_secs(4);
        wait_until(|| host.github.request_count() >= count || Instant::now() > patience);
        std::thread::sleep(Duration::from_millis(rng.u64(..8)));
        host.kill_and_restart();
        drop(connection);
    }
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(rng.u64(..3_000)));
        host.kill_and_restart();
    }
    let repeat =
        |request: &KilledRequest| host.start_post(&operator, request.path, &request.body, &request.key);
    let repeated: Vec<TcpStream> = requests.iter().map(repeat).collect();
    let mut states = BTreeMap::new();
    for request in &requests {
        let key = [("idempotency-key", request.key.as_str())];
        let answer = host.post(&operator, request.path, &request.body, &key);
        let id = action_of(&answer);
        let action = host.wait_for(&operator, &id, &["succeeded", "failed", "checking", "unknown"]);
        assert_ne!(action["state"], "failed", "{action}");
        *states.entry(action["state"].to_string()).or_insert(0) += 1;
    }
    drop(repeated);
    assert_done_once(&host);
    let effects: usize = host.github.effects().iter().sum();
    assert!(effects >= requests.len() / 2, "{effects} effects, {states:?}");
}

/// Checks that each text and each merge that the service made exists once.
pub(crate) fn assert_done_once(host: &ActionHost) {
    for texts in host.github.own_texts() {
        let mut markers: Vec<&str> = texts.iter().filter_map(|text| text.lines().last()).collect();
        assert!(markers.iter().all(|marker| marker.contains("github-metrics:action:")), "{markers:?}");
        let count = markers.len();
        markers.sort_unstable();
        markers.dedup();
        assert_eq!(markers.len(), count, "an action did something twice: {markers:?}");
    }
    let merges = host.github.merges();
    let mut numbers: Vec<String> = merges.iter().map(|merge| merge["number"].to_string()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), merges.len(), "{merges:?}");
}
