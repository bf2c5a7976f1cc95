//! Classes of merged pull requests: which of them sessions are known of.
//!
//! The rules, of version [`PR_CLASS_RULES`](gam_rollup::pr_classes::PR_CLASS_RULES):
//!
//! - *Linked*: a session recorded a link to the pull request, or made a commit whose SHA is that of the merge.
//! - *Probable*: a session event has the head branch of the pull request, in the repository of the head, at most 21 days
//!   before the merge. If several pull requests had that branch, it is the one that was merged next.
//! - *Unknown*: neither.
//!
//! The cost of a pull request is the list price of the responses on its branch by the rule of *probable*. Without a response
//! that has a price, its cost is not known. A month has the pull requests that were merged in it, and sessions of that month
//! and the one before.

use std::collections::BTreeMap;

use arrow_array::{Array, Int64Array, StringArray, TimestampMillisecondArray};
use chrono::{DateTime, TimeDelta};
use gam_model::{EventKind, FieldText, Identity, MemberKind, Month, PriceTable, SessionEventKind};
use gam_rollup::Side;
use gam_rollup::pr_classes::{PrClass, PrClassDay, PrClassItem, PrClassTotals};
use rustc_hash::FxHashMap;

use crate::columns::{CountedRows, DictionaryColumn, column, nullable};
use crate::fold::FoldError;
use crate::members::Members;
use crate::month_days::MonthDays;
use crate::rows::{BatchReader, FoldRowsError, MonthRows};

/// Totals by side and class, by the number of the day.
type ClassesByDay = BTreeMap<u8, BTreeMap<(Side, PrClass), PrClassTotals>>;

/// How long before the merge a session on the branch counts.
const WINDOW: TimeDelta = TimeDelta::days(21);
/// The fewest digits of a SHA that identify a commit.
const MIN_SHA_DIGITS: usize = 7;
const NANO_PER_MICRO: u64 = 1_000;

const EVENT_COLUMNS: &[&str] = &[
    "kind",
    "org",
    "repo",
    "repo_id",
    "member",
    "member_kind",
    "occurred_at",
    "retracted",
    "number",
    "created_at",
    "head_ref",
    "head_repo_id",
    "merge_sha",
];

const SESSION_COLUMNS: &[&str] = &[
    "kind",
    "repo",
    "repo_id",
    "occurred_at",
    "retracted",
    "branch",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "speed",
    "pr_repo",
    "number",
    "sha",
];

/// A merged pull request.
struct MergedPr {
    repo_id: i64,
    day: u8,
    side: Side,
    merged_at: i64,
    cycle_seconds: u64,
    is_linked: bool,
    is_probable: bool,
    /// The list price of its responses, in nano-dollars; `None` without a response that has a price.
    cost: Option<u64>,
    unpriced_tokens: u64,
}

/// The merged pull requests of a month, and what sessions can name them by.
#[derive(Default)]
struct MergedPrs {
    prs: Vec<MergedPr>,
    /// By `owner/name` in lower case, and number.
    by_number: FxHashMap<(String, i64), usize>,
    /// By the repository of the head, then by the branch or its hash, in the order of the merges.
    by_branch: FxHashMap<i64, FxHashMap<String, Vec<usize>>>,
    /// By repository and the first digits of the SHA of the merge, with the SHA.
    by_sha: FxHashMap<(i64, String), Vec<(String, usize)>>,
}

/// Classifies the pull requests that were merged in a month. `events` are the rows of the month of the table `events`,
/// `sessions` those of the table `sessions` of this month and of the one before. `generations` are those of the three
/// snapshots.
///
/// # Errors
/// If rows cannot be read or are invalid.
pub fn fold_pr_classes<E: MonthRows + ?Sized, S: MonthRows<Error = E::Error>>(
    month: Month,
    events: &E,
    sessions: &[S],
    generations: [u64; 3],
    identity: &Identity,
) -> Result<PrClassItem, FoldRowsError<E::Error>> {
    let mut prs = MergedPrs::default();
    let days = MonthDays::new(month, identity.time_zone());
    let mut members = Members::new(identity);
    BatchReader::new(events)
        .for_each(EVENT_COLUMNS, |_, batch| prs.add_events(batch, &days, &mut members, identity))?;
    for branches in prs.by_branch.values_mut().flat_map(FxHashMap::values_mut) {
        branches.sort_by_key(|&index| (prs.prs[index].merged_at, index));
    }
    let prices = PriceTable::new(identity.prices());
    for rows in sessions {
        BatchReader::new(rows)
            .for_each(SESSION_COLUMNS, |_, batch| prs.add_sessions(batch, identity, &prices))?;
    }
    Ok(prs.into_item(generations))
}

