//! Generates session logs of Claude Code, to measure how fast they are read.
//!
//! The logs follow from their [`SessionLogShape`] and nothing else: the same seed gives the same bytes. They have the
//! proportions of real logs: most bytes are results of tools, and a fifth is progress. A response has a line for each of its
//! blocks, all with its id and only the last with its complete usage. Some sessions begin with the history of another one,
//! and subagents have files of their own, whose first responses their session repeats. All text is random words.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use anyhow::Context as _;

use crate::random::RandomStream;

/// One of this many files is that of a subagent of the session before.
const SUBAGENT_FILE: usize = 8;
/// One of this many sessions continues the history of another one, and repeats it.
const RESUMED_SESSION: usize = 10;
/// Number of responses of a subagent that its session repeats as progress.
const REPEATED_RESPONSES: u64 = 12;
/// Bytes of the text from which all texts are cut.
const POOL_BYTES: usize = 1 << 20;
/// The first second of all sessions, 2026-01-05T08:00:00Z, in seconds of the Unix epoch, and how far apart they begin.
const FIRST_SECOND: i64 = 1_767_600_000;
const SECONDS_OF_STARTS: u64 = 60 * 86_400;

/// What follows a key, so that streams of random numbers differ.
const SESSION: u64 = 1;
const RESPONSE: u64 = 2;
const POOL: u64 = 3;
const FILE: u64 = 4;

