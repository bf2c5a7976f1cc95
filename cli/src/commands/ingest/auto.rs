//! `ingest sessions --auto`: the same, as a hook of Claude Code. A hook must never disturb a session.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gam_model::{Clock as _, SystemClock};

use super::SessionsArgs;
use super::sessions::{Ingestion, RunMode, ingest, pusher};
use crate::environment;
use crate::error::{failure, one_line};
use crate::exit::Exit;
use crate::format::{duration, utc};
use crate::session::CliSession;
use crate::settings::DEFAULT_DATA_DIR;

/// How long stdin is waited for. Some versions of Claude Code never close it.
const STDIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long logs are sent to a server. A session waits for its hooks.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// The file in the data directory that says what failed.
const LOG_FILE: &str = "ingest.log";
/// The log starts again when it has more bytes.
const MAX_LOG_BYTES: u64 = 1 << 20;

/// The part of a command line that a failure before its settings are known needs.
pub(crate) struct HookCall {
    data_dir: PathBuf,
}

impl HookCall {
    /// Returns the call if the arguments, beginning with the program's name, are those of a hook.
    pub(crate) fn find(args: impl Iterator<Item = OsString>) -> Option<Self> {
        let args: Vec<String> = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
        let has = |name: &str| args.iter().any(|arg| arg == name);
        if !(has("ingest") && has("sessions") && has("--auto")) {
            return None;
        }
        let option = args.iter().enumerate().find_map(|(index, arg)| match arg.strip_prefix("--data-dir") {
            Some("") => args.get(index + 1).cloned(),
            Some(value) => value.strip_prefix('=').map(str::to_owned),
            None => None,
        });
        let data_dir = option.or_else(environment::data_dir).unwrap_or_else(|| DEFAULT_DATA_DIR.to_owned());
        Some(HookCall { data_dir: data_dir.into() })
    }

    /// Logs the first line of an error in the data directory, if there is one. Nothing else may come of it.
    pub(crate) fn log(&self, error: &str) {
        log(&self.data_dir, error.lines().next().unwrap_or_default());
    }
}

/// Reads the logs. Whatever happens, the exit status is that of success, and nothing is printed.
pub(super) async fn run(session: anyhow::Result<CliSession>, args: &SessionsArgs) -> Exit {
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            if let Some(call) = HookCall::find(std::env::args_os()) {
                call.log(&one_line(&error));
            }
            return Exit::Success;
        }
    };
    // What the object says does not matter: a hook that was missed before is made up for.
    let has_object = tokio::task::spawn_blocking(read_stdin).await.unwrap_or(false);
    let ingestion = async {
        let mut pusher = pusher(&session, args)?;
        let ingestion = ingest(&session, args, pusher.as_mut(), RunMode { can_wait: false, merges: true });
        if args.push.is_none() {
            return ingestion.await;
        }
        // What the server has taken until then is remembered.
        match tokio::time::timeout(PUSH_TIMEOUT, ingestion).await {
            Ok(result) => result,
            Err(_) => Err(failure(format!(
                "not everything was sent within {}; the next run sends the rest",
                duration(PUSH_TIMEOUT)
            ))),
        }
    };
    let problems = match ingestion.await {
        Ok(Ingestion::Done(outcome)) => outcome.problems(),
        Ok(Ingestion::OtherRun) => vec!["another run is reading the logs".to_owned()],
        Err(error) => vec![one_line(&error)],
    };
    let stdin = (!has_object).then(|| "stdin had no JSON object".to_owned());
    for text in problems.into_iter().chain(stdin) {
        log(&session.settings.data_dir, &text);
    }
    Exit::Success
}

/// Reads one JSON value from stdin, which may stay open. Returns whether there was one in time.
fn read_stdin() -> bool {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut values =
            serde_json::Deserializer::from_reader(std::io::stdin()).into_iter::<serde::de::IgnoredAny>();
        // Nobody listens any more if the time is over.
        let _ = sender.send(matches!(values.next(), Some(Ok(_))));
    });
    receiver.recv_timeout(STDIN_TIMEOUT).unwrap_or(false)
}

/// Adds a line to the log. There is nobody to report a failure to.
fn log(data_dir: &Path, text: &str) {
    let path = data_dir.join(LOG_FILE);
    let is_long = path.metadata().is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES);
    let file = OpenOptions::new().create(true).append(!is_long).write(true).truncate(is_long).open(path);
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{} {text}", utc(SystemClock.now()));
    }
}
