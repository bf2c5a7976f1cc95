//! Notifications of the real program: what happens becomes a message in a channel.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gam_tests::channels::ChannelDouble;
use gam_tests::github::{Double, generated};
use gam_tests::http::send_request;
use gam_tests::program::{Sandbox, run_to_end};
use gam_tests::support::{SINCE, settled_at};
use serde_json::Value;

use crate::common::issues::store_tasks;
use sha2::{Digest, Sha256};

const ORG: &str = "octo-demo";

/// A second implementation of HMAC-SHA256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |byte: u8| block.map(|it| it ^ byte).to_vec();
    let inner = Sha256::digest([padded(0x36), message.to_vec()].concat());
    Sha256::digest([padded(0x5c), inner.to_vec()].concat()).to_vec()
}

/// A task that fails becomes a signed message, in spite of a service that is busy at first. No secret is logged.
#[test]
fn a_failed_task_becomes_one_message_in_each_channel() {
    let (hook, slack) = (ChannelDouble::start(&[429, 503]), ChannelDouble::start(&[]));
    let key = [7_u8; 32];
    let sandbox = Sandbox::new()
        .with_variable("NOTIFY_HOOK_URL", &hook.url("/hook/hunter2"))
        .with_variable("NOTIFY_HOOK_KEY", &format!("whsec_{}", STANDARD.encode(key)))
        .with_variable("NOTIFY_SLACK_URL", &slack.url("/services/hunter2"))
        .with_variable("RUST_LOG", "debug");
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let settings = "[notify]\nbase_url = \"https://metrics.example.com\"\n[[notify.channels]]\nname = \"hook\"\ntype = \"webhook\"\n\
                    url = \"NOTIFY_HOOK_URL\"\nsigning_secrets = [\"NOTIFY_HOOK_KEY\"]\nwait_seconds = 0\ninterval_minutes = 0\n\
                    [[notify.channels]]\nname = \"slack\"\ntype = \"slack\"\nurl = \"NOTIFY_SLACK_URL\"\nwait_seconds = 0\n\
                    [[notify.rules]]\nkinds = [\"task_failed\"]\nchannels = [\"hook\", \"slack\"]\n";
    std::fs::write(sandbox.dir().join("notify.toml"), settings).expect("a file");
    sandbox.run(&["config", "set", "notify.toml", ORG]).expect_status(0);
    store_tasks(&sandbox.data_dir().join("store.sqlite"), 1);
    let token = sandbox.run(&["token", "new", "worker", "--role", "worker"]).expect_status(0).text();
    let server = sandbox.serve();
    let api = format!("http://{}", server.address());
    let mut worker =
        sandbox.command(&["worker", "--api", &api, "--run", "exit 7", "--once", "--name", "ann"]);
    worker.env("GITHUB_METRICS_TOKEN", token.trim());
    run_to_end(worker).expect_status(1);

    let requests = hook.wait_for(3);
    let ids: Vec<&str> = requests.iter().map(|request| request.header("webhook-id")).collect();
    assert!(
        ids[0].len() > 20 && ids.iter().all(|id| *id == ids[0]),
        "the id is that of the message: {ids:?}"
    );
    let last = &requests[2];
    assert_eq!(last.path, "/hook/hunter2");
    let signed =
        [ids[0].as_bytes(), b".", last.header("webhook-timestamp").as_bytes(), b".", &last.body].concat();
    assert_eq!(last.header("webhook-signature"), format!("v1,{}", STANDARD.encode(hmac(&key, &signed))));
    let body = last.json();
    assert_eq!((&body["type"], &body["severity"]), (&"notifications".into(), &"warning".into()), "{body}");
    let shown = &body["data"]["notifications"][0];
    assert_eq!(
        (&shown["kind"], &shown["repo"], &shown["number"]),
        (&"task_failed".into(), &"web-app".into(), &1.into())
    );
    assert_eq!(shown["link"], "https://metrics.example.com/orgs/octo-demo/tasks");
    let slack = slack.wait_for(1)[0].json();
    assert!(
        slack["text"].as_str().expect("a text").starts_with("[octo-demo] Task failed: issue web-app#1"),
        "{slack}"
    );

    let listed = sandbox.run(&["notify", "list", "--format", "json"]).expect_status(0).json();
    assert_eq!(listed["channels"].as_array().map(Vec::len), Some(2), "{listed}");
    assert!(listed["channels"][0]["problem"].is_null(), "{listed}");
    sandbox.run(&["notify", "test", "hook"]).expect_status(0);
    assert_eq!(hook.wait_for(4)[3].json()["type"], "test");
    let history = sandbox.run(&["notify", "history", ORG]).expect_status(0).text();
    assert_eq!(history.matches("\tsent\t[octo-demo] Task failed").count(), 2, "{history}");
    let viewer = sandbox.run(&["token", "new", "viewer", "--role", "viewer"]).expect_status(0).text();
    let authorization = format!("Bearer {}", viewer.trim());
    let target = format!("/orgs/{ORG}/notifications?lang=ja");
    let page = send_request(server.address(), "GET", &target, &[("authorization", &authorization)]).text();
    for text in ["<h1>通知</h1>", "slack", "task_failed", "送信済み", "[octo-demo] Task failed"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let log = server.stop();
    assert!(log.contains("message sent"), "the log is complete: {log}");
    for text in [&log, &history, &listed.to_string(), &page] {
        assert!(!text.contains("hunter2") && !text.contains("whsec_"), "{text}");
    }
}

/// What a channel lacks is said with the name, and the value is never shown.
#[test]
fn a_channel_without_its_secret_says_which() {
    let sandbox = Sandbox::new().with_variable("NOTIFY_BAD", "ftp://hunter2.example.com");
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let settings = "[[notify.channels]]\nname = \"ops\"\ntype = \"discord\"\nurl = \"NOTIFY_GONE\"\n\
                    [[notify.channels]]\nname = \"bad\"\ntype = \"slack\"\nurl = \"NOTIFY_BAD\"\n";
    std::fs::write(sandbox.dir().join("notify.toml"), settings).expect("a file");
    sandbox.run(&["config", "set", "notify.toml", ORG]).expect_status(0);
    let error = sandbox.run(&["notify", "test", "ops"]).expect_error(1);
    assert!(error.contains("NOTIFY_GONE is not set"), "{error}");
    let error = sandbox.run(&["notify", "test", "bad"]).expect_error(1);
    assert!(error.contains("https://") && !error.contains("hunter2"), "{error}");
    let error = sandbox.run(&["notify", "test", "opps"]).expect_error(2);
    assert!(error.contains("the channels are ops, bad"), "{error}");
    let doctor = sandbox.run(&["doctor", "--format", "json"]);
    assert!(doctor.text().contains("NOTIFY_GONE is not set"), "{}", doctor.text());
}

/// The numbers of a digest are those of the API, and every link answers.
#[test]
fn the_numbers_of_a_digest_are_those_of_the_api() {
    let slack = ChannelDouble::start(&[]);
    let sandbox = Sandbox::new().with_variable("NOTIFY_SLACK", &slack.url("/x"));
    sandbox.run(&["demo", "--no-serve", "--days", "60"]).expect_status(0);
    let settings = "[notify]\nlanguage = \"ja\"\nbase_url = \"https://m.example.com\"\n[[notify.channels]]\nname = \"team\"\ntype = \
                    \"slack\"\nurl = \"NOTIFY_SLACK\"\n";
    std::fs::write(sandbox.dir().join("notify.toml"), settings).expect("a file");
    sandbox.run(&["config", "set", "notify.toml", ORG]).expect_status(0);
    let server = sandbox.serve();
    let mut compared = 0;
    for subject in [&[][..], &["--repo", "web-app"], &["--repo", "web-app", "--repo", "gone"]] {
        let args = [&["notify", "digest", ORG, "--format", "json", "--send", "team"], subject].concat();
        let digest = sandbox.run(&args).expect_status(0).json();
        let path = match subject {
            [] => format!("/api/v1/orgs/{ORG}"),
            _ => format!("/api/v1/orgs/{ORG}/repos/web-app"),
        };
        let (since, until) =
            (digest["since"].as_str().expect("a day"), digest["until"].as_str().expect("a day"));
        let target = format!("{path}/metrics?since={since}&until={until}&compare=previous");
        let answer = send_request(server.address(), "GET", &target, &[]).json();
        for number in digest["numbers"].as_array().expect("numbers") {
            let metric = number["metric"].as_str().expect("a name");
            let expected = |values: &Value| {
                let value = &values["metrics"][metric];
                if value.is_object() { value["p50"].as_f64() } else { value.as_f64() }
            };
            assert_eq!(number["value"].as_f64(), expected(&answer), "{metric}: {answer}");
            assert_eq!(number["previous"].as_f64(), expected(&answer["previous"]), "{metric}: {answer}");
            compared += 1;
        }
        let links = [&digest["numbers"], &digest["notes"]].into_iter().filter_map(Value::as_array).flatten();
        for link in links.map(|it| it["link"].as_str().expect("a link")) {
            let page = send_request(server.address(), "GET", link, &[("accept", "text/html")]);
            assert_eq!(page.status, 200, "{link}");
        }
    }
    assert_eq!(compared, 27);
    let sent = slack.wait_for(3)[0].json().to_string();
    assert!(
        sent.contains("マージされたプルリクエスト")
            && sent.contains("https://m.example.com/orgs/octo-demo?since="),
        "{sent}"
    );
}

/// The chart of a digest is a file of a message in Discord, with texts in the language of the channel.
#[test]
fn a_digest_has_a_picture_where_the_channel_shows_one() {
    let discord = ChannelDouble::start(&[]);
    let sandbox = Sandbox::new().with_variable("NOTIFY_DISCORD", &discord.url("/x"));
    sandbox.run(&["demo", "--no-serve", "--days", "60"]).expect_status(0);
    let mut sizes = Vec::new();
    for (at, language) in ["en", "ja"].into_iter().enumerate() {
        let settings = format!(
            "[[notify.channels]]\nname = \"team\"\ntype = \"discord\"\nlanguage = \"{language}\"\nurl = \"NOTIFY_DISCORD\"\n"
        );
        std::fs::write(sandbox.dir().join("notify.toml"), settings).expect("a file");
        sandbox.run(&["config", "set", "notify.toml", ORG]).expect_status(0);
        sandbox.run(&["notify", "digest", ORG, "--send", "team"]).expect_status(0);
        let request = discord.wait_for(at + 1)[at].clone();
        let boundary = request.header("content-type").split_once("boundary=").expect("a form").1.to_owned();
        let png = part(&request.body, &boundary, "files[0]");
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "{} bytes", png.len());
        let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((size(16), size(20)), (1_280, 474), "the width and the height of the picture");
        let message: Value =
            serde_json::from_slice(&part(&request.body, &boundary, "payload_json")).expect("JSON");
        assert_eq!(message["embeds"][0]["image"]["url"], "attachment://chart.png", "{message}");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("digest-{language}.png"));
        std::fs::write(path, &png).expect("the picture is kept for people");
        sizes.push(png.len());
    }
    assert!(sizes.iter().all(|size| (2_000..200_000).contains(size)) && sizes[0] != sizes[1], "{sizes:?}");
}

