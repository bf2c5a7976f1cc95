//! The stack: built once, deployed to a test's emulator, invoked, asked, watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gam_tests::github::{Double, TOKEN, World};
use gam_tests::http::{HttpResponse, send_request};
use gam_tests::program::memory_kb;
use serde_json::{Value, json};

use super::emulator::{Emulator, wait_for};
use crate::tools::{run, script};
use gam_tests::support::SINCE;

/// How many questions are asked at a time.
const ASKERS: usize = 4;

/// The built template, with the functions next to it. It is built once, from what `cargo test` has compiled.
pub(crate) fn built() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut script = script();
        script.arg("build");
        let path = run(script).unwrap_or_else(|why| panic!("the functions cannot be built: {why}"));
        PathBuf::from(path.trim())
    });
    &BUILT
}

/// A deployed stack.
pub(crate) struct Stack<'a> {
    pub(crate) aws: &'a Emulator,
    name: String,
    outputs: BTreeMap<String, String>,
    token: String,
}

/// The parameters of a stack that collects what a double shows.
pub(crate) fn parameters(world: &World, double: &Double) -> BTreeMap<String, String> {
    let all = [
        ("Organizations", world.org.to_lowercase()),
        ("GitHubTokenSecret", "github-token".to_owned()),
        ("GitHubApiUrl", double.api_url()),
        ("CollectSince", SINCE.to_owned()),
        ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
        ("RunsOn", "emulator".to_owned()),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An event as an HTTP API sends it, in its format 2.0.
pub(crate) fn gateway_event(path: &str, query: &str, token: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": { "host": "api.example", "authorization": format!("Bearer {token}") },
        "requestContext": {
            "accountId": "000000000000", "apiId": "measured", "domainName": "api.example",
            "requestId": "1", "routeKey": "$default", "stage": "$default",
            "time": "20/Feb/2024:04:00:00 +0000", "timeEpoch": 1_708_401_600_000_i64,
            "http": {
                "method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
        },
        "isBase64Encoded": false,
    })
}

impl<'a> Stack<'a> {
    /// Deploys for a double, and creates the secret with its token.
    pub(crate) fn deploy(aws: &'a Emulator, world: &World, double: &Double) -> Self {
        let template = built();
        aws.call("secretsmanager", "create_secret", json!({ "Name": "github-token", "SecretString": TOKEN }));
        Self::of(aws, template, &parameters(world, double))
    }

    /// Deploys with other parameters.
    pub(crate) fn of(aws: &'a Emulator, template: &Path, parameters: &BTreeMap<String, String>) -> Self {
        let name = "gam-test";
        let asked = json!({ "stack": name, "template": template, "parameters": parameters });
        let stack = aws.call("tests", "deploy", asked);
        Self::described(aws, name, &stack)
    }

    /// Deploys as a person does: with `sam deploy`.
    pub(crate) fn by_sam(aws: &'a Emulator, parameters: &BTreeMap<String, String>) -> Self {
        let name = "gam-by-sam";
        let mut script = script();
        script.args(["deploy", "--endpoint", aws.endpoint(), "--stack-name", name]);
        script.args(parameters.iter().map(|(name, value)| format!("{name}={value}")));
        run(script).unwrap_or_else(|why| panic!("sam deploy: {why}"));
        let stacks = aws.call("cloudformation", "describe_stacks", json!({ "StackName": name }));
        Self::described(aws, name, &stacks["Stacks"][0])
    }

    fn described(aws: &'a Emulator, name: &str, stack: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let outputs = stack["Outputs"].as_array().expect("outputs").iter();
        let outputs: BTreeMap<String, String> =
            outputs.map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect();
        let secret = |name: &String| {
            let told = aws.call("secretsmanager", "get_secret_value", json!({ "SecretId": name }));
            text(&told["SecretString"])
        };
        let token = outputs.get("AccessTokenSecret").map(secret).unwrap_or_default();
        Stack { aws, name: name.to_owned(), outputs, token }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it tells such an output.
    pub(crate) fn tells(&self, output: &str) -> bool {
        self.outputs.contains_key(output)
    }

    /// The bearer token of its HTTP endpoint; empty where it has none.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// An output of the stack.
    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack {} tells no {name}", self.name))
    }

    /// Invokes a function and waits. What it answered, or what it failed with.
    pub(crate) fn try_invoke(&self, function: &str, payload: &Value) -> Result<Value, Value> {
        let asked = json!({ "FunctionName": self.output(function), "Payload": payload.to_string() });
        let mut answer = self.aws.call("lambda", "invoke", asked);
        let text = answer["Payload"].as_str().unwrap_or_default();
        let told = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        if answer["FunctionError"].take().is_null() { Ok(told) } else { Err(told) }
    }

    /// Invokes a function, which must succeed.
    #[track_caller]
    pub(crate) fn invoke(&self, function: &str, payload: &Value) -> Value {
        self.try_invoke(function, payload).unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    /// Invokes a function without waiting.
    pub(crate) fn start(&self, function: &str, payload: &Value) {
        let asked = json!({
            "FunctionName": self.output(function), "InvocationType": "Event", "Payload": payload.to_string(),
        });
        self.aws.call("lambda", "invoke", asked);
    }

    /// Fires a deployed schedule now, by a copy of its target.
    pub(crate) fn fire(&self, schedule: &str) {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let deployed = self.aws.call("scheduler", "get_schedule", json!({ "Name": self.output(schedule) }));
        let asked = json!({
            "Name": format!("now-{}", LAST.fetch_add(1, Ordering::Relaxed)),
            "ScheduleExpression": "at(2020-01-01T00:00:00)",
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": deployed["Target"],
        });
        self.aws.call("scheduler", "create_schedule", asked);
    }

    /// Plans as the schedule does, and waits until everything is worked off.
    pub(crate) fn collect(&self) {
        self.invoke("CollectFunction", &json!({ "action": "plan" }));
        self.settle();
    }

    /// How many messages a queue holds: waiting, taken, delayed.
    pub(crate) fn depth(&self, queue: &str) -> u64 {
        let asked = json!({ "QueueUrl": self.output(queue), "AttributeNames": ["All"] });
        let told = self.aws.call("sqs", "get_queue_attributes", asked);
        let kinds = ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
        let count =
            |kind: &String| told["Attributes"][kind].as_str().and_then(|count| count.parse::<u64>().ok());
        kinds.iter().filter_map(count).sum()
    }

    /// The keys of the lake below a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let asked = json!({ "Bucket": self.output("LakeBucket"), "Prefix": prefix });
        let found = self.aws.list("s3", "list_objects_v2", "Contents", asked);
        found.iter().filter_map(|object| Some(object["Key"].as_str()?.to_owned())).collect()
    }

    /// Waits until there is nothing to be done: no work, no news of batches, no batches.
    #[track_caller]
    pub(crate) fn settle(&self) {
        wait_for("the work to be done", || (self.depth("WorkQueueUrl") == 0).then_some(()));
        wait_for("the inbox to be worked off", || {
            (self.depth("InboxQueueUrl") == 0 && self.keys("inbox/org=").is_empty()).then_some(())
        });
    }

    /// Puts a file into the lake.
    pub(crate) fn put(&self, key: &str, file: &Path) {
        let asked = json!({ "Bucket": self.output("LakeBucket"), "Key": key, "Body": { "$file": file } });
        self.aws.call("s3", "put_object", asked);
    }

    /// Sends a message to a queue.
    pub(crate) fn send(&self, queue: &str, body: &Value) {
        let asked = json!({ "QueueUrl": self.output(queue), "MessageBody": body.to_string() });
        self.aws.call("sqs", "send_message", asked);
    }

    /// The processes of a function.
    fn processes(&self, function: &str) -> Vec<u32> {
        let wanted = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.output(function));
        let of_function = |pid: &u32| {
            let place = std::fs::read_link(format!("/proc/{pid}/cwd"));
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            place.is_ok_and(|place| place.starts_with(self.aws.dir()))
                && variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers.filter(of_function).collect()
    }

    /// How much memory the running processes of a function had at most, in kB.
    pub(crate) fn memory(&self, function: &str) -> Option<u64> {
        self.processes(function).into_iter().filter_map(|pid| memory_kb(pid, "VmHWM")).max()
    }

    /// Kills the processes of a function; how many there were.
    pub(crate) fn kill(&self, function: &str) -> usize {
        let kill = |pid: &u32| {
            // It may just have ended by itself.
            Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        self.processes(function).iter().filter(|pid| kill(pid)).count()
    }

    /// Makes a queue's messages come back soon after a failure.
    pub(crate) fn hurry(&self, queue: &str) {
        let asked = json!({ "QueueUrl": self.output(queue), "Attributes": { "VisibilityTimeout": "2" } });
        self.aws.call("sqs", "set_queue_attributes", asked);
    }

    /// Takes the messages of a queue: bodies, and the attribute `reason`.
    pub(crate) fn messages(&self, queue: &str) -> Vec<(String, Option<String>)> {
        let asked = json!({
            "QueueUrl": self.output(queue), "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        });
        let told = self.aws.call("sqs", "receive_message", asked);
        let messages = told["Messages"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let read = |message: &Value| {
            let reason = text(&message["MessageAttributes"]["reason"]["StringValue"]);
            (text(&message["Body"]).unwrap_or_default(), reason)
        };
        messages.iter().map(read).collect()
    }

    /// What a function wrote: its lines, as JSON where they are.
    pub(crate) fn lines(&self, function: &str) -> Vec<Value> {
        let asked = json!({ "FunctionName": self.output(function) });
        let told = self.aws.call("lambda", "get_function_configuration", asked);
        let group = &told["LoggingConfig"]["LogGroup"];
        let asked = json!({ "logGroupName": group });
        let streams = self.aws.list("logs", "describe_log_streams", "logStreams", asked);
        let mut lines = Vec::new();
        for stream in streams {
            let asked = json!({ "logGroupName": group, "logStreamName": stream["logStreamName"] });
            let told = self.aws.call("logs", "get_log_events", asked);
            lines.extend(told["events"].as_array().into_iter().flatten().filter_map(|event| {
                let text = event["message"].as_str()?;
                Some(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
            }));
        }
        lines
    }

    /// The lines of a function that hold embedded metrics, in the order of the log.
    pub(crate) fn embedded(&self, function: &str) -> Vec<Value> {
        let mut lines = self.lines(function);
        lines.retain(|line| line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "GitHubActivityMetrics");
        lines
    }

    /// The values of an embedded metric, in the order of the log.
    pub(crate) fn metric(&self, function: &str, name: &str) -> Vec<f64> {
        self.embedded(function).iter().filter_map(|line| line[name].as_f64()).collect()
    }

    /// Asks the HTTP endpoint with the bearer token.
    pub(crate) fn get(&self, target: &str) -> HttpResponse {
        self.get_with_headers(target, &[("authorization", &format!("Bearer {}", self.token))])
    }

    /// Asks the HTTP endpoint with those headers.
    pub(crate) fn get_with_headers(&self, target: &str, headers: &[(&str, &str)]) -> HttpResponse {
        let host = self.output("ApiUrl").trim_start_matches("http://").trim_start_matches("https://");
        let headers = [&[("host", host)], headers].concat();
        send_request(self.aws.address(), "GET", target, &headers)
    }

    /// The answers to questions, several at a time.
    pub(crate) fn answers(&self, targets: &[String]) -> BTreeMap<String, String> {
        let share = targets.len().div_ceil(ASKERS);
        std::thread::scope(|scope| {
            let askers: Vec<_> = targets
                .chunks(share)
                .map(|share| {
                    scope.spawn(move || {
                        let answer = |question: &String| {
                            let answer = self.get(question);
                            assert_eq!(answer.status, 200, "{question}: {}", answer.text());
                            (question.clone(), answer.text())
                        };
                        share.iter().map(answer).collect::<Vec<_>>()
                    })
                })
                .collect();
            let answers = askers.into_iter().flat_map(|asker| asker.join().expect("an asker"));
            answers.collect()
        })
    }
}