const MODELS: [&str; 4] =
    ["claude-opus-4-6", "claude-opus-4-6", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001"];
const TOOLS: [&str; 8] = ["Bash", "Bash", "Bash", "Read", "Read", "Edit", "Grep", "Write"];
/// Pieces of text as JSON has them: what source code and the output of programs look like.
const WORDS: [&str; 24] = [
    "fn",
    "return",
    "value\\n",
    "\\\"text\\\"",
    "src/main.rs",
    "let",
    "error:",
    "0x1f",
    "\\n    ",
    "=>",
    "self.count",
    "impl",
    "the",
    "of",
    "line",
    "\\t",
    "Some(",
    ")",
    "{\\n",
    "}",
    "expected",
    "found",
    "2026-02-03",
    "\u{2713}",
];

/// The size of the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionLogShape {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files together, about.
    pub bytes: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of the first session. Logs with other numbers have other sessions.
    pub first_session: usize,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenLogs {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Writes the logs below a directory, as Claude Code does below its own: `projects/-work-site/SESSION.jsonl`, and the files of
/// subagents in a directory of their session.
///
/// # Errors
/// If a file cannot be written.
pub fn write_session_logs(shape: &SessionLogShape, dir: &Path) -> anyhow::Result<WrittenLogs> {
    let pool = TextPool::new(shape.seed);
    let project = dir.join("projects/-work-site");
    fs::create_dir_all(&project).with_context(|| format!("cannot create {}", project.display()))?;
    let (next, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
    let failure: Mutex<Option<anyhow::Error>> = Mutex::default();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= shape.files {
                return;
            }
            let file = PlannedFile::new(shape, index);
            let text = file.text(shape, &pool);
            match write_file(&project.join(file.path()), &text) {
                Ok(()) => {
                    bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
                }
                Err(error) => {
                    *failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
                    next.store(shape.files, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        return Err(error);
    }
    let files = (0..shape.files).map(|index| project.join(PlannedFile::new(shape, index).path()));
    Ok(WrittenLogs { files: files.collect(), bytes: bytes.into_inner() })
}

fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(cannot_write)?;
    }
    fs::write(path, text).with_context(cannot_write)
}

/// A file, before its text is made.
struct PlannedFile {
    /// The number of the session.
    session: usize,
    is_subagent: bool,
    bytes: u64,
}

impl PlannedFile {
    fn new(shape: &SessionLogShape, index: usize) -> Self {
        let is_subagent = index % SUBAGENT_FILE == SUBAGENT_FILE - 1;
        let session = shape.first_session + if is_subagent { index - 1 } else { index };
        let mean = shape.bytes / shape.files.max(1) as u64;
        let mut random = RandomStream::from_key(&[shape.seed, FILE, (shape.first_session + index) as u64]);
        // Half of the mean to one and a half, unless there is only one.
        let bytes = if shape.files == 1 { mean } else { mean / 2 + random.below(mean.max(1)) };
        PlannedFile { session, is_subagent, bytes }
    }

    fn path(&self) -> PathBuf {
        let session = session_id(self.session);
        match self.is_subagent {
            true => PathBuf::from(format!("{session}/subagents/agent-{}.jsonl", agent_id(self.session))),
            false => PathBuf::from(format!("{session}.jsonl")),
        }
    }

    fn text(&self, shape: &SessionLogShape, pool: &TextPool) -> String {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        let mut log = SessionLog::new(shape.seed, (self.session, self.session), self.is_subagent, pool);
        let is_resumed = !self.is_subagent
            && self.session > shape.first_session
            && (self.session - shape.first_session).is_multiple_of(RESUMED_SESSION);
        if is_resumed {
            // The history of another session, under the own id.
            let mut history = SessionLog::new(shape.seed, (self.session, self.session - 1), false, pool);
            history.write_turns(bytes / 3);
            log.text = history.text;
        }
        log.write_turns(bytes);
        log.text
    }
}

fn session_id(session: usize) -> String {
    let bits = RandomStream::from_key(&[session as u64, SESSION]).bits();
    format!("{:08x}-{:04x}-4000-8000-{session:012x}", bits >> 32, bits & 0xffff)
}

fn agent_id(session: usize) -> String {
    format!("a{session:07x}")
}

/// Text to cut from.
struct TextPool {
    text: String,
    /// Where words begin.
    words: Vec<usize>,
}

impl TextPool {
    fn new(seed: u64) -> Self {
        let mut random = RandomStream::from_key(&[seed, POOL]);
        let mut pool = TextPool { text: String::with_capacity(POOL_BYTES + 16), words: Vec::new() };
        while pool.text.len() < POOL_BYTES {
            pool.words.push(pool.text.len());
            pool.text.push_str(random.pick(&WORDS));
            pool.text.push(' ');
        }
        pool
    }

    /// Returns about this many bytes of text.
    fn cut(&self, random: &mut RandomStream, bytes: usize) -> &str {
        let last = self.words.len() - 1;
        let first = random.below(last as u64) as usize;
        let end = self.words.partition_point(|&at| at < self.words[first] + bytes).min(last);
        &self.text[self.words[first]..self.words[end.max(first)]]
    }
}

/// What a response used.
struct Usage {
    model: &'static str,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

/// A log that is written.
struct SessionLog<'a> {
    pool: &'a TextPool,
    seed: u64,
    /// The session that writes.
    session: usize,
    /// The session whose turns they are. Another one if it repeats the history of that one.
    content: usize,
    is_subagent: bool,
    random: RandomStream,
    text: String,
    records: u64,
    responses: u64,
    second: i64,
}

impl<'a> SessionLog<'a> {
    fn new(seed: u64, (session, content): (usize, usize), is_subagent: bool, pool: &'a TextPool) -> Self {
        let key = [seed, SESSION, content as u64, u64::from(is_subagent)];
        let mut random = RandomStream::from_key(&key);
        let second = FIRST_SECOND + random.below(SECONDS_OF_STARTS) as i64;
        SessionLog {
            pool,
            seed,
            session,
            content,
            is_subagent,
            random,
            text: String::new(),
            records: 0,
            responses: 0,
            second,
        }
    }

    /// Writes turns until the log has this many bytes.
    fn write_turns(&mut self, bytes: usize) {
        while self.text.len() < bytes {
            self.write_turn(bytes);
        }
    }

    /// Returns the id of a response, and what it used. Every log that has it says the same.
    fn response(&self, number: u64, is_subagent: bool) -> (String, Usage) {
        let word = if is_subagent { "a" } else { "m" };
        let key = [self.seed, RESPONSE, self.content as u64, u64::from(is_subagent), number];
        let mut random = RandomStream::from_key(&key);
        let usage = Usage {
            model: random.pick(&MODELS),
            input: 1 + random.below(9),
            output: 20 + random.skewed(4_000),
            cache_read: random.below(120_000),
            cache_write: random.below(9_000),
        };
        (format!("msg_{:06x}{word}{number:08x}", self.content), usage)
    }

    /// Writes a prompt, and some responses, each with calls of tools and their results. Fewer if the log then has this many
    /// bytes.
    fn write_turn(&mut self, bytes: usize) {
        let prompt = self.words(200);
        self.write_record("user", &format!("\"message\":{{\"role\":\"user\",\"content\":\"{prompt}\"}}"));
        for _ in 0..2 + self.random.below(10) {
            if self.text.len() < bytes {
                self.write_response();
            }
        }
        if !self.is_subagent {
            let ms = 1_000 + self.random.below(90_000);
            self.write_record("system", &format!("\"subtype\":\"turn_duration\",\"durationMs\":{ms}"));
            let snapshot = self.words(600);
            self.write_record("file-history-snapshot", &format!("\"snapshot\":{{\"files\":\"{snapshot}\"}}"));
        }
    }

    fn write_response(&mut self) {
        let number = self.responses;
        self.responses += 1;
        let (id, usage) = self.response(number, self.is_subagent);
        let call = format!("toolu_{}", &id[4..]);
        let tool = self.random.pick(&TOOLS);
        let thought = self.words(400);
        let said = self.words(250);
        let command = self.words(160);
        let blocks = [
            format!("{{\"type\":\"thinking\",\"thinking\":\"{thought}\",\"signature\":\"c2lnbmF0dXJl\"}}"),
            format!("{{\"type\":\"text\",\"text\":\"{said}\"}}"),
            format!(
                "{{\"type\":\"tool_use\",\"id\":\"{call}\",\"name\":\"{tool}\",\"input\":{{\"command\":\"{command}\"}}}}"
            ),
        ];
        let first = usize::from(self.random.chance(0.4));
        for (place, block) in blocks.iter().enumerate().skip(first) {
            // Only the last copy says how many tokens the response had.
            let is_last = place + 1 == blocks.len();
            let record = assistant_fields(&id, &usage, block, is_last);
            self.write_record("assistant", &record);
        }
        for _ in 0..self.random.below(3) {
            let output = self.words(1_400);
            let progress = format!(
                "\"data\":{{\"type\":\"bash_progress\",\"output\":\"{output}\",\"elapsedTimeSeconds\":3}}"
            );
            self.write_record("progress", &progress);
        }
        if !self.is_subagent && number < REPEATED_RESPONSES {
            self.write_agent_progress(number);
        }
        self.write_result(&call, tool);
    }

    /// Writes a response of the subagent, as its session repeats it.
    fn write_agent_progress(&mut self, number: u64) {
        let (id, usage) = self.response(number, true);
        let said = self.words(300);
        let block = format!("{{\"type\":\"text\",\"text\":\"{said}\"}}");
        let record = assistant_fields(&id, &usage, &block, true);
        let (time, agent) = (self.time(), agent_id(self.session));
        let data = format!(
            "\"data\":{{\"type\":\"agent_progress\",\"agentId\":\"{agent}\",\"message\":{{\"type\":\"assistant\",{record},\
             \"timestamp\":\"{time}\",\"uuid\":\"p-{id}\"}}}}"
        );
        self.write_record("progress", &data);
    }

    fn write_result(&mut self, call: &str, tool: &str) {
        let bytes = 200 + self.random.skewed(24_000) as usize;
        let (output, place) = (self.words(bytes), self.random.below(100));
        let (is_error, output) = match place {
            0 => (true, "The user doesn't want to proceed with this tool use."),
            1..=4 => (true, &*output),
            _ => (false, &*output),
        };
        let parsed = match tool {
            "Edit" | "Write" => {
                let (old, new) = (self.words(120), self.words(180));
                format!(
                    "{{\"filePath\":\"/work/site/src/lib.rs\",\"oldString\":\"{old}\",\"newString\":\"{new}\",\
                     \"originalFile\":\"{output}\",\"structuredPatch\":[{{\"oldStart\":1,\"oldLines\":3,\"newStart\":1,\
                     \"newLines\":4,\"lines\":[\" a\",\"-{old}\",\"+{new}\",\"+b\",\" c\"]}}],\"userModified\":false}}"
                )
            }
            _ => {
                format!("{{\"stdout\":\"{output}\",\"stderr\":\"\",\"interrupted\":false,\"isImage\":false}}")
            }
        };
        let result = format!(
            "\"message\":{{\"role\":\"user\",\"content\":[{{\"tool_use_id\":\"{call}\",\"type\":\"tool_result\",\
             \"content\":\"{output}\",\"is_error\":{is_error}}}]}},\"toolUseResult\":{parsed}"
        );
        self.write_record("user", &result);
    }

    fn words(&mut self, bytes: usize) -> String {
        self.pool.cut(&mut self.random, bytes).to_owned()
    }

    /// Returns the time of the next record, as records have it.
    fn time(&self) -> String {
        let time = chrono::DateTime::from_timestamp(self.second, 0).unwrap_or_default();
        time.format("%Y-%m-%dT%H:%M:%S.000Z").to_string()
    }

    fn write_record(&mut self, record_type: &str, fields: &str) {
        self.records += 1;
        self.second += 1 + self.random.below(12) as i64;
        let (session, time, record) = (session_id(self.session), self.time(), self.records);
        let agent = match self.is_subagent {
            true => format!(",\"agentId\":\"{}\"", agent_id(self.session)),
            false => String::new(),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            self.text,
            "{{\"parentUuid\":null,\"isSidechain\":{},\"userType\":\"external\",\"cwd\":\"/work/site\",\
             \"sessionId\":\"{session}\",\"version\":\"2.1.39\",\"gitBranch\":\"feature-{}\"{agent},\"type\":\"{record_type}\",\
             {fields},\"uuid\":\"{session}-{record}\",\"timestamp\":\"{time}\"}}",
            self.is_subagent,
            self.content % 40,
        );
    }
}

/// Returns the fields of a line of a response.
fn assistant_fields(id: &str, usage: &Usage, block: &str, is_last: bool) -> String {
    let Usage { model, input, cache_read, cache_write, .. } = usage;
    let (output, stop) = if is_last { (usage.output, "\"tool_use\"") } else { (usage.output.min(8), "null") };
    format!(
        "\"message\":{{\"model\":\"{model}\",\"id\":\"{id}\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{block}],\
         \"stop_reason\":{stop},\"stop_sequence\":null,\"usage\":{{\"input_tokens\":{input},\
         \"cache_creation_input_tokens\":{cache_write},\"cache_read_input_tokens\":{cache_read},\"cache_creation\":\
         {{\"ephemeral_5m_input_tokens\":{cache_write},\"ephemeral_1h_input_tokens\":0}},\"output_tokens\":{output},\
         \"service_tier\":\"standard\"}}}},\"requestId\":\"req_{}\"",
        &id[4..]
    )
}
