//! The stack: builds it once, deploys it to a test's emulator, invokes its functions and inspects it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use gam_tests::github::webhooks::{WEBHOOK_SECRET, WebhookEvent, webhook_signature};
use gam_tests::github::{Double, TOKEN, World};
use gam_tests::http::{HttpResponse, send_request, send_request_with_body};
use gam_tests::program::memory_kb;
use serde_json::{Value, json};

use super::emulator::{Emulator, wait_for};
use crate::tools::{run, script};
use gam_tests::support::SINCE;

/// Number of parallel requests to the API.
const CLIENT_COUNT: usize = 4;

/// Returns the built template, with the functions next to it. It is built once, from what `cargo test` has
/// compiled.
pub(crate) fn built_template() -> &'static Path {
    static TEMPLATE: LazyLock<PathBuf> = LazyLock::new(|| {
        let mut script = script();
        script.arg("build");
        let path = run(script).unwrap_or_else(|why| panic!("the functions cannot be built: {why}"));
        PathBuf::from(path.trim())
    });
    &TEMPLATE
}

/// A deployed stack.
pub(crate) struct Stack<'a> {
    pub(crate) aws: &'a Emulator,
    name: String,
    outputs: BTreeMap<String, String>,
    token: String,
}

/// Returns the parameters of a stack that collects from a double.
pub(crate) fn parameters(world: &World, double: &Double) -> BTreeMap<String, String> {
    parameters_for(&world.org, double.api_url())
}

/// Returns the parameters of a stack for an organization and a GitHub.
pub(crate) fn parameters_for(org: &str, api_url: String) -> BTreeMap<String, String> {
    let parameters = [
        ("Organizations", org.to_lowercase()),
        ("GitHubTokenSecret", "github-token".to_owned()),
        ("GitHubApiUrl", api_url),
        ("CollectSince", SINCE.to_owned()),
        ("Architecture", if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }.to_owned()),
        ("RunsOn", "emulator".to_owned()),
    ];
    parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns an event of an HTTP API, in payload format 2.0.
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

/// Returns the event of an HTTP API about a signed webhook delivery.
pub(crate) fn delivery_event(event: &WebhookEvent) -> Value {
    let path = "/api/v1/webhook/github";
    let mut request = gateway_event(path, "", "");
    request["headers"] = json!({
        "host": "api.example", "content-type": "application/json", "x-github-event": event.event,
        "x-github-delivery": event.guid,
        "x-hub-signature-256": webhook_signature(WEBHOOK_SECRET, event.body.as_bytes()),
    });
    request["requestContext"]["http"]["method"] = json!("POST");
    request["body"] = json!(event.body);
    request
}

impl<'a> Stack<'a> {
    /// Creates the secret with the double's token, and deploys a stack for the double.
    pub(crate) fn deploy(aws: &'a Emulator, world: &World, double: &Double) -> Self {
        let template = built_template();
        aws.call("secretsmanager", "create_secret", json!({ "Name": "github-token", "SecretString": TOKEN }));
        Self::with_parameters(aws, template, &parameters(world, double))
    }

    /// Creates the secrets, and deploys a stack for the double that takes webhooks.
    pub(crate) fn deploy_with_webhooks(aws: &'a Emulator, world: &World, double: &Double) -> Self {
        let template = built_template();
        for (name, text) in [("github-token", TOKEN), ("webhook-secret", WEBHOOK_SECRET)] {
            aws.call("secretsmanager", "create_secret", json!({ "Name": name, "SecretString": text }));
        }
        let mut parameters = parameters(world, double);
        parameters.insert("WebhookSecret".to_owned(), "webhook-secret".to_owned());
        Self::with_parameters(aws, template, &parameters)
    }

    /// Creates the secrets, and deploys a stack for the double that has all functions. Nothing writes to the double.
    pub(crate) fn deploy_with_all_functions(aws: &'a Emulator, world: &World, double: &Double) -> Self {
        let template = built_template();
        let mut parameters = parameters(world, double);
        for (name, text, parameter) in [
            ("github-token", TOKEN, "GitHubTokenSecret"),
            ("github-write", TOKEN, "GitHubWriteSecret"),
            ("webhook-secret", WEBHOOK_SECRET, "WebhookSecret"),
        ] {
            aws.call("secretsmanager", "create_secret", json!({ "Name": name, "SecretString": text }));
            parameters.insert(parameter.to_owned(), name.to_owned());
        }
        parameters.insert("NotifySecrets".to_owned(), "ssm:/notify".to_owned());
        Self::with_parameters(aws, template, &parameters)
    }

