//! The command of a task: a shell in a process group of its own, so that everything it starts can be stopped.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::output::CommandOutput;

/// How long a command may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait for the end of the output after the end of the command: a process that it left behind can hold the
/// pipe open.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// A command that runs. What is left of its process group is killed when this is dropped.
pub(super) struct RunningCommand {
    child: Child,
    group: Option<u32>,
    status: Option<std::io::Result<ExitStatus>>,
    /// What it prints.
    pub(super) output: CommandOutput,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandEnd {
    /// With this exit status.
    Exit(i32),
    /// By a signal, or in an unknown way.
    Killed,
}

impl fmt::Display for CommandEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandEnd::Exit(status) => write!(f, "the command ended with exit status {status}"),
            CommandEnd::Killed => f.write_str("a signal ended the command"),
        }
    }
}

impl RunningCommand {
    /// Starts a command in a shell, and writes `input` to its stdin.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        shell_command: &str,
        variables: &[(&str, String)],
        input: String,
    ) -> std::io::Result<Self> {
        let mut command = shell(shell_command);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input closes it.
            tokio::spawn(async move { _ = stdin.write_all(input.as_bytes()).await });
        }
        let output = CommandOutput::read(child.stdout.take(), child.stderr.take());
        Ok(RunningCommand { group: child.id(), child, status: None, output })
    }

    /// Waits until the command has ended. It can be dropped and called again.
    pub(super) async fn ended(&mut self) {
        if self.status.is_none() {
            self.status = Some(self.child.wait().await);
        }
    }

    /// Waits until the command has ended, and for the rest of its output.
    pub(super) async fn wait(&mut self) -> CommandEnd {
        self.ended().await;
        // Nothing that it started outlives the task.
        self.signal_group(GroupSignal::Kill);
        self.output.finish(OUTPUT_GRACE).await;
        match &self.status {
            Some(Ok(status)) => status.code().map_or(CommandEnd::Killed, CommandEnd::Exit),
            _ => CommandEnd::Killed,
        }
    }

    /// Asks the command to end, and kills it if it does not.
    pub(super) async fn terminate(&mut self) -> CommandEnd {
        self.signal_group(GroupSignal::Terminate);
        if tokio::time::timeout(GRACE, self.ended()).await.is_err() {
            return self.kill().await;
        }
        self.wait().await
    }

    /// Kills the command and everything that it started.
    pub(super) async fn kill(&mut self) -> CommandEnd {
        self.signal_group(GroupSignal::Kill);
        // Where there are no process groups.
        _ = self.child.start_kill();
        self.wait().await
    }

    #[cfg(unix)]
    fn signal_group(&self, signal: GroupSignal) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let group = self.group.and_then(|group| Pid::from_raw(i32::try_from(group).ok()?));
        if let Some(group) = group {
            let signal = match signal {
                GroupSignal::Terminate => Signal::TERM,
                GroupSignal::Kill => Signal::KILL,
            };
            // The group may have ended already.
            _ = kill_process_group(group, signal);
        }
    }

    #[cfg(not(unix))]
    fn signal_group(&self, _: GroupSignal) {}
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.signal_group(GroupSignal::Kill);
    }
}

#[derive(Clone, Copy)]
enum GroupSignal {
    Terminate,
    Kill,
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}
