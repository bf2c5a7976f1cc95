//! Measures the functions: size, start time, memory, requests. The test itself checks only that they work.
//! `infra/local-aws measure` builds them as for AWS, runs this test and shows the figures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use gam_tests::github::webhooks::{Transit, deliver_to_host, webhook_events};
use gam_tests::github::{Double, World, generated, world::at};
use gam_tests::program::memory_kb;
use gam_tests::proxy::Proxy;
use gam_tests::runtime::LambdaRuntimeApi;
use serde_json::json;

use super::emulator::{EmulatorSetup, wait_for};
use super::stack::{Stack, built_template, delivery_event, gateway_event};
use super::write_units::{WriteUnits, WrittenItems};
use crate::tools::Tool;
use crate::{ExternalTest, external_test};

const NEEDS: &[Tool] = &[Tool::Emulator, Tool::Sam];

const FUNCTIONS: [(&str, &str); 11] = [
    ("collect", "CollectFunction"),
    ("aggregate", "AggregateFunction"),
    ("webhook", "WebhookFunction"),
    ("work", "WorkFunction"),
    ("api", "ApiFunction"),
    ("gate", "GateFunction"),
    ("sessions", "SessionsFunction"),
    ("act", "ActFunction"),
    ("audit", "AuditFunction"),
    ("log", "LogFunction"),
    ("notify", "NotifyFunction"),
];
/// Number of starts and of answers. The figures are medians.
const START_COUNT: usize = 9;
const ANSWER_COUNT: usize = 51;
/// Number of days that are collected after the backfill.
const DAY_COUNT: u32 = 5;

fn measure_the_functions() {
    let proxy = Proxy::start(0);
    let setup = EmulatorSetup::default().with_variable("AWS_ENDPOINT_URL", &proxy.endpoint());
    let aws = setup.start();
    proxy.set_upstream(aws.endpoint());
    let units = WriteUnits::count(&proxy);
    let world = generated::world(7);
    let double = Double::start(world.clone(), at("2024-02-20T04:00:00Z"));
    let stack = Stack::deploy_with_all_functions(&aws, &world, &double);
    stack.collect();
    measure_days(&stack, &proxy, &double, &units);
    measure_webhooks(&stack, &proxy, &world);
    for (name, output) in FUNCTIONS {
        if let Some(peak_kb) = stack.memory(output) {
            print(&format!(
                "{name}: {:.1} MB of memory at most during the backfill and the days",
                peak_kb as f64 / 1e3
            ));
        }
    }

    let template = built_template();
    for (name, output) in FUNCTIONS {
        let bootstrap = template.parent().expect("a directory").join(output).join("bootstrap");
        print_size(name, &bootstrap);
        let function = LocalFunction { stack: &stack, output, bootstrap: &bootstrap, proxy: &proxy };
        let running = function.measure_start(name);
        match name {
            "api" => measure_answers(&running, &stack, &world, &proxy),
            "webhook" => {
                let event =
                    webhook_events(&world, at("2023-11-01T00:00:00Z"), at("2024-02-20T04:00:00Z")).remove(0);
                let answer = running.runtime.invoke(delivery_event(&event)).0.expect("an answer");
                assert_eq!(answer["statusCode"], 202, "{answer}");
            }
            "work" => {
                let answer = running.runtime.invoke(json!({ "action": "sweep" })).0;
                answer.expect("a sweep");
            }
            "act" | "notify" => {
                let answer = running.runtime.invoke(json!({ "action": "run" })).0;
                answer.expect("a run without actions and channels");
            }
            "audit" => {
                let answer = running.runtime.invoke(json!({ "action": "drain" })).0;
                answer.expect("a drain");
            }
            "log" => {
                let event = gateway_event("/api/v1/log", "", stack.token());
                let answer = running.runtime.invoke(event).0.expect("an answer");
                assert_eq!(answer["statusCode"], 403, "the token of the stack only reads metrics: {answer}");
            }
            "sessions" => {
                let mut event = gateway_event("/api/v1/sessions", "", stack.token());
                event["requestContext"]["http"]["method"] = json!("POST");
                event["headers"]["content-type"] = json!("application/json");
                event["body"] = json!(json!({ "org": world.org, "events": [] }).to_string());
                let answer = running.runtime.invoke(event).0.expect("an answer");
                assert_eq!(answer["statusCode"], 403, "the token of the stack only reads metrics: {answer}");
            }
            "gate" => {
                let event = gateway_event("/api/v1/tasks", "", stack.token());
                let answer = running.runtime.invoke(event).0.expect("an answer");
                assert_eq!(answer["statusCode"], 200, "{answer}");
            }
            "collect" => {
                let plan = running.runtime.invoke(json!({ "action": "plan" })).0;
                assert_eq!(plan.expect("a plan")["batchItemFailures"], json!([]));
            }
            _ => {
                let answer = running.runtime.invoke(json!({ "action": "sweep" })).0;
                answer.expect("a sweep without batches");
            }
        }
    }
}

