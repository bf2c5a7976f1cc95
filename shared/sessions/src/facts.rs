//! What a log file says, and how it becomes events.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use gam_model::{CodingAgent, FieldText, Member, SessionEvent, SessionEventKind, SessionFacts};
use rustc_hash::FxHashMap;

use crate::READING;

/// Branches that reveal nothing, so their names are kept.
const COMMON_BRANCHES: [&str; 4] = ["main", "master", "develop", "trunk"];

/// Where a session worked. It stays on the machine: only the repository that it belongs to leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Workplace {
    /// The working directory, as the log names it; empty if it names none.
    pub directory: String,
    /// The address of the git remote, if the log names it.
    pub remote: Option<String>,
}

/// A fact of a log file. It lacks the member, the organization and the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFact {
    /// The index in [`LogFacts::workplaces`].
    pub workplace: usize,
    /// The identity of the fact.
    pub id: FieldText,
    /// Orders the versions of the fact.
    pub version: i64,
    /// What sort of fact it is.
    pub kind: SessionEventKind,
    /// When it happened, UTC.
    pub occurred_at: DateTime<Utc>,
    /// The id of the session.
    pub session: FieldText,
    /// The fields that depend on the kind. Branches and tools have their full names here.
    pub facts: SessionFacts,
}

/// A type of record that the reader does not know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownRecord {
    /// The type of the record; for records within a group, `group/type`.
    pub record_type: FieldText,
    /// The version of the agent that wrote it; a hyphen if it is not known.
    pub client_version: FieldText,
}

/// How much of a log was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Lines, also empty ones.
    pub lines: u64,
    /// JSON objects.
    pub records: u64,
    /// Lines of which a part is no JSON object. The rest of such a line is read.
    pub torn_lines: u64,
    /// Lines that are longer than [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES), and were skipped.
    pub oversized_lines: u64,
    /// Last lines that are not complete, and were left out because the agent is still writing them.
    pub unfinished_lines: u64,
    /// Records of known types that lack what their facts need. Nothing, or not everything, was read of them.
    pub dropped_records: u64,
    /// Records of unknown types, by type and version.
    pub unknown_records: BTreeMap<UnknownRecord, u64>,
}

impl ReadCounts {
    /// Adds the counts of another file.
    pub fn add(&mut self, other: &ReadCounts) {
        self.lines += other.lines;
        self.records += other.records;
        self.torn_lines += other.torn_lines;
        self.oversized_lines += other.oversized_lines;
        self.unfinished_lines += other.unfinished_lines;
        self.dropped_records += other.dropped_records;
        for (record, count) in &other.unknown_records {
            *self.unknown_records.entry(record.clone()).or_default() += count;
        }
    }

    /// Returns whether everything in the log was understood: no line was torn, too long or unfinished, and no record was
    /// of an unknown type or lacked something.
    pub fn is_complete(&self) -> bool {
        self.torn_lines == 0
            && self.oversized_lines == 0
            && self.unfinished_lines == 0
            && self.dropped_records == 0
            && self.unknown_records.is_empty()
    }

    pub(crate) fn add_unknown(&mut self, record_type: &str, client_version: Option<&str>) {
        let record = UnknownRecord {
            record_type: FieldText::new(record_type),
            client_version: FieldText::new(client_version.unwrap_or("-")),
        };
        *self.unknown_records.entry(record).or_default() += 1;
    }
}

/// The facts of one log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFacts {
    /// The agent that wrote it.
    pub agent: CodingAgent,
    /// Where its sessions worked.
    pub workplaces: Vec<Workplace>,
    /// The facts, sorted by id.
    pub facts: Vec<LogFact>,
    /// How much was read.
    pub counts: ReadCounts,
}

/// To whom the facts of a workplace belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The organization's storage key.
    pub org: String,
    /// The name of the repository.
    pub repo: String,
    /// GitHub's numeric repository id.
    pub repo_id: i64,
    /// The member whose sessions they are.
    pub member: Member,
}

/// Names that leave the machine only by permission.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disclosure {
    /// Whether names of branches are kept. If not, a branch is a hash, except for `main` and the like.
    pub branches: bool,
    /// Whether names of MCP tools are kept. If not, they are `mcp`.
    pub mcp_tools: bool,
}

/// The events of a log file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacedFacts {
    /// The events whose workplace has an owner.
    pub events: Vec<SessionEvent>,
    /// The sessions at each workplace without an owner, which are left out: pairs of workplace and session.
    pub left_out: Vec<(Workplace, FieldText)>,
}

impl LogFacts {
    /// Returns whether the facts are all that the file says: everything was understood, and if there are records, there
    /// is a fact. A file with records of which nothing was read is more likely not understood than empty.
    pub fn are_complete(&self) -> bool {
        self.counts.is_complete() && (self.counts.records == 0 || !self.facts.is_empty())
    }