    /// Deploys a template with these parameters.
    pub(crate) fn with_parameters(
        aws: &'a Emulator,
        template: &Path,
        parameters: &BTreeMap<String, String>,
    ) -> Self {
        let name = "gam-test";
        let request = json!({ "stack": name, "template": template, "parameters": parameters });
        let stack = aws.call("tests", "deploy", request);
        Self::from_description(aws, name, &stack)
    }

    /// Deploys with `sam deploy`, as users do.
    pub(crate) fn deploy_with_sam(aws: &'a Emulator, parameters: &BTreeMap<String, String>) -> Self {
        let name = "gam-by-sam";
        let mut script = script();
        script.args(["deploy", "--endpoint", aws.endpoint(), "--stack-name", name]);
        script.args(parameters.iter().map(|(name, value)| format!("{name}={value}")));
        run(script).unwrap_or_else(|why| panic!("sam deploy: {why}"));
        let stacks = aws.call("cloudformation", "describe_stacks", json!({ "StackName": name }));
        Self::from_description(aws, name, &stacks["Stacks"][0])
    }

    fn from_description(aws: &'a Emulator, name: &str, stack: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let outputs = stack["Outputs"].as_array().expect("outputs").iter();
        let outputs: BTreeMap<String, String> =
            outputs.map(|output| (text(&output["OutputKey"]), text(&output["OutputValue"]))).collect();
        let read_secret = |name: &String| {
            let secret = aws.call("secretsmanager", "get_secret_value", json!({ "SecretId": name }));
            text(&secret["SecretString"])
        };
        let token = outputs.get("AccessTokenSecret").map(read_secret).unwrap_or_default();
        Stack { aws, name: name.to_owned(), outputs, token }
    }

    /// Name of the stack.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether the stack has this output.
    pub(crate) fn has_output(&self, output: &str) -> bool {
        self.outputs.contains_key(output)
    }

    /// Bearer token of the HTTP endpoint. Empty if it has none.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Returns an output of the stack.
    #[track_caller]
    pub(crate) fn output(&self, name: &str) -> &str {
        self.outputs.get(name).unwrap_or_else(|| panic!("the stack {} has no output {name}", self.name))
    }

    /// Invokes a function and waits for its answer.
    ///
    /// # Errors
    /// The error that the function reported.
    pub(crate) fn try_invoke(&self, function: &str, payload: &Value) -> Result<Value, Value> {
        let request = json!({ "FunctionName": self.output(function), "Payload": payload.to_string() });
        let mut answer = self.aws.call("lambda", "invoke", request);
        let text = answer["Payload"].as_str().unwrap_or_default();
        let payload = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        if answer["FunctionError"].take().is_null() { Ok(payload) } else { Err(payload) }
    }

