//! The fold of a month of the table `sessions`.
//!
//! Its cells are what a member did in a repository on a day, with the parts of models, tools and branches. Every item is a
//! sum of cells. The fold is pure, as that of the table `events`: the same rows in any order give the same items.

mod cells;
mod columns;
mod items;
mod sessions;

use chrono::DateTime;
use gam_model::{AgentCounter, AgentDimension, Identity, MemberKind, Month, PriceTable, SessionEventKind};
use gam_model::{TokenUsage, ToolOutcome};
use gam_rollup::Side;
use gam_rollup::agents::AgentCounts;
use rustc_hash::FxHashMap;

use crate::cells::DatedName;
use crate::fold::FoldError;
use crate::members::{Interner, Members};
use crate::month_days::MonthDays;
use crate::month_fold::EncodedItem;
use crate::rows::{BatchReader, FoldRowsError, MonthRows};
use cells::{AgentCellKey, AgentCells};
use columns::SessionColumns;
use sessions::SessionParts;

pub use columns::SESSION_COLUMNS;
pub(crate) use columns::UsageColumns;

/// Folds the rows of one month of the table `sessions`, and returns its items, the lists first. There must be at most one
/// row per event id.
///
/// # Errors
/// If a batch cannot be read, a column is missing or invalid, or a row is outside the month.
pub fn fold_sessions<R: MonthRows + ?Sized>(
    month: Month,
    rows: &R,
    identity: &Identity,
) -> Result<Vec<EncodedItem>, FoldRowsError<R::Error>> {
    let mut folder = AgentFolder::new(month, identity);
    BatchReader::on_all_cores(rows).for_each(SESSION_COLUMNS, |_, batch| {
        folder.add_batch(&SessionColumns::from_batch(batch, identity)?)
    })?;
    Ok(folder.into_items())
}

/// The member, the side and the repository of a row, and its day.
#[derive(Clone, Copy)]
struct RowOwner {
    repo_id: i64,
    /// The index of the member's key.
    member: u32,
    side: Side,
}

struct AgentFolder<'a> {
    days: MonthDays,
    prices: PriceTable,
    members: Members<'a>,
    cells: AgentCells,
    sessions: SessionParts,
    /// The models, tools and branches.
    names: [Interner; AgentDimension::COUNT],
    /// The index of each branch among the names, by repository, then by name, so that a row needs no copy of its name.
    branches: FxHashMap<i64, FxHashMap<String, u32>>,
}

impl<'a> AgentFolder<'a> {
    fn new(month: Month, identity: &'a Identity) -> Self {
        AgentFolder {
            days: MonthDays::new(month, identity.time_zone()),
            prices: PriceTable::new(identity.prices()),
            members: Members::new(identity),
            cells: AgentCells::default(),
            sessions: SessionParts::default(),
            names: Default::default(),
            branches: FxHashMap::default(),
        }
    }

    fn add_batch(&mut self, columns: &SessionColumns<'_>) -> Result<(), FoldError> {
        let kinds: Vec<Option<SessionEventKind>> =
            columns.kind.values.iter().map(|name| name.and_then(SessionEventKind::parse)).collect();
        for row in 0..columns.row_count() {
            let kind = columns.kind.index(row).ok_or(FoldError::InvalidColumn("kind"))?;
            // A kind that only a newer version of the program knows counts nowhere.
            if let Some(kind) = kinds[kind].filter(|_| columns.counts(row)) {
                self.add_row(columns, kind, row)?;
            }
        }
        Ok(())
    }

    fn add_row(
        &mut self,
        columns: &SessionColumns<'_>,
        kind: SessionEventKind,
        row: usize,
    ) -> Result<(), FoldError> {
        let member = columns.member.text(row).ok_or(FoldError::InvalidColumn("member"))?;
        let row_kind = columns.member_kind.text(row).and_then(MemberKind::parse).unwrap_or(MemberKind::User);
        let member = self.members.member(member);
        let member_kind = member.kind(row_kind);
        let side = if member_kind == MemberKind::Bot { Side::Bots } else { Side::People };
        let owner = RowOwner { repo_id: columns.repo_id.value(row), member: member.key, side };
        let occurred_at = columns.occurred_at.value(row);
        match kind {
            SessionEventKind::AgentResponse => self.add_response(columns, owner, row)?,
            SessionEventKind::AgentToolCall => self.add_tool_call(columns, owner, row)?,
            SessionEventKind::AgentSession => self.add_session(columns, owner, row)?,
            SessionEventKind::AgentPrLink | SessionEventKind::AgentCommit => return Ok(()),
        }
        let name = DatedName { at: occurred_at, name: member.name, kind: member_kind };
        self.cells.add_name(member.key, name, &self.members.display_names);
        Ok(())
    }

    fn cell(&mut self, owner: RowOwner, at: i64) -> Result<u32, FoldError> {
        let day = self.days.day(at).ok_or_else(|| self.outside_month())?;
        let key = AgentCellKey { repo_id: owner.repo_id, day, member: owner.member, side: owner.side };
        Ok(self.cells.cell(key))
    }

    fn outside_month(&self) -> FoldError {
        FoldError::RowOutsideMonth { month: self.days.month().to_string() }
    }

