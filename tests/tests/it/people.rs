//! Who is credited: bots, agents, deleted accounts, authors without an account, and commits that lie in several
//! repositories.

use gam_tests::answers::{assert_matches_reference, assert_same_answers};
use gam_tests::github::Double;
use gam_tests::github::world::{
    Account, Deployment, PullRequest, Release, ReleaseChange, Repo, Review, Signature, Thread, Time, World,
    at,
};
use gam_tests::http::get;
use gam_tests::program::Sandbox;
use gam_tests::support::{SINCE, collect_and_aggregate, fetch_answers, full_range};
use serde_json::{Value, json};

const BEGIN: &str = "2024-01-01";

fn ann() -> Option<Account> {
    Some(Account::user("Ann", 11))
}

fn signed_by(account: Option<Account>) -> Signature {
    Signature::new("somebody", "somebody@work.example", account)
}

fn world_of(change: impl FnOnce(&mut Repo)) -> World {
    let mut world = World::new("acme");
    let mut repo = Repo::new(7, "site", at(BEGIN));
    change(&mut repo);
    world.repos.push(repo);
    world
}

/// Collects the world in one backfill, and compares all answers with the reference.
fn collected(world: &World, now: Time) -> (Double, Sandbox) {
    let double = Double::start(world.clone(), now);
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, &world.org);
    assert_matches_reference(sandbox.serve().address(), world, now, &full_range());
    (double, sandbox)
}

/// Returns an answer of the API to a query of everything.
fn answer(sandbox: &Sandbox, path_and_query: &str) -> Value {
    let server = sandbox.serve();
    let separator = if path_and_query.contains('?') { '&' } else { '?' };
    let target = format!("/api/v1/orgs/acme/{path_and_query}{separator}since={SINCE}&until=2024-05-01");
    let response = get(server.address(), &target);
    assert_eq!(response.status, 200, "{target}: {}", response.text());
    response.json()
}

/// Returns the members that a listing has, with their kinds.
fn listed(sandbox: &Sandbox, query: &str) -> Vec<String> {
    let page = answer(sandbox, &format!("members?{query}"));
    let entries = page["members"].as_array().expect("members").clone();
    entries.iter().map(|entry| format!("{} {}", entry["member"], entry["kind"]).replace('"', "")).collect()
}

fn deployment(id: i64, creator: Option<Account>, state: &'static str) -> Deployment {
    Deployment {
        id,
        environment: "production".to_owned(),
        creator,
        created_at: at("2024-01-05"),
        statuses: vec![(at("2024-01-05T01:00:00Z"), state)],
    }
}