    /// Adds who and where to the facts. `owners` has an entry for each workplace; `None` leaves its facts out.
    pub fn place(
        &self,
        owners: &[Option<Owner>],
        disclosure: Disclosure,
        collected_at: DateTime<Utc>,
    ) -> PlacedFacts {
        let mut placed = PlacedFacts::default();
        for fact in &self.facts {
            let Some(owner) = owners.get(fact.workplace).and_then(Option::as_ref) else {
                let workplace = self.workplaces.get(fact.workplace).cloned().unwrap_or_default();
                placed.left_out.push((workplace, fact.session.clone()));
                continue;
            };
            let mut facts = fact.facts.clone();
            facts.branch = facts.branch.map(|branch| disclosed_branch(branch, disclosure));
            facts.tool = facts.tool.map(|tool| disclosed_tool(tool, disclosure));
            placed.events.push(SessionEvent {
                id: fact.id.clone(),
                version: fact.version,
                kind: fact.kind,
                org: owner.org.clone(),
                repo: owner.repo.clone(),
                repo_id: owner.repo_id,
                member: owner.member.clone(),
                occurred_at: fact.occurred_at,
                collected_at,
                retracted: false,
                reading: READING,
                agent: self.agent,
                session: fact.session.clone(),
                facts,
            });
        }
        placed.left_out.sort_by(|a, b| (&a.0.directory, &a.1).cmp(&(&b.0.directory, &b.1)));
        placed.left_out.dedup();
        placed
    }
}

fn disclosed_branch(branch: FieldText, disclosure: Disclosure) -> FieldText {
    let is_kept = disclosure.branches || branch.is_hashed() || COMMON_BRANCHES.contains(&branch.as_str());
    if is_kept { branch } else { FieldText::hashed(branch.as_str()) }
}

fn disclosed_tool(tool: FieldText, disclosure: Disclosure) -> FieldText {
    let is_mcp = tool.as_str().starts_with("mcp__");
    if is_mcp && !disclosure.mcp_tools { FieldText::new("mcp") } else { tool }
}

/// Numbers the workplaces of a file.
#[derive(Debug, Default)]
pub(crate) struct Workplaces {
    indexes: FxHashMap<Workplace, usize>,
    list: Vec<Workplace>,
}

impl Workplaces {
    /// Returns the index of the workplace.
    pub(crate) fn index(&mut self, workplace: Workplace) -> usize {
        if let Some(index) = self.indexes.get(&workplace) {
            return *index;
        }
        self.list.push(workplace.clone());
        self.indexes.insert(workplace, self.list.len() - 1);
        self.list.len() - 1
    }

    pub(crate) fn into_list(self) -> Vec<Workplace> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(branch: &str, tool: &str) -> LogFacts {
        LogFacts {
            agent: CodingAgent::Claude,
            workplaces: vec![Workplace { directory: "/work/site".into(), remote: None }],
            facts: vec![LogFact {
                workplace: 0,
                id: FieldText::new("agent:claude:tool:t1"),
                version: 1,
                kind: SessionEventKind::AgentToolCall,
                occurred_at: DateTime::UNIX_EPOCH,
                session: FieldText::new("s1"),
                facts: SessionFacts {
                    branch: Some(FieldText::new(branch)),
                    tool: Some(FieldText::new(tool)),
                    ..SessionFacts::default()
                },
            }],
            counts: ReadCounts::default(),
        }
    }

    fn owner() -> Owner {
        Owner {
            org: "acme".into(),
            repo: "site".into(),
            repo_id: 7,
            member: Member::account("ann", None, false),
        }
    }

    #[test]
    fn branches_and_mcp_tools_leave_only_by_permission() {
        let names = |branch: &str, tool: &str, disclosure: Disclosure| {
            let placed = facts(branch, tool).place(&[Some(owner())], disclosure, DateTime::UNIX_EPOCH);
            let facts = placed.events[0].facts.clone();
            (facts.branch.unwrap().to_string(), facts.tool.unwrap().to_string())
        };
        let secret = "mcp__customer__list";
        let (branch, tool) = names("merger", secret, Disclosure::default());
        assert_eq!((branch, tool), (FieldText::hashed("merger").to_string(), "mcp".to_owned()));
        assert_eq!(names("main", "Bash", Disclosure::default()), ("main".into(), "Bash".into()));
        let all = Disclosure { branches: true, mcp_tools: true };
        assert_eq!(names("merger", secret, all), ("merger".into(), secret.into()));
    }

    #[test]
    fn facts_without_an_owner_are_left_out_and_named() {
        let placed = facts("main", "Bash").place(&[None], Disclosure::default(), DateTime::UNIX_EPOCH);
        assert!(placed.events.is_empty());
        assert_eq!(placed.left_out.len(), 1);
        assert_eq!(placed.left_out[0].0.directory, "/work/site");
    }
}