/// Collects and aggregates several days as the schedule does, and prints the requests per day.
fn measure_days(stack: &Stack<'_>, proxy: &Proxy, double: &Double, units: &WriteUnits) {
    let (first_aws, first_github) = (proxy.log().len(), double.request_count());
    let events = stack.metric("CollectFunction", "EventsCollected").iter().sum::<f64>();
    let before = units.written();
    for day in 1..=DAY_COUNT {
        double.set_now(at("2024-02-20T04:00:00Z") + TimeDelta::days(day.into()));
        stack.collect();
    }
    let events = stack.metric("CollectFunction", "EventsCollected").iter().sum::<f64>() - events;
    assert!(events > 0.0, "the days have events");
    let per_day = |count: f64| count / f64::from(DAY_COUNT);
    print(&format!("per day of four repositories: {:.0} events", per_day(events)));
    print(&format!("  GitHub: {:.1} requests", per_day((double.request_count() - first_github) as f64)));
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (operation, _) in &proxy.log()[first_aws..] {
        *kinds.entry(request_kind(operation)).or_default() += 1;
    }
    assert!(kinds.contains_key("DynamoDB PutItem"), "{kinds:?}");
    for (kind, count) in kinds {
        print(&format!("  {kind}: {:.1}", per_day(count as f64)));
    }
    print_units(&before, &units.written());
    let scan = json!({ "TableName": stack.output("Table"), "ProjectionExpression": "pk" });
    let items = stack.aws.list("dynamodb", "scan", "Items", scan).len();
    print(&format!("  items in the table after {DAY_COUNT} days and a backfill of 111 days: {items}"));
}

/// Delivers what a webhook delivers of a month, and prints the requests per delivery, with those of the sweeps meanwhile.
fn measure_webhooks(stack: &Stack<'_>, proxy: &Proxy, world: &World) {
    let events = webhook_events(world, at("2024-01-20T04:00:00Z"), at("2024-02-20T04:00:00Z"));
    let first_request = proxy.log().len();
    for event in &events {
        let status = deliver_to_host(stack.aws.address(), stack.host(), event, Transit::Delivered);
        assert_eq!(status, 202);
    }
    wait_for("the orders to be processed", || (stack.depth("HookQueueUrl") == 0).then_some(()));
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for (operation, _) in &proxy.log()[first_request..] {
        *kinds.entry(request_kind(operation)).or_default() += 1;
    }
    assert!(kinds.contains_key("DynamoDB TransactWriteItems"), "{kinds:?}");
    let of_issues = events.iter().filter(|event| event.event == "issues").count();
    print(&format!("per delivery, of {} webhook deliveries ({of_issues} of issues):", events.len()));
    for (kind, count) in kinds {
        print(&format!("  {kind}: {:.2}", count as f64 / events.len() as f64));
    }
}

/// Prints the items of each class that a day writes, and their write units.
fn print_units(before: &BTreeMap<String, WrittenItems>, after: &BTreeMap<String, WrittenItems>) {
    let per_day = |count: usize| count as f64 / f64::from(DAY_COUNT);
    let mut units = 0;
    for (class, after) in after {
        let before = before.get(class).copied().unwrap_or_default();
        let items = after.items - before.items;
        if items > 0 {
            units += after.units - before.units;
            print(&format!(
                "  written, {class}: {:.1} items of {:.0} bytes, {:.1} units",
                per_day(items),
                (after.bytes - before.bytes) as f64 / items as f64,
                per_day(after.units - before.units)
            ));
        }
    }
    assert!(units > 0, "a day writes items");
    print(&format!("  written, all classes: {:.1} units", per_day(units)));
}

/// Returns the service and the kind of a request, from its operation at the proxy.
fn request_kind(operation: &str) -> String {
    match operation.split_once(' ') {
        Some((method, path)) if path.trim_matches('/').contains('/') => format!("S3 {method}"),
        Some(_) => "S3 list".to_owned(),
        None if operation.contains("Message") => format!("SQS {operation}"),
        None if operation.contains("Secret") => format!("Secrets Manager {operation}"),
        None => format!("DynamoDB {operation}"),
    }
}