/// Returns the content of a part of a form.
fn part(body: &[u8], boundary: &str, name: &str) -> Vec<u8> {
    let find = |from: usize, text: &[u8]| {
        let found = body[from..].windows(text.len()).position(|window| window == text);
        from + found.unwrap_or_else(|| panic!("no {:?}", String::from_utf8_lossy(text)))
    };
    let start = find(find(0, format!("name=\"{name}\"").as_bytes()), b"\r\n\r\n") + 4;
    body[start..find(start, format!("\r\n--{boundary}").as_bytes())].to_vec()
}

/// The font of pictures has every character that a chart draws. It is part of the program, so nothing else could draw it.
#[test]
fn the_font_of_pictures_has_the_characters_of_charts() {
    const CHARACTERS: &str = include_str!("../../../shared/notify-ports/fonts/characters.txt");
    let sandbox = Sandbox::new();
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let server = sandbox.serve();
    let metrics = send_request(server.address(), "GET", "/api/v1/metrics", &[]).json();
    let metrics = metrics["metrics"].as_array().expect("metrics").clone();
    assert!(metrics.len() > 10, "{metrics:?}");
    let mut drawn = 0;
    for name in metrics.iter().map(|metric| metric["name"].as_str().expect("a name")) {
        for query in ["lang=en", "lang=ja", "lang=ja&since=2020-01-01&until=2020-02-01"] {
            let target = format!("/api/v1/orgs/{ORG}/charts/{name}.svg?{query}");
            let svg = send_request(server.address(), "GET", &target, &[]);
            assert_eq!(svg.status, 200, "{target}");
            let svg = svg.text();
            let texts = svg.split("<text").skip(1).filter_map(|text| text.split(['>', '<']).nth(1));
            for character in texts.flat_map(str::chars).filter(|character| *character != '\n') {
                assert!(CHARACTERS.contains(character), "{character:?} of {target}: see fonts/README.md");
                drawn += 1;
            }
        }
    }
    assert!(drawn > 1_000, "{drawn}");
}