impl MergedPrs {
    fn add_events(
        &mut self,
        batch: &arrow_array::RecordBatch,
        days: &MonthDays,
        members: &mut Members<'_>,
        identity: &Identity,
    ) -> Result<(), FoldError> {
        let kind = DictionaryColumn::from_batch(batch, "kind")?;
        let is_merge: Vec<bool> = kind
            .values
            .iter()
            .map(|name| name.and_then(EventKind::parse) == Some(EventKind::PrMerged))
            .collect();
        let counted = CountedRows::from_batch(batch, identity)?;
        let (org, repo) =
            (DictionaryColumn::from_batch(batch, "org")?, DictionaryColumn::from_batch(batch, "repo")?);
        let member = DictionaryColumn::from_batch(batch, "member")?;
        let member_kind = DictionaryColumn::from_batch(batch, "member_kind")?;
        let repo_id: &Int64Array = column(batch, "repo_id")?;
        let number: &Int64Array = column(batch, "number")?;
        let head_repo_id: &Int64Array = column(batch, "head_repo_id")?;
        let merged_at: &TimestampMillisecondArray = column(batch, "occurred_at")?;
        let created_at: &TimestampMillisecondArray = column(batch, "created_at")?;
        let head_ref: &StringArray = column(batch, "head_ref")?;
        let merge_sha: &StringArray = column(batch, "merge_sha")?;
        for row in 0..batch.num_rows() {
            if !kind.index(row).is_some_and(|kind| is_merge[kind]) || !counted.contains(row) {
                continue;
            }
            let merged_at = merged_at.value(row);
            let Some(day) = days.day(merged_at) else {
                return Err(FoldError::RowOutsideMonth { month: days.month().to_string() });
            };
            let row_kind = member_kind.text(row).and_then(MemberKind::parse).unwrap_or(MemberKind::User);
            let kind = members.member(member.text(row).unwrap_or_default()).kind(row_kind);
            let created_at = nullable(created_at, row).unwrap_or(merged_at);
            let (index, repo_id) = (self.prs.len(), repo_id.value(row));
            self.prs.push(MergedPr {
                repo_id,
                day: day.number(),
                side: if kind == MemberKind::Bot { Side::Bots } else { Side::People },
                merged_at,
                cycle_seconds: (merged_at - created_at).max(0) as u64 / 1000,
                is_linked: false,
                is_probable: false,
                cost: None,
                unpriced_tokens: 0,
            });
            if let (Some(org), Some(repo), Some(number)) =
                (org.text(row), repo.text(row), nullable(number, row))
            {
                self.by_number.insert((format!("{org}/{repo}").to_lowercase(), number), index);
            }
            if head_ref.is_valid(row) {
                let head_repo = nullable(head_repo_id, row).unwrap_or(repo_id);
                let branch = head_ref.value(row);
                let of_repo = self.by_branch.entry(head_repo).or_default();
                for name in [branch.to_owned(), FieldText::hashed(branch).to_string()] {
                    of_repo.entry(name).or_default().push(index);
                }
            }
            if merge_sha.is_valid(row)
                && let Some(first) = merge_sha.value(row).get(..MIN_SHA_DIGITS)
            {
                let sha = merge_sha.value(row).to_owned();
                self.by_sha.entry((repo_id, first.to_owned())).or_default().push((sha, index));
            }
        }
        Ok(())
    }

