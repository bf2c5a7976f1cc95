//! Tests of generated session logs: what they promise to measurements, and that the reader understands all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gam_bench::{SessionLogShape, WrittenLogs, write_session_logs};
use gam_model::{CodingAgent, SessionEventKind};
use gam_sessions::LogFacts;

fn shape(seed: u64) -> SessionLogShape {
    SessionLogShape { files: 24, bytes: 4_000_000, seed, first_session: 0 }
}

fn write(shape: &SessionLogShape) -> (tempfile::TempDir, WrittenLogs) {
    let directory = tempfile::tempdir().unwrap();
    let written = write_session_logs(shape, directory.path()).unwrap();
    (directory, written)
}

fn read(path: &Path) -> LogFacts {
    let bytes = fs::read(path).unwrap();
    gam_sessions::reader(CodingAgent::Claude).read(&mut &bytes[..]).unwrap()
}

/// Returns the output tokens of each response by its id, of the copy in the file with most of them.
fn responses(files: &[PathBuf]) -> BTreeMap<String, i64> {
    let mut responses = BTreeMap::new();
    for fact in files.iter().flat_map(|path| read(path).facts) {
        if fact.kind == SessionEventKind::AgentResponse {
            let output = fact.facts.output_tokens.unwrap_or_default();
            let most = responses.entry(fact.id.to_string()).or_insert(output);
            *most = output.max(*most);
        }
    }
    responses
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let contents = |seed: u64| {
        let (directory, written) = write(&shape(seed));
        let content = |path: &PathBuf| {
            (path.strip_prefix(directory.path()).unwrap().to_owned(), fs::read(path).unwrap())
        };
        written.files.iter().map(content).collect::<BTreeMap<_, _>>()
    };
    let first = contents(1);
    assert_eq!(first.len(), 24, "each file has a path of its own");
    assert_eq!(first, contents(1));
    assert_ne!(first, contents(2));
}

#[test]
fn the_files_have_the_size_and_every_record_is_understood() {
    let (_directory, written) = write(&shape(1));
    let bytes: u64 = written.files.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert_eq!(bytes, written.bytes);
    assert!((3_000_000..6_000_000).contains(&bytes), "{bytes} bytes");
    let mut kinds = BTreeSet::new();
    for path in &written.files {
        let facts = read(path);
        assert!(facts.are_complete(), "{}: {:?}", path.display(), facts.counts);
        kinds.extend(facts.facts.iter().map(|fact| fact.kind.as_str()));
    }
    assert_eq!(kinds, BTreeSet::from(["agent_response", "agent_session", "agent_tool_call"]));
}

#[test]
fn responses_have_several_copies_in_and_between_files() {
    let (_directory, written) = write(&shape(1));
    let lines: usize = written
        .files
        .iter()
        .map(|path| fs::read_to_string(path).unwrap().matches("\"usage\":{").count())
        .sum();
    let all = responses(&written.files);
    assert!(lines > 2 * all.len(), "{lines} copies of {} responses", all.len());
    let alone: usize = written.files.iter().map(|path| responses(std::slice::from_ref(path)).len()).sum();
    assert!(alone > all.len(), "subagents and resumed sessions repeat responses: {alone} and {}", all.len());
    // Sessions with other numbers have other responses.
    let (_directory, more) = write(&SessionLogShape { first_session: 1_000, ..shape(1) });
    assert!(responses(&more.files).keys().all(|id| !all.contains_key(id)));
}