/// `/metrics` has every number that the alert rules and the dashboard use.
#[test]
fn the_dashboard_and_the_alerts_use_numbers_that_exist() {
    const RULES: &str = include_str!("../../../infra/prometheus/alerts.yml");
    const DASHBOARD: &str = include_str!("../../../infra/grafana/github-metrics.json");
    /// Only a collection from GitHub has these.
    const OF_RUNS: [&str; 3] =
        ["gam_collection_lag_seconds", "gam_github_limit", "gam_github_limit_remaining"];
    let slack = ChannelDouble::start(&[]);
    let sandbox = Sandbox::new().with_variable("NOTIFY_SLACK", &slack.url("/x"));
    sandbox.run(&["demo", "--no-serve", "--days", "3"]).expect_status(0);
    let settings =
        "[[notify.channels]]\nname = \"team\"\ntype = \"slack\"\nurl = \"NOTIFY_SLACK\"\nwait_seconds = 0\n";
    std::fs::write(sandbox.dir().join("notify.toml"), settings).expect("a file");
    sandbox.run(&["config", "set", "notify.toml", ORG]).expect_status(0);
    store_tasks(&sandbox.data_dir().join("store.sqlite"), 1);
    let token = sandbox.run(&["token", "new", "worker", "--role", "worker"]).expect_status(0).text();
    let viewer = sandbox.run(&["token", "new", "viewer", "--role", "viewer"]).expect_status(0).text();
    let scoped =
        sandbox.run(&["token", "new", "part", "--role", "viewer", "--org", ORG]).expect_status(0).text();
    let server = sandbox.serve();
    let api = format!("http://{}", server.address());
    let mut worker =
        sandbox.command(&["worker", "--api", &api, "--run", "exit 7", "--once", "--name", "ann"]);
    worker.env("GITHUB_METRICS_TOKEN", token.trim());
    run_to_end(worker).expect_status(1);
    slack.wait_for(1);

    let metrics = |token: &str| {
        let authorization = format!("Bearer {}", token.trim());
        send_request(server.address(), "GET", "/metrics", &[("authorization", &authorization)])
    };
    assert_eq!(send_request(server.address(), "GET", "/metrics", &[]).status, 401);
    assert_eq!(metrics(&scoped).status, 403, "the numbers are about all organizations");
    let answer = metrics(&viewer);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    let is_of_name = |character: char| character.is_ascii_lowercase() || character == '_';
    let mut found = 0;
    for name in RULES.split(|it| !is_of_name(it)).chain(DASHBOARD.split(|it| !is_of_name(it))) {
        if name.starts_with("gam_") && !OF_RUNS.contains(&name) {
            assert!(text.contains(&format!("\n{name}")), "{name} is missing:\n{text}");
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
    assert!(text.contains("route=\"/api/v1/request-task\""), "{text}");
    assert!(
        text.lines().all(|line| line.starts_with('#') || line.is_empty() || line.contains(' ')),
        "{text}"
    );
}

/// Cron starts the commands, and a server shows how they went.
#[test]
fn a_server_knows_the_runs_of_other_processes() {
    let world = generated::world(30);
    let double = Double::start(world.clone(), settled_at());
    let sandbox = Sandbox::with_github(&double);
    sandbox.run(&["collect", &world.org, "--since", SINCE]).expect_status(0);
    sandbox.run(&["aggregate"]).expect_status(0);
    let server = sandbox.serve();
    let key = world.org.to_lowercase();
    let shows = |name: &str, job: &str, value: &str| {
        let text = send_request(server.address(), "GET", "/metrics", &[]).text();
        let line = format!("{name}{{org=\"{key}\",job=\"{job}\"}} {value}");
        assert!(text.lines().any(|it| it.starts_with(&line)), "{line}:\n{text}");
    };
    for job in ["collect", "aggregate"] {
        shows("gam_run_failures_in_a_row", job, "0");
        shows("gam_run_seconds", job, "");
    }
    for failures in ["1", "2", "3"] {
        let mut refused = sandbox.command(&["collect", &world.org]);
        refused.env("GITHUB_TOKEN", "ghp_another0123456789");
        run_to_end(refused).expect_status(1);
        shows("gam_run_failures_in_a_row", "collect", failures);
    }
    sandbox.run(&["collect", &world.org]).expect_status(0);
    shows("gam_run_failures_in_a_row", "collect", "0");
}