    fn add_sessions(
        &mut self,
        batch: &arrow_array::RecordBatch,
        identity: &Identity,
        prices: &PriceTable,
    ) -> Result<(), FoldError> {
        let kind = DictionaryColumn::from_batch(batch, "kind")?;
        let kinds: Vec<Option<SessionEventKind>> =
            kind.values.iter().map(|name| name.and_then(SessionEventKind::parse)).collect();
        let counted = CountedRows::from_batch(batch, identity)?;
        let repo_id: &Int64Array = column(batch, "repo_id")?;
        let occurred_at: &TimestampMillisecondArray = column(batch, "occurred_at")?;
        let branch = DictionaryColumn::from_batch(batch, "branch")?;
        let pr_repo = DictionaryColumn::from_batch(batch, "pr_repo")?;
        let number: &Int64Array = column(batch, "number")?;
        let sha: &StringArray = column(batch, "sha")?;
        let usage = crate::agents::UsageColumns::from_batch(batch)?;
        for row in (0..batch.num_rows()).filter(|row| counted.contains(*row)) {
            let Some(kind) = kind.index(row).and_then(|kind| kinds[kind]) else { continue };
            if kind == SessionEventKind::AgentPrLink {
                if let (Some(repo), Some(number)) = (pr_repo.text(row), nullable(number, row))
                    && let Some(&index) = self.by_number.get(&(repo.to_lowercase(), number))
                {
                    self.prs[index].is_linked = true;
                }
                continue;
            }
            let repo_id = repo_id.value(row);
            if kind == SessionEventKind::AgentCommit && sha.is_valid(row) {
                self.link_commit(repo_id, sha.value(row));
            }
            let Some(branch) = branch.text(row) else { continue };
            let at = occurred_at.value(row);
            let Some(index) = self.next_merge(repo_id, branch, at) else { continue };
            let pr = &mut self.prs[index];
            pr.is_probable = true;
            if kind == SessionEventKind::AgentResponse {
                let day = DateTime::from_timestamp_millis(at).unwrap_or_default().date_naive();
                let (cost, unpriced) = usage.price(row, day, prices);
                if cost > 0 || unpriced == 0 {
                    pr.cost = Some(pr.cost.unwrap_or_default().saturating_add(cost));
                }
                pr.unpriced_tokens = pr.unpriced_tokens.saturating_add(unpriced);
            }
        }
        Ok(())
    }

    fn link_commit(&mut self, repo_id: i64, sha: &str) {
        let Some(first) = sha.get(..MIN_SHA_DIGITS) else { return };
        let merges = self.by_sha.get(&(repo_id, first.to_owned())).into_iter().flatten();
        for (_, index) in merges.filter(|(merge, _)| merge.starts_with(sha)) {
            self.prs[*index].is_linked = true;
        }
    }

    /// Returns the pull request of the branch that was merged next after the time, if that is within the window.
    fn next_merge(&self, repo_id: i64, branch: &str, at: i64) -> Option<usize> {
        let branches = self.by_branch.get(&repo_id)?.get(branch)?;
        let next = branches.partition_point(|&index| self.prs[index].merged_at < at);
        let next = *branches.get(next)?;
        (self.prs[next].merged_at - at <= WINDOW.num_milliseconds()).then_some(next)
    }

    fn into_item(self, generations: [u64; 3]) -> PrClassItem {
        let mut repos: BTreeMap<i64, ClassesByDay> = BTreeMap::new();
        for pr in self.prs {
            let class = match (pr.is_linked, pr.is_probable) {
                (true, _) => PrClass::Linked,
                (false, true) => PrClass::Probable,
                (false, false) => PrClass::Unknown,
            };
            let day = repos.entry(pr.repo_id).or_default().entry(pr.day).or_default();
            let totals = day.entry((pr.side, class)).or_default();
            totals.cycle_times.add(pr.cycle_seconds);
            if let Some(cost) = pr.cost {
                totals.costs.add(cost / NANO_PER_MICRO);
            }
            totals.unpriced_tokens = totals.unpriced_tokens.saturating_add(pr.unpriced_tokens);
        }
        let days = |days: ClassesByDay| {
            days.into_iter()
                .map(|(day, classes)| (day, classes.into_iter().collect::<PrClassDay>()))
                .collect()
        };
        PrClassItem {
            generations,
            repos: repos.into_iter().map(|(id, of_repo)| (id, days(of_repo))).collect(),
        }
    }
}