    /// Adds counters to a cell, to the part of a model or a tool, and to that of the row's branch.
    fn count(
        &mut self,
        columns: &SessionColumns<'_>,
        (owner, row): (RowOwner, usize),
        part: Option<(AgentDimension, &str)>,
        counts: &AgentCounts,
    ) -> Result<(), FoldError> {
        let cell = self.cell(owner, columns.occurred_at.value(row))?;
        self.cells.add(cell, counts);
        if let Some((dimension, name)) = part {
            let name = self.names[dimension as usize].intern(name);
            self.cells.add_part(cell, dimension, name, counts);
        }
        let branch = self.branch(owner.repo_id, columns.branch.text(row).unwrap_or_default());
        self.cells.add_part(cell, AgentDimension::Branch, branch, counts);
        Ok(())
    }

    fn branch(&mut self, repo_id: i64, branch: &str) -> u32 {
        let of_repo = self.branches.entry(repo_id).or_default();
        if let Some(&index) = of_repo.get(branch) {
            return index;
        }
        let name = gam_rollup::agents::branch_key(repo_id, branch);
        let index = self.names[AgentDimension::Branch as usize].intern(&name);
        of_repo.insert(branch.to_owned(), index);
        index
    }

    fn add_response(
        &mut self,
        columns: &SessionColumns<'_>,
        owner: RowOwner,
        row: usize,
    ) -> Result<(), FoldError> {
        let usage = columns.usage.usage(row);
        let model = columns.usage.model.text(row).unwrap_or_default();
        let time = DateTime::from_timestamp_millis(columns.occurred_at.value(row));
        let day = time.ok_or_else(|| self.outside_month())?.date_naive();
        let (cost, unpriced) = columns.usage.price(row, day, &self.prices);
        let mut counts = [0; AgentCounter::COUNT];
        let TokenUsage { input, output, cache_read, cache_write_5m, cache_write_1h, .. } = usage;
        for (counter, count) in [
            (AgentCounter::Responses, 1),
            (AgentCounter::TokensInput, input),
            (AgentCounter::TokensOutput, output),
            (AgentCounter::TokensCacheRead, cache_read),
            (AgentCounter::TokensCacheWrite, cache_write_5m.saturating_add(cache_write_1h)),
            (AgentCounter::CostNanoUsd, cost),
            (AgentCounter::UnpricedTokens, unpriced),
        ] {
            counts[counter as usize] = count;
        }
        self.count(columns, (owner, row), Some((AgentDimension::Model, model)), &counts)
    }

    fn add_tool_call(
        &mut self,
        columns: &SessionColumns<'_>,
        owner: RowOwner,
        row: usize,
    ) -> Result<(), FoldError> {
        let outcome = columns.outcome.text(row).and_then(ToolOutcome::parse);
        let mut counts = [0; AgentCounter::COUNT];
        for (counter, count) in [
            (AgentCounter::ToolCalls, 1),
            (AgentCounter::ToolErrors, u64::from(outcome == Some(ToolOutcome::Error))),
            (AgentCounter::ToolRejections, u64::from(outcome == Some(ToolOutcome::Rejected))),
            (AgentCounter::LinesAdded, columns::count(columns.additions, row)),
            (AgentCounter::LinesDeleted, columns::count(columns.deletions, row)),
        ] {
            counts[counter as usize] = count;
        }
        let tool = columns.tool.text(row).unwrap_or_default();
        self.count(columns, (owner, row), Some((AgentDimension::Tool, tool)), &counts)
    }

    /// Adds a session's UTC day: its prompts to the day of its first line, its active time to the days of the quarters of
    /// an hour.
    fn add_session(
        &mut self,
        columns: &SessionColumns<'_>,
        owner: RowOwner,
        row: usize,
    ) -> Result<(), FoldError> {
        let occurred_at = columns.occurred_at.value(row);
        let cell = self.cell(owner, occurred_at)?;
        self.cells.add_one(cell, AgentCounter::Prompts, columns::count(columns.prompts, row));
        let mut active_ms: u64 = 0;
        for (at, quarter_ms) in columns.active.quarters(row) {
            let quarter_ms = u64::try_from(quarter_ms).unwrap_or_default();
            // One that lies outside the month is wrong. It must not stop the month: the row stays in the snapshot.
            let Ok(cell) = self.cell(owner, at) else { continue };
            active_ms = active_ms.saturating_add(quarter_ms);
            self.cells.add_one(cell, AgentCounter::ActiveMs, quarter_ms);
        }
        let session = columns.session.text(row).ok_or(FoldError::InvalidColumn("session"))?;
        let agent = columns.agent.text(row).unwrap_or_default();
        let started_at = columns::nullable(columns.started_at, row).unwrap_or(occurred_at);
        self.sessions.add(agent, session, owner, (started_at, occurred_at), active_ms);
        Ok(())
    }

    /// Counts each session that began in the month once, at its first own line.
    fn count_sessions(&mut self) {
        for session in std::mem::take(&mut self.sessions).into_sessions() {
            // One that began earlier is counted in that month.
            if session.started_at < self.days.start() {
                continue;
            }
            if let Ok(cell) = self.cell(session.owner, session.started_at) {
                self.cells.add_session(cell, session.active_ms / 1000);
            }
        }
    }
}