fn print_size(name: &str, bootstrap: &Path) {
    let program = std::fs::read(bootstrap).expect("the function was built");
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::default());
    zip.write_all(&program).expect("memory to write to");
    let zipped = zip.finish().expect("memory to write to").len();
    let mb = |bytes: usize| bytes as f64 / 1e6;
    print(&format!("{name}: {:.1} MB, {:.2} MB zipped", mb(program.len()), mb(zipped)));
}

/// A function of the stack, which the test starts itself.
struct LocalFunction<'a> {
    stack: &'a Stack<'a>,
    output: &'a str,
    bootstrap: &'a Path,
    proxy: &'a Proxy,
}

/// A running function that polls a runtime API for work.
struct RunningFunction {
    runtime: LambdaRuntimeApi,
    child: Child,
}

impl Drop for RunningFunction {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl LocalFunction<'_> {
    /// Starts the function several times and prints how long it takes until it polls for work.
    fn measure_start(&self, name: &str) -> RunningFunction {
        let request = json!({ "FunctionName": self.stack.output(self.output) });
        let configuration = self.stack.aws.call("lambda", "get_function_configuration", request);
        let variables: BTreeMap<String, String> =
            serde_json::from_value(configuration["Environment"]["Variables"].clone()).expect("its variables");
        let (mut total_times, mut own_times) = (Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..START_COUNT {
            drop(last.take());
            let runtime = LambdaRuntimeApi::start();
            let proxy_busy = self.proxy.busy_time();
            let started = Instant::now();
            let child = self.start(&runtime, &variables);
            let duration = runtime.wait_for_poll() - started;
            own_times.push(duration.saturating_sub(self.proxy.busy_time() - proxy_busy));
            total_times.push(duration);
            last = Some(RunningFunction { runtime, child });
        }
        let running = last.expect("it was started");
        let memory = memory_kb(running.child.id(), "VmRSS").expect("its memory");
        print(&format!(
            "{name}: {} from the start to the first poll, {} of them its own; {:.1} MB of memory",
            ms(median(total_times)),
            ms(median(own_times)),
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

/// Measures the first answer and later ones, in total and without the store's time.
fn measure_answers(running: &RunningFunction, stack: &Stack<'_>, world: &World, proxy: &Proxy) {
    let path = format!("/api/v1/orgs/{}/metrics", world.org);
    let query = "since=2024-01-01&until=2024-02-25";
    let event = gateway_event(&path, query, stack.token());
    let answer = || {
        let proxy_busy = proxy.busy_time();
        let (answer, duration) = running.runtime.invoke(event.clone());
        let own = duration.saturating_sub(proxy.busy_time() - proxy_busy);
        let answer = answer.expect("an answer");
        assert_eq!(answer["statusCode"], 200, "{answer}");
        assert_eq!(answer["body"], json!(stack.get(&format!("{path}?{query}")).text()));
        (duration, own)
    };
    let first_request = proxy.log().len();
    let (total, own) = answer();
    // Half of the requests belong to the deployed function, which gives the same answer.
    let requests = (proxy.log().len() - first_request) / 2;
    print(&format!(
        "api: first answer after {}, {} without the store's time, {requests} requests to the store",
        ms(total),
        ms(own)
    ));
    let cpu_before = cpu_time(running.child.id());
    let (total, own) = (0..ANSWER_COUNT).map(|_| answer()).unzip();
    let cpu_time = cpu_before.zip(cpu_time(running.child.id())).map(|(before, after)| after - before);
    print(&format!(
        "api: later answers after {}, {} without the store's time",
        ms(median(total)),
        ms(median(own))
    ));
    if let Some(cpu_time) = cpu_time {
        print(&format!("api: {} of CPU time for each of them", ms(cpu_time / ANSWER_COUNT as u32)));
    }
}

/// Returns the CPU time of a process so far. `None` if the system does not report it.
fn cpu_time(pid: u32) -> Option<Duration> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let thread_time = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Some(threads.filter_map(thread_time).map(Duration::from_nanos).sum())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose of the measurement")]
fn print(line: &str) {
    println!("{line}");
}

/// The tests of this file.
pub(crate) fn tests() -> Vec<ExternalTest> {
    vec![external_test!(NEEDS, measure_the_functions)]
}