#[test]
fn deliveries_count_whoever_made_them() {
    let bot = || Some(Account::bot("deployer", 4));
    let world = world_of(|repo| {
        repo.deployments.push(deployment(1, bot(), "SUCCESS"));
        repo.deployments.push(deployment(2, None, "SUCCESS"));
        repo.deployments.push(deployment(3, ann(), "SUCCESS"));
        repo.deployments.push(deployment(4, bot(), "FAILURE"));
        for (id, author) in [(1, bot()), (2, None)] {
            repo.releases.push(Release {
                id,
                tag: format!("v{id}"),
                author,
                created_at: at("2024-01-06"),
                changes: vec![(at("2024-01-06"), ReleaseChange::Published)],
            });
        }
        repo.issues.push(Thread::new(1, bot(), at("2024-01-02")));
        repo.issues.push(Thread::new(2, None, at("2024-01-02")));
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    let numbers = |bots: &str| {
        let metrics = answer(&sandbox, &format!("metrics?bots={bots}"))["metrics"].clone();
        ["deploys", "deploy_failures", "releases", "issues_opened", "active_members", "total_members"]
            .map(|metric| metrics[metric].as_u64().expect("a count"))
    };
    assert_eq!(numbers("auto"), [3, 1, 2, 1, 2, 2]);
    assert_eq!(numbers("exclude"), [1, 0, 0, 1, 2, 2]);
    assert_eq!(numbers("include"), [3, 1, 2, 2, 3, 3]);
    assert_eq!(numbers("only"), [1, 1, 1, 1, 1, 1]);
    assert_eq!(answer(&sandbox, "metrics")["bots"], "auto", "the default");
    assert_eq!(listed(&sandbox, "bots=auto"), ["Ann user", "ghost ghost"]);
    assert_eq!(listed(&sandbox, "bots=include"), ["Ann user", "deployer[bot] bot", "ghost ghost"]);
    let bot = answer(&sandbox, "members/deployer%5Bbot%5D/metrics")["metrics"].clone();
    assert_eq!([&bot["deploys"], &bot["issues_opened"], &bot["active_members"]], [&json!(1); 3]);
    assert_eq!(answer(&sandbox, "members/ghost/metrics")["metrics"]["releases"], 0);
    let server = sandbox.serve();
    assert_eq!(get(server.address(), "/api/v1/orgs/acme/members/unknown/metrics").status, 404);
}

#[test]
fn all_ghosts_are_one_member_that_does_not_review_itself() {
    let world = world_of(|repo| {
        let mut of_ghost = PullRequest::new(Thread::new(1, None, at("2024-01-02")));
        of_ghost.reviews.push(Review::new(1, None, at("2024-01-03")));
        let mut of_ann = PullRequest::new(Thread::new(2, ann(), at("2024-01-02")));
        of_ann.reviews.push(Review::new(2, None, at("2024-01-03")));
        repo.pulls.extend([of_ghost, of_ann]);
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    assert_eq!(answer(&sandbox, "members/ghost/metrics")["metrics"]["reviews"], 1);
    assert_eq!(listed(&sandbox, ""), ["Ann user", "ghost ghost"]);
}

#[test]
fn copilot_is_one_bot_however_it_shows() {
    let world = world_of(|repo| {
        let shapes = [
            Signature::new("copilot-swe-agent[bot]", "198982749+Copilot@users.noreply.github.com", None),
            Signature::new("Copilot", "223556219+Copilot@users.noreply.github.com", None),
            signed_by(Some(Account::user("Copilot", 175_728_472))),
            signed_by(Some(Account::user("copilot-has-another-login", 198_982_749))),
        ];
        let mut tip = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
        for shape in &shapes {
            tip = repo.commit(&[&tip], at("2024-01-03"), shape, Some([10, 0, 1]));
        }
        for shape in &shapes {
            tip = repo.commit(&[&tip], at("2024-01-04"), &signed_by(ann()), Some([100, 0, 1]));
            repo.commits.get_mut(&tip).expect("the commit").co_authors.push(shape.clone());
        }
        repo.push(at("2024-01-05"), &tip);
        // GraphQL shows the app, REST the account.
        let app = || Some(Account::bot("copilot-swe-agent", 198_982_749));
        let reviewer = || Some(Account::bot("copilot-pull-request-reviewer", 175_728_472));
        let account = || Some(Account::user("Copilot", 198_982_749));
        let mut of_app = PullRequest::new(Thread::new(1, app(), at("2024-01-06")));
        of_app.reviews.push(Review::new(1, reviewer(), at("2024-01-07")));
        let mut of_ann = PullRequest::new(Thread::new(2, ann(), at("2024-01-06")));
        of_ann.reviews.push(Review::new(2, reviewer(), at("2024-01-07")));
        repo.pulls.extend([of_app, of_ann, PullRequest::new(Thread::new(3, account(), at("2024-01-06")))]);
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    let metrics = answer(&sandbox, "metrics")["metrics"].clone();
    let by_default = ["commits", "prs_opened", "reviews", "co_authored_commits", "active_members"];
    assert_eq!(by_default.map(|name| metrics[name].clone()), [5, 1, 0, 0, 1].map(|count| json!(count)));
    assert_eq!(listed(&sandbox, ""), ["Ann user"]);
    assert_eq!(listed(&sandbox, "bots=only"), ["Copilot[bot] bot"]);
    for name in ["Copilot%5Bbot%5D", "copilot", "copilot-swe-agent%5Bbot%5D", "copilot-swe-agent"] {
        let copilot = answer(&sandbox, &format!("members/{name}/metrics"));
        assert_eq!(copilot["member"], "Copilot[bot]", "{name}");
        let own = by_default.map(|name| copilot["metrics"][name].clone());
        assert_eq!(own, [4, 2, 1, 4, 1].map(|count| json!(count)), "{name}");
    }
}

#[test]
fn a_commit_in_two_repositories_counts_once() {
    let mut world = World::new("acme");
    let mut original = Repo::new(7, "site", at(BEGIN));
    let mut fork = Repo::new(9, "site-next", at(BEGIN));
    let mut tip = original.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
    for _ in 0..3 {
        tip = original.commit(&[&tip], at("2024-01-31T23:00:00Z"), &signed_by(None), Some([10, 0, 1]));
    }
    // Four commits are in both, and GitHub counts the lines of the last one later in the original.
    fork.commits = original.commits.clone();
    original.commits.get_mut(&tip).expect("the commit").uncounted_until = Some(at("2024-03-15"));
    let (mut of_original, mut of_fork) = (tip.clone(), tip);
    for _ in 0..3 {
        of_original =
            original.commit(&[&of_original], at("2024-02-05"), &signed_by(ann()), Some([100, 0, 1]));
    }
    for _ in 0..2 {
        of_fork = fork.commit(&[&of_fork], at("2024-02-05"), &signed_by(ann()), Some([1000, 0, 1]));
    }
    let first =
        original.commits.values().find(|commit| commit.parents.is_empty()).expect("a root").sha.clone();
    original.push(at("2024-02-06"), &of_original);
    fork.push(at("2024-02-16"), &of_fork);
    // The original loses what both have, then gets it back.
    original.push(at("2024-03-02"), &first);
    original.push(at("2024-03-12"), &of_original);
    world.repos.extend([original, fork]);
    let times = ["2024-02-10", "2024-02-20", "2024-03-05", "2024-03-14", "2024-04-20"];
    let double = Double::start(world.clone(), at(times[0]));
    let sandbox = Sandbox::with_github(&double);
    for (time, commits) in times.iter().zip([7, 9, 6, 9, 9]) {
        double.set_now(at(time));
        collect_and_aggregate(&sandbox, &world.org);
        assert_matches_reference(sandbox.serve().address(), &world, at(time), &full_range());
        assert_eq!(answer(&sandbox, "metrics")["metrics"]["commits"], commits, "at {time}");
    }
    let of_repo =
        |name: &str| answer(&sandbox, &format!("repos/{name}/metrics"))["metrics"]["commits"].clone();
    assert_eq!((of_repo("site"), of_repo("site-next")), (json!(7), json!(6)), "13 rows, 4 of them shared");
    let now = at(times[times.len() - 1]);
    let backfill = Sandbox::with_github(&double);
    collect_and_aggregate(&backfill, &world.org);
    assert_same_answers(&fetch_answers(&backfill, &world, now), &fetch_answers(&sandbox, &world, now));
    sandbox.run(&["aggregate", "--rebuild"]).expect_status(0);
    assert_same_answers(&fetch_answers(&backfill, &world, now), &fetch_answers(&sandbox, &world, now));
}

#[test]
fn authors_without_an_address_are_distinguished_by_name() {
    let world = world_of(|repo| {
        let mut tip = repo.commit(&[], at("2024-01-02"), &Signature::new("Ann Lee", "", None), None);
        for name in ["Ben", "ANN LEE"] {
            tip = repo.commit(&[&tip], at("2024-01-03"), &Signature::new(name, "", None), Some([1, 0, 1]));
        }
        repo.push(at("2024-01-05"), &tip);
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    let page = answer(&sandbox, "members");
    let commits: Vec<(String, u64)> = page["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|entry| (entry["member"].to_string(), entry["metrics"]["commits"].as_u64().expect("a count")))
        .collect();
    assert_eq!(commits.len(), 2, "{commits:?}");
    assert_eq!(commits[0], ("\"~e4959174ae7b\"".to_owned(), 2), "printf %s 'ann lee' | sha256sum");
}

#[test]
fn an_odd_mailmap_applies_and_its_idle_lines_are_counted() {
    let world = world_of(|repo| {
        let mut tip = repo.commit(&[], at("2024-01-02"), &Signature::new("A", "new@x", None), None);
        for (name, address) in [
            ("A", "old@x"),
            ("A", "lars.doelle@on-line ! de"),
            ("B", "swap@x"),
            ("No Mail", ""),
            ("C", "c@x"),
            ("Joe", "bugs@x"),
            ("Jane", "bugs@x"),
            ("Jim", "bugs@x"),
        ] {
            tip = repo.commit(&[&tip], at("2024-01-03"), &Signature::new(name, address, None), None);
        }
        repo.push(at("2024-01-05"), &tip);
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    assert_eq!(listed(&sandbox, "").len(), 7);
    let mailmap = "\
        Ann <new@x> <old@x>\n\
        Ann <new@x> <lars.doelle@on-line ! de> # odd\n\
        <c@x> <swap@x>\n\
        <swap@x> <c@x>\n\
        Ann <new@x> No Mail <>\n\
        Ann <new@x> Jane <bugs@x>\n\
        <joe@x> joe <bugs@x>\n\
        Just A Name\n\
        Empty <>\n\
        Proper Name <c@x>\n";
    std::fs::write(sandbox.dir().join("people.mailmap"), mailmap).expect("the mailmap is written");
    std::fs::write(sandbox.dir().join("bots.toml"), "mailmap = \"people.mailmap\"\n").expect("the file");
    let run = sandbox.run(&["aggregate", "--config", "bots.toml"]).expect_status(0);
    let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.contains("of the mailmap")).collect();
    assert_eq!(warnings.len(), 1, "{}", run.stderr);
    assert!(warnings[0].contains("2 lines") && !warnings[0].contains('@'), "{}", run.stderr);
    let members = listed(&sandbox, "");
    assert_eq!(members.len(), 5, "Ann, Joe, Jim, and two who swapped: {members:?}");
    let page = answer(&sandbox, "members?limit=1");
    assert_eq!(page["members"][0]["metrics"]["commits"], 5, "five authors are Ann");
}

#[test]
fn a_commit_of_the_year_2106_counts_there_and_moves_no_default() {
    let world = world_of(|repo| {
        let base = repo.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
        let late = repo.commit(&[&base], at("2106-02-07T06:28:15Z"), &signed_by(ann()), Some([7, 0, 1]));
        let tip = repo.commit(&[&late], at("2024-01-04"), &signed_by(ann()), Some([1, 0, 1]));
        repo.push(at("2024-01-05"), &tip);
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    let server = sandbox.serve();
    let target = "/api/v1/orgs/acme/metrics?since=2106-01-01&until=2107-01-01";
    assert_eq!(get(server.address(), target).json()["metrics"]["additions"], 7);
    let org = get(server.address(), "/api/v1/orgs").json()["orgs"][0].clone();
    assert_eq!(
        (&org["first_event"], &org["last_event"]),
        (&json!("2024-01-02T00:00:00Z"), &json!("2024-01-04T00:00:00Z"))
    );
    let export = sandbox.run(&["export", "acme", "--granularity", "day"]).expect_status(0).text();
    let last = export.lines().rfind(|line| line.starts_with("org,")).expect("rows");
    assert!(last.contains("2024-01-04,2024-01-05"), "{last}");
    assert!(export.lines().count() < 1_000, "no row for each day of the century");
    let everything = sandbox.run(&["export", "acme", "--until", "2107-01-01", "--granularity", "month"]);
    assert!(everything.expect_status(0).text().contains("org,acme,,2106-02-01,2106-03-01,1,"));
}

#[test]
fn two_repositories_of_one_name_are_two_rows() {
    let mut old = Repo::new(7, "site", at(BEGIN));
    let sha = old.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([1, 0, 1]));
    old.push(at("2024-01-03"), &sha);
    let mut new = Repo::new(8, "Site", at("2024-02-01"));
    let sha = new.commit(&[], at("2024-01-02"), &signed_by(ann()), Some([20, 0, 1]));
    new.push(at("2024-02-03"), &sha);
    let mut world = World::new("acme");
    world.repos.push(old);
    let double = Double::start(world.clone(), at("2024-01-10"));
    let sandbox = Sandbox::with_github(&double);
    collect_and_aggregate(&sandbox, "acme");
    // It is deleted, and created again.
    world.repos[0] = new;
    double.set_world(world);
    double.set_now(at("2024-02-10"));
    collect_and_aggregate(&sandbox, "acme");

    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = answer(&sandbox, &format!("repos?limit=1{cursor}"));
        rows.extend(page["repos"].as_array().expect("repos").iter().map(|entry| {
            (entry["id"].as_i64().expect("an id"), entry["metrics"]["additions"].as_u64().expect("a count"))
        }));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    rows.sort_unstable();
    assert_eq!(rows, [(7, 1), (8, 20)], "no page boundary loses one");
    for (query, id, additions) in [("", 8, 20), ("?id=8", 8, 20), ("?id=7", 7, 1)] {
        let metrics = answer(&sandbox, &format!("repos/site/metrics{query}"));
        assert_eq!((&metrics["id"], &metrics["metrics"]["additions"]), (&json!(id), &json!(additions)));
        let separator = if query.is_empty() { "?" } else { "&" };
        let target =
            format!("repos/site/metrics/timeseries{query}{separator}metric=additions&granularity=month");
        let series = answer(&sandbox, &target);
        let sum: u64 = series["points"]
            .as_array()
            .expect("points")
            .iter()
            .filter_map(|point| point["value"].as_u64())
            .sum();
        assert_eq!(sum, additions, "{target}");
    }
    let server = sandbox.serve();
    for query in ["id=9", "id=0", "id=x"] {
        let status = get(server.address(), &format!("/api/v1/orgs/acme/repos/site/metrics?{query}")).status;
        assert_eq!(status, if query == "id=9" { 404 } else { 400 }, "{query}");
    }
    let show =
        ["show", "repo", "acme", "site", "--since", SINCE, "--metric", "additions", "--format", "json"];
    let shown = sandbox.run(&[&show[..], &["--id", "7"]].concat()).expect_status(0).json();
    assert_eq!((&shown["metrics"]["id"], &shown["metrics"]["metrics"]["additions"]), (&json!(7), &json!(1)));
    let error = sandbox.run(&["show", "acme", "--id", "7"]).expect_error(2);
    assert!(error.contains("show repo"), "{error}");
    let export = sandbox.run(&["export", "acme", "--granularity", "month"]).expect_status(0).text();
    assert!(
        export.contains("repo,site,7,2024-01-01,") || export.contains("repo,Site,7,2024-01-01,"),
        "{export}"
    );
    assert!(export.contains("repo,Site,8,2024-01-01,"), "{export}");
}

#[test]
fn a_cursor_of_another_query_is_invalid() {
    let world = world_of(|repo| {
        for (number, id) in (1..).zip(21..26) {
            let author = Some(Account::user(&format!("person-{id}"), id));
            repo.issues.push(Thread::new(number, author, at("2024-01-02")));
        }
    });
    let (_double, sandbox) = collected(&world, at("2024-04-20"));
    let server = sandbox.serve();
    let range = format!("since={SINCE}&until=2024-05-01");
    let get = |query: &str| get(server.address(), &format!("/api/v1/orgs/acme/{query}"));
    let first = get(&format!("members?limit=2&{range}")).json();
    let cursor = first["next"].as_str().expect("a cursor").to_owned();
    for (list, query, status) in [
        ("members", range.clone(), 200),
        ("members", format!("{range}&limit=4"), 200),
        ("members", String::new(), 200),
        ("members", format!("{range}&sort=reviews"), 400),
        ("members", format!("{range}&order=asc"), 400),
        ("members", format!("{range}&bots=only"), 400),
        ("members", "since=2023-12-01&until=2024-05-01".to_owned(), 400),
        ("repos", range.clone(), 400),
    ] {
        let answer = get(&format!("{list}?cursor={cursor}&{query}"));
        assert_eq!(answer.status, status, "{list} {query}: {}", answer.text());
        if status == 200 {
            let second = &answer.json()["members"][0]["member"];
            assert_eq!(second, "person-23", "the page that follows, {query}");
        } else {
            let problem = answer.json();
            assert_eq!(problem["code"], "INVALID_ARGUMENT");
            assert!(
                problem["detail"].as_str().is_some_and(|detail| detail.contains("another query")),
                "{problem}"
            );
        }
    }
}
