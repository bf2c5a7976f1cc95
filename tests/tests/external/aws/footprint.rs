//! What the functions take: size, time, memory, requests. The test holds them to what they have to do;
//! `infra/local-aws measure` builds them as for AWS, runs it and shows the figures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use gam_tests::github::{Double, World, generated, world::at};
use gam_tests::program::memory_kb;
use gam_tests::proxy::Proxy;
use gam_tests::runtime::LambdaRuntimeApi;
use serde_json::json;

use super::emulator::EmulatorSetup;
use super::stack::{Stack, built, gateway_event};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

const FUNCTIONS: [(&str, &str); 3] =
    [("collect", "CollectFunction"), ("aggregate", "AggregateFunction"), ("api", "ApiFunction")];
/// How often a start and an answer are repeated; the median counts.
const STARTS: usize = 9;
const ANSWERS: usize = 51;
/// How many days are lived through, after a backfill.
const DAYS: u32 = 5;

fn the_functions_take_little() {
    let proxy = Proxy::start(0);
    let setup = EmulatorSetup::default().with_variable("AWS_ENDPOINT_URL", &proxy.endpoint());
    let aws = setup.start();
    proxy.set_upstream(aws.endpoint());
    let world = generated::world(7);
    let double = Double::start(world.clone(), at("2024-02-20T04:00:00Z"));
    let stack = Stack::deploy(&aws, &world, &double);
    stack.collect();
    live_through_days(&stack, &proxy, &double);
    for (name, output) in FUNCTIONS {
        if let Some(most) = stack.memory(output) {
            tell(&format!("{name}: {:.1} MB of memory at most, while it did that", most as f64 / 1e3));
        }
    }

    let template = built();
    for (name, output) in FUNCTIONS {
        let bootstrap = template.parent().expect("a directory").join(output).join("bootstrap");
        tell_size(name, &bootstrap);
        let function = Function { stack: &stack, output, bootstrap: &bootstrap, proxy: &proxy };
        let running = function.tell_start(name);
        match name {
            "api" => tell_answers(&running, &stack, &world, &proxy),
            "collect" => {
                let plan = running.runtime.invoke(json!({ "action": "plan" })).0;
                assert_eq!(plan.expect("a plan")["batchItemFailures"], json!([]));
            }
            _ => {
                let swept = running.runtime.invoke(json!({ "action": "sweep" })).0;
                swept.expect("nothing to be swept");
            }
        }
    }
}

/// Some days, each collected and aggregated as by the schedule: what they ask for, a day.
fn live_through_days(stack: &Stack<'_>, proxy: &Proxy, double: &Double) {
    let (asked, asked_github) = (proxy.log().len(), double.request_count());
    let events = stack.metric("CollectFunction", "EventsCollected").iter().sum::<f64>();
    for day in 1..=DAYS {
        double.set_now(at("2024-02-20T04:00:00Z") + TimeDelta::days(day.into()));
        stack.collect();
    }
    let events = stack.metric("CollectFunction", "EventsCollected").iter().sum::<f64>() - events;
    assert!(events > 0.0, "something happens on those days");
    let a_day = |count: f64| count / f64::from(DAYS);
    tell(&format!("a day of four repositories: {:.0} events", a_day(events)));
    tell(&format!("  GitHub: {:.1} requests", a_day((double.request_count() - asked_github) as f64)));
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (what, _) in &proxy.log()[asked..] {
        *kinds.entry(kind(what)).or_default() += 1;
    }
    assert!(kinds.contains_key("DynamoDB PutItem"), "{kinds:?}");
    for (kind, count) in kinds {
        tell(&format!("  {kind}: {:.1}", a_day(count as f64)));
    }
    let scan = json!({ "TableName": stack.output("Table"), "ProjectionExpression": "pk" });
    let items = stack.aws.list("dynamodb", "scan", "Items", scan).len();
    tell(&format!("  items in the table after {DAYS} days and a backfill of 111 days: {items}"));
}

/// The kind of a request, by what the proxy saw of it.
fn kind(what: &str) -> String {
    match what.split_once(' ') {
        Some((method, path)) if path.trim_matches('/').contains('/') => format!("S3 {method}"),
        Some(_) => "S3 list".to_owned(),
        None if what.contains("Message") => format!("SQS {what}"),
        None if what.contains("Secret") => format!("Secrets Manager {what}"),
        None => format!("DynamoDB {what}"),
    }
}