    /// Invokes a function.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub(crate) fn invoke(&self, function: &str, payload: &Value) -> Value {
        self.try_invoke(function, payload).unwrap_or_else(|error| panic!("{function}: {error}"))
    }

    /// Invokes a function without waiting.
    pub(crate) fn start(&self, function: &str, payload: &Value) {
        let request = json!({
            "FunctionName": self.output(function), "InvocationType": "Event", "Payload": payload.to_string(),
        });
        self.aws.call("lambda", "invoke", request);
    }

    /// Fires a deployed schedule now, through a new schedule with the same target.
    pub(crate) fn fire(&self, schedule: &str) {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let deployed = self.aws.call("scheduler", "get_schedule", json!({ "Name": self.output(schedule) }));
        let request = json!({
            "Name": format!("now-{}", LAST.fetch_add(1, Ordering::Relaxed)),
            "ScheduleExpression": "at(2020-01-01T00:00:00)",
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": deployed["Target"],
        });
        self.aws.call("scheduler", "create_schedule", request);
    }

    /// Plans as the schedule does, and waits until everything is processed.
    pub(crate) fn collect(&self) {
        self.invoke("CollectFunction", &json!({ "action": "plan" }));
        self.settle();
    }

    /// Returns the number of messages in a queue: visible, in flight and delayed.
    pub(crate) fn depth(&self, queue: &str) -> u64 {
        let request = json!({ "QueueUrl": self.output(queue), "AttributeNames": ["All"] });
        let answer = self.aws.call("sqs", "get_queue_attributes", request);
        let kinds = ["", "NotVisible", "Delayed"].map(|kind| format!("ApproximateNumberOfMessages{kind}"));
        let count =
            |kind: &String| answer["Attributes"][kind].as_str().and_then(|count| count.parse::<u64>().ok());
        kinds.iter().filter_map(count).sum()
    }

    /// Returns the keys of the lake with a prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let request = json!({ "Bucket": self.output("LakeBucket"), "Prefix": prefix });
        let objects = self.aws.list("s3", "list_objects_v2", "Contents", request);
        objects.iter().filter_map(|object| Some(object["Key"].as_str()?.to_owned())).collect()
    }

    /// Waits until nothing is left to do: no commands, no messages about batches, no batches.
    #[track_caller]
    pub(crate) fn settle(&self) {
        for queue in ["WorkQueueUrl", "ReconcileQueueUrl"] {
            wait_for("the work to be done", || (self.depth(queue) == 0).then_some(()));
        }
        wait_for("the inbox to be empty", || {
            (self.depth("InboxQueueUrl") == 0 && self.keys("inbox/org=").is_empty()).then_some(())
        });
        wait_for("all months to be folded", || (self.depth("MonthQueueUrl") == 0).then_some(()));
    }

    /// Puts a file into the lake.
    pub(crate) fn put(&self, key: &str, file: &Path) {
        let request = json!({ "Bucket": self.output("LakeBucket"), "Key": key, "Body": { "$file": file } });
        self.aws.call("s3", "put_object", request);
    }

    /// Sends a message to a queue.
    pub(crate) fn send(&self, queue: &str, body: &Value) {
        let request = json!({ "QueueUrl": self.output(queue), "MessageBody": body.to_string() });
        self.aws.call("sqs", "send_message", request);
    }

    /// Sends a message about a month to the queue of months, in the group of that month.
    pub(crate) fn send_month(&self, body: &Value) {
        let group = format!("{}#{}", body["org"].as_str().unwrap_or_default(), body["month"]);
        let request = json!({
            "QueueUrl": self.output("MonthQueueUrl"), "MessageBody": body.to_string(),
            "MessageGroupId": group.replace('"', ""),
        });
        self.aws.call("sqs", "send_message", request);
    }

    /// Returns the processes of a function.
    fn processes(&self, function: &str) -> Vec<u32> {
        let expected = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.output(function));
        let is_of_function = |pid: &u32| {
            let directory = std::fs::read_link(format!("/proc/{pid}/cwd"));
            let variables = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            directory.is_ok_and(|directory| directory.starts_with(self.aws.dir()))
                && variables.split(|byte| *byte == 0).any(|variable| variable == expected.as_bytes())
        };
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_of_function).collect()
    }

    /// Returns the peak memory of a function's running processes, in kB.
    pub(crate) fn memory(&self, function: &str) -> Option<u64> {
        self.processes(function).into_iter().filter_map(|pid| memory_kb(pid, "VmHWM")).max()
    }

    /// Kills the processes of a function, and returns their number.
    pub(crate) fn kill(&self, function: &str) -> usize {
        let kill = |pid: &u32| {
            // It may have ended already.
            Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status()
                .is_ok_and(|status| status.success())
        };
        self.processes(function).iter().filter(|pid| kill(pid)).count()
    }

    /// Shortens a queue's visibility timeout, so that messages return soon after a failure.
    pub(crate) fn shorten_visibility_timeout(&self, queue: &str, seconds: u32) {
        let attributes = json!({ "VisibilityTimeout": seconds.to_string() });
        let request = json!({ "QueueUrl": self.output(queue), "Attributes": attributes });
        self.aws.call("sqs", "set_queue_attributes", request);
    }

    /// Receives the messages of a queue: body and attribute `reason`.
    pub(crate) fn messages(&self, queue: &str) -> Vec<(String, Option<String>)> {
        let request = json!({
            "QueueUrl": self.output(queue), "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        });
        let answer = self.aws.call("sqs", "receive_message", request);
        let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let parse = |message: &Value| {
            let reason = text(&message["MessageAttributes"]["reason"]["StringValue"]);
            (text(&message["Body"]).unwrap_or_default(), reason)
        };
        messages.iter().map(parse).collect()
    }

    /// Returns the log lines of a function. Lines that are not JSON become strings.
    pub(crate) fn log_lines(&self, function: &str) -> Vec<Value> {
        let request = json!({ "FunctionName": self.output(function) });
        let configuration = self.aws.call("lambda", "get_function_configuration", request);
        let group = &configuration["LoggingConfig"]["LogGroup"];
        let request = json!({ "logGroupName": group });
        let streams = self.aws.list("logs", "describe_log_streams", "logStreams", request);
        let mut lines = Vec::new();
        for stream in streams {
            let request = json!({ "logGroupName": group, "logStreamName": stream["logStreamName"] });
            let page = self.aws.call("logs", "get_log_events", request);
            lines.extend(page["events"].as_array().into_iter().flatten().filter_map(|event| {
                let text = event["message"].as_str()?;
                Some(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
            }));
        }
        lines
    }

    /// Returns the log lines of a function that contain embedded metrics, in the order of the log.
    pub(crate) fn metric_lines(&self, function: &str) -> Vec<Value> {
        let mut lines = self.log_lines(function);
        lines.retain(|line| line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "GitHubActivityMetrics");
        lines
    }

    /// Returns the values of an embedded metric, in the order of the log.
    pub(crate) fn metric(&self, function: &str, name: &str) -> Vec<f64> {
        self.metric_lines(function).iter().filter_map(|line| line[name].as_f64()).collect()
    }

    /// Requests a target of the HTTP endpoint with the bearer token.
    pub(crate) fn get(&self, target: &str) -> HttpResponse {
        self.get_with_headers(target, &[("authorization", &format!("Bearer {}", self.token))])
    }

    /// Host of the HTTP endpoint.
    pub(crate) fn host(&self) -> &str {
        self.output("ApiUrl").trim_start_matches("http://").trim_start_matches("https://")
    }

    /// Requests a target of the HTTP endpoint with these headers.
    pub(crate) fn get_with_headers(&self, target: &str, headers: &[(&str, &str)]) -> HttpResponse {
        let headers = [&[("host", self.host())], headers].concat();
        send_request(self.aws.address(), "GET", target, &headers)
    }

    /// Posts JSON to the HTTP endpoint with a bearer token.
    pub(crate) fn post(&self, target: &str, token: &str, body: &Value) -> HttpResponse {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("host", self.host()),
            ("authorization", &authorization),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ];
        send_request_with_body(self.aws.address(), ("POST", target), &headers, &body.to_string())
    }

    /// Returns the policy of a function's role, by the name of the policy.
    pub(crate) fn policy(&self, function: &str, name: &str) -> Value {
        let request = json!({ "FunctionName": self.output(function) });
        let configuration = self.aws.call("lambda", "get_function_configuration", request);
        let role = configuration["Role"].as_str().and_then(|arn| arn.rsplit('/').next()).expect("a role");
        let request = json!({ "RoleName": role, "PolicyName": name });
        self.aws.call("iam", "get_role_policy", request)["PolicyDocument"]["Statement"].clone()
    }

    /// Returns credentials of a function's role, as the function gets them.
    pub(crate) fn credentials(&self, function: &str) -> Vec<String> {
        let request = json!({ "FunctionName": self.output(function) });
        let configuration = self.aws.call("lambda", "get_function_configuration", request);
        let request = json!({ "RoleArn": configuration["Role"], "RoleSessionName": "test" });
        let session = self.aws.call("sts", "assume_role", request);
        let part = |name: &str| session["Credentials"][name].as_str().expect("credentials").to_owned();
        vec![part("AccessKeyId"), part("SecretAccessKey"), part("SessionToken")]
    }

    /// Asserts that a function's role cannot call any of these operations: service, operation and parameters.
    #[track_caller]
    pub(crate) fn assert_forbidden(&self, function: &str, operations: &[(&str, &str, Value)]) {
        let credentials = self.credentials(function);
        for (service, operation, parameters) in operations {
            match self.aws.call_as(&credentials, service, operation, parameters.clone()) {
                Ok(answer) => panic!("{function} can call {service} {operation}: {answer}"),
                Err(error) => {
                    assert!(error.code.starts_with("AccessDenied"), "{service} {operation}: {error:?}");
                }
            }
        }
    }

    /// Fetches the answers to several targets in parallel.
    pub(crate) fn answers(&self, targets: &[String]) -> BTreeMap<String, String> {
        let chunk_size = targets.len().div_ceil(CLIENT_COUNT);
        std::thread::scope(|scope| {
            let clients: Vec<_> = targets
                .chunks(chunk_size)
                .map(|chunk| {
                    scope.spawn(move || {
                        let answer = |target: &String| {
                            let answer = self.get(target);
                            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
                            (target.clone(), answer.text())
                        };
                        chunk.iter().map(answer).collect::<Vec<_>>()
                    })
                })
                .collect();
            let answers = clients.into_iter().flat_map(|client| client.join().expect("a client thread"));
            answers.collect()
        })
    }
}
