//! Webhooks of the real program: what arrives, what is lost, and what is read again.

use std::io::Write as _;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use gam_model::{Clock, SystemClock};
use gam_tests::answers::assert_matches_reference;
use gam_tests::github::webhooks::{Transit, WEBHOOK_SECRET, deliver, disturbed, open_issues, webhook_events};
use gam_tests::github::world::{Account, Repo, Signature, at};
use gam_tests::github::{Double, World, generated};
use gam_tests::http::{HttpResponse, get, send_request_with_body};
use gam_tests::program::{Sandbox, ServerProcess};
use gam_tests::support::{SINCE, batches, full_range, settled_at, wait_for};
use serde_json::Value;

/// How long to wait for what another process does. A marked repository is read after a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// The query that reads the state of single repositories.
const PROBE_OF_MARKED: &str = "ProbeById";

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, LIMIT, || is_so().then_some(()));
}

/// Returns the open issues that a server lists: repository, number and title.
pub(crate) fn listed(address: &str, org: &str) -> Vec<(String, i64)> {
    let (mut issues, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = get(address, &format!("/api/v1/orgs/{org}/issues?limit=100{cursor}"));
        if answer.status != 200 {
            return issues;
        }
        let page = answer.json();
        let text = |issue: &Value, name: &str| issue[name].as_str().expect("a text").to_owned();
        let of_page = page["issues"].as_array().expect("a list");
        issues.extend(of_page.iter().map(|it| (text(it, "repo"), it["number"].as_i64().expect("a number"))));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    issues.sort();
    issues
}

#[test]
fn webhooks_and_sweeps_end_in_the_state_of_github() {
    let world = generated::world(80);
    let (end, start) = (settled_at(), settled_at() - TimeDelta::days(40));
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let up = ["up", &world.org, "--since", SINCE, "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&up));
    wait_until("the first comparison lists all open issues", || {
        listed(server.address(), &world.org) == open_issues(&world, start)
    });
    double.set_now(end);
    let events = webhook_events(&world, start, end);
    assert!(events.iter().filter(|event| event.event == "issues").count() > 5, "{}", events.len());
    double.create_webhook(server.address());
    // Of the last third, nothing arrives.
    let mut disturbed_events = events;
    let dark = disturbed_events.split_off(disturbed_events.len() * 2 / 3);
    double.deliver_events(server.address(), &disturbed(disturbed_events), SystemClock.now());
    let dark: Vec<_> = dark.into_iter().map(|event| (event, Transit::Dropped)).collect();
    double.deliver_events(server.address(), &dark, SystemClock.now());
    // The next process sweeps at once, before its first round.
    server.stop();
    let server = ServerProcess::start(sandbox.command(&up));
    wait_until("what was lost is read again", || {
        listed(server.address(), &world.org) == open_issues(&world, end)
    });
    wait_until("the round reads what is new", || {
        let answer = get(server.address(), &format!("/api/v1/orgs/{}/metrics", world.org));
        answer.status == 200 && answer.json()["complete_until"].as_str().is_some_and(|it| it > "2024-04-27")
    });
    wait_until("what was read is aggregated", || batches(&sandbox).is_empty());
    assert_matches_reference(server.address(), &world, end, &full_range());
    let log = server.stop();
    assert!(log.contains("webhooks did not arrive"), "{log}");
    assert!(!log.contains(WEBHOOK_SECRET), "{log}");
}

#[test]
fn a_delivery_is_in_the_metrics_before_the_next_round() {
    let world = generated::world(81);
    let (end, start) = (settled_at(), settled_at() - TimeDelta::days(40));
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let args = ["up", &world.org, "--since", SINCE, "--every", "6h", "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    wait_until("the first round ends", || {
        let answer = get(server.address(), &format!("/api/v1/orgs/{}/metrics", world.org));
        let is_collected = answer.status == 200 && answer.json()["complete_until"].is_string();
        is_collected && batches(&sandbox).is_empty()
    });
    double.set_now(end);
    let before = double.count_of(PROBE_OF_MARKED);
    let events = webhook_events(&world, start, end);
    for event in &events {
        assert_eq!(deliver(server.address(), event, Transit::Delivered), 202);
    }
    wait_until("the marked repositories are read", || double.count_of(PROBE_OF_MARKED) > before);
    // Repositories that were marked a little later are read a little later.
    std::thread::sleep(Duration::from_secs(15));
    wait_until("what was read is aggregated", || batches(&sandbox).is_empty());
    std::thread::sleep(Duration::from_secs(2));
    assert_matches_reference(server.address(), &world, end, &full_range());
}

/// Sends the request of a `curl` command.
fn run_curl(command: &str) -> HttpResponse {
    let quoted: Vec<&str> = command.split('\'').collect();
    let values = |option: &str| {
        let options = quoted.iter().zip(&quoted[1..]).step_by(2);
        options.filter(|(before, _)| before.trim_end().ends_with(option)).map(|(_, value)| *value).collect()
    };
    let (headers, bodies): (Vec<&str>, Vec<&str>) = (values("-H"), values("-d"));
    let headers: Vec<(&str, &str)> =
        headers.into_iter().map(|header| header.split_once(": ").expect("a header")).collect();
    let url = command.rsplit(' ').next().and_then(|url| url.strip_prefix("http://")).expect("an address");
    let (address, path) = url.split_once('/').expect("a path");
    send_request_with_body(address, ("POST", &format!("/{path}")), &headers, bodies[0])
}

#[test]
fn a_stranger_delivers_an_issue_to_the_demo_and_claims_it() {
    let sandbox = Sandbox::new();
    let mut server =
        ServerProcess::start(sandbox.command(&["demo", "--days", "3", "--listen", "127.0.0.1:0"]));
    let (deliver, claim) = (server.next_line("  curl"), server.next_line("  curl"));
    let address = server.address().to_owned();
    wait_until("the issue is listed", || listed(&address, "octo-demo") == [("web-app".to_owned(), 1)]);
    assert_eq!(run_curl(&claim).status, 204, "nobody has set the label");
    assert_eq!(run_curl(&deliver.replace("maintainer", "intruder")).status, 401);
    assert_eq!(run_curl(&deliver).status, 202);
    wait_until("the issue is claimed", || {
        let answer = run_curl(&claim);
        answer.status == 200 && answer.json()["task"]["issue"]["number"] == 1
    });
    // The token of the demo ends nothing: this machine still reads without one.
    assert_eq!(get(&address, "/api/v1/orgs").status, 200);
    assert!(get(&address, "/orgs/octo-demo/tasks").text().contains("web-app"), "the page shows it");
    let secret = claim.split("Bearer ").nth(1).and_then(|rest| rest.split('\'').next()).expect("a token");
    let log = server.stop();
    assert!(!log.contains(secret), "{log}");
    // It is no token of the store, so the next server is open, too.
    let server = sandbox.serve();
    assert_eq!(get(server.address(), "/api/v1/orgs").status, 200);
    let later = claim.replace(&address, server.address());
    assert_eq!(run_curl(&later).status, 403, "anybody on this machine reads, and claims nothing");
}

#[test]
fn the_webhook_of_a_repository_is_checked() {
    let world = generated::world(82);
    let now = settled_at();
    let double = Double::start(world.clone(), now);
    let sandbox = Sandbox::with_github(&double);
    let check = |args: &[&str]| {
        let args = [&["hook", "check", &world.org, "--format", "json"], args].concat();
        let run = sandbox.run(&args);
        (run.status, serde_json::from_slice::<Value>(&run.stdout).unwrap_or_default()["hooks"].clone())
    };
    let name = world.repos.iter().find(|it| it.exists(now) && !it.is_fork && !it.is_blocked);
    let name = name.expect("a repository").name(now).to_owned();
    assert_eq!(check(&[]).0, Some(1), "there is no webhook");
    double.create_repo_webhook("metrics.example.com", &name);
    for args in [&["--repo", &*name][..], &[]] {
        let (status, hooks) = check(args);
        let id = format!("repo/{}/{name}/1", world.org).to_lowercase();
        assert_eq!((status, hooks[0]["id"].as_str()), (Some(0), Some(&*id)), "{hooks}");
        assert_eq!(hooks[0]["problems"].as_array().map(Vec::len), Some(0), "{hooks}");
    }
}

/// Prints the median, and fails if a delivery never reaches the answers. The time depends on the machine.
#[test]
fn the_time_from_a_delivery_to_the_answer_is_measured() {
    const REPOS: i64 = 5;
    let (start, end) = (settled_at() - TimeDelta::days(1), settled_at());
    let ann = Account::user("ann", 7);
    let author = Signature::new("Ann", "ann@example.com", Some(ann.clone()));
    let mut world = World::new("fresh-works");
    world.members = vec![ann];
    for id in 1..=REPOS {
        let mut repo = Repo::new(id, &format!("repo-{id}"), at("2024-01-01"));
        let first = repo.commit(&[], start - TimeDelta::days(1), &author, Some([1, 0, 1]));
        repo.push(start - TimeDelta::days(1), &first);
        let second = repo.commit(&[&first], end - TimeDelta::hours(1), &author, Some([1, 0, 1]));
        repo.push(end - TimeDelta::hours(1), &second);
        world.repos.push(repo);
    }
    let double = Double::start(world.clone(), start);
    let sandbox = Sandbox::with_github(&double).with_variable("GITHUB_WEBHOOK_SECRET", WEBHOOK_SECRET);
    let args = ["up", &world.org, "--since", SINCE, "--every", "6h", "--listen", "127.0.0.1:0"];
    let server = ServerProcess::start(sandbox.command(&args));
    let commits = |id: i64| {
        let path =
            format!("/api/v1/orgs/fresh-works/repos/repo-{id}/metrics?since=2024-01-01&until=2024-06-01");
        get(server.address(), &path).json()["metrics"]["commits"].as_i64()
    };
    wait_until("the first round ends", || (1..=REPOS).all(|id| commits(id) == Some(1)));
    double.set_now(end);
    let mut delivered = Vec::new();
    for event in webhook_events(&world, start, end) {
        assert_eq!(deliver(server.address(), &event, Transit::Delivered), 202);
        delivered.push((event.repo_id, Instant::now()));
        std::thread::sleep(Duration::from_secs(5));
    }
    assert_eq!(delivered.len() as i64, REPOS);
    let mut seconds = Vec::new();
    for (id, at) in delivered {
        wait_until("the answer has the commit", || commits(id) == Some(2));
        seconds.push(at.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    writeln!(std::io::stdout(), "from a delivery to the answer: median {median:.0} s of {seconds:.0?}")
        .expect("stdout is open");
}