fn tell_size(name: &str, bootstrap: &Path) {
    let program = std::fs::read(bootstrap).expect("the function was built");
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::default());
    zip.write_all(&program).expect("memory to write to");
    let zipped = zip.finish().expect("memory to write to").len();
    let mb = |bytes: usize| bytes as f64 / 1e6;
    tell(&format!("{name}: {:.1} MB, {:.2} MB zipped", mb(program.len()), mb(zipped)));
}

/// A function of the stack, to be started here.
struct Function<'a> {
    stack: &'a Stack<'a>,
    output: &'a str,
    bootstrap: &'a Path,
    proxy: &'a Proxy,
}

/// A function that runs, and asks a runtime API for work.
struct Running {
    runtime: LambdaRuntimeApi,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Function<'_> {
    /// Starts it several times, and tells how long it took until it asked for work.
    fn tell_start(&self, name: &str) -> Running {
        let asked = json!({ "FunctionName": self.stack.output(self.output) });
        let told = self.stack.aws.call("lambda", "get_function_configuration", asked);
        let variables: BTreeMap<String, String> =
            serde_json::from_value(told["Environment"]["Variables"].clone()).expect("its variables");
        let (mut whole, mut own) = (Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..STARTS {
            drop(last.take());
            let runtime = LambdaRuntimeApi::start();
            let busy = self.proxy.busy_time();
            let begun = Instant::now();
            let child = self.start(&runtime, &variables);
            let took = runtime.wait_for_poll() - begun;
            own.push(took.saturating_sub(self.proxy.busy_time() - busy));
            whole.push(took);
            last = Some(Running { runtime, child });
        }
        let running = last.expect("it was started");
        let memory = memory_kb(running.child.id(), "VmRSS").expect("its memory");
        tell(&format!(
            "{name}: {} from its start until it asks for work, {} of that its own; {:.1} MB of memory",
            ms(median(whole)),
            ms(median(own)),
            memory as f64 / 1e3
        ));
        running
    }

    fn start(&self, runtime: &LambdaRuntimeApi, variables: &BTreeMap<String, String>) -> Child {
        let mut command = Command::new(self.bootstrap);
        command.env_clear().envs(variables).envs([
            ("AWS_LAMBDA_RUNTIME_API", runtime.address().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.stack.output(self.output)),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_ENDPOINT_URL", &self.proxy.endpoint()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().expect("the function can be started")
    }
}

/// The first answer and later ones, and how long they took beside the store's time.
fn tell_answers(running: &Running, stack: &Stack<'_>, world: &World, proxy: &Proxy) {
    let path = format!("/api/v1/orgs/{}/metrics", world.org);
    let query = "since=2024-01-01&until=2024-02-25";
    let event = gateway_event(&path, query, stack.token());
    let answer = || {
        let busy = proxy.busy_time();
        let (answer, took) = running.runtime.invoke(event.clone());
        let own = took.saturating_sub(proxy.busy_time() - busy);
        let answer = answer.expect("an answer");
        assert_eq!(answer["statusCode"], 200, "{answer}");
        assert_eq!(answer["body"], json!(stack.get(&format!("{path}?{query}")).text()));
        (took, own)
    };
    let asked = proxy.log().len();
    let (whole, own) = answer();
    // What the deployed function has asked for the same answer does not count.
    let asked = (proxy.log().len() - asked) / 2;
    tell(&format!(
        "api: the first answer after {}, {} beside the store's time, with {asked} questions to the store",
        ms(whole),
        ms(own)
    ));
    let worked = worked(running.child.id());
    let (whole, own) = (0..ANSWERS).map(|_| answer()).unzip();
    let worked = worked.zip(self::worked(running.child.id())).map(|(before, after)| after - before);
    tell(&format!("api: later answers after {}, {} beside it", ms(median(whole)), ms(median(own))));
    if let Some(worked) = worked {
        tell(&format!("api: {} of a processor for each of them", ms(worked / ANSWERS as u32)));
    }
}

/// How long a process has had a processor so far, where that is known.
fn worked(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let of_thread = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Some(threads.filter_map(of_thread).map(Duration::from_nanos).sum())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[expect(clippy::print_stdout, reason = "these figures are what it is run for")]
fn tell(line: &str) {
    println!("{line}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, the_functions_take_little)]
}
