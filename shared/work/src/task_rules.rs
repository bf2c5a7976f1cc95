//! Applies the rules about tasks that an organization configures.
//!
//! The rules are copied from the configuration into the record of the organization, which every claim reads anyway. After
//! a change, all open issues are compared with the new rules. A commit that began under the old rules can end during that
//! walk, so another walk follows [`SETTLED_AFTER`] the change.

use chrono::TimeDelta;
use gam_store::{CommitOutcome, Expectation, RecordCommit, RecordCommitId, commit_until_answered};

use crate::issue::{IssueChange, issue_range, list_issues, load_issue};
use crate::process::{Processor, WorkError, busy};
use crate::repo::{IssueOrg, StoredTaskRules, load_org, put_org};

/// After how long no commit is under way that was computed under the rules before.
const SETTLED_AFTER: TimeDelta = TimeDelta::minutes(2);
/// Number of issues that one read lists.
const PAGE_ISSUES: usize = 100;
/// How often a change is tried if others change the same records.
const MAX_CONFLICTS: u32 = 20;

/// What applying the rules about tasks did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RulesReport {
    /// Whether the configured rules differ from those that applied.
    pub is_changed: bool,
    /// Number of issues that the index of assignable issues has gained or lost, or whose task changed otherwise.
    pub tasks: usize,
}

impl Processor {
    /// Applies the configured rules about tasks to the issues of an organization, if they have changed. `login` is its
    /// current name. Call it each minute or so: without a change it reads two objects and one record.
    ///
    /// # Errors
    /// If the store fails, or the configuration cannot be read.
    pub async fn apply_task_rules(&self, login: &str) -> Result<RulesReport, WorkError> {
        let mut report = RulesReport::default();
        for _ in 0..MAX_CONFLICTS {
            let Some(scope) = self.scopes.find(login).await? else { return Ok(report) };
            let now = self.clock.now();
            let (state, expectation) = load_org(&*self.records, &scope.key, now).await?;
            let revision = state.tasks.as_ref().map_or(0, |stored| stored.revision);
            // A scope can be that of a minute ago.
            if scope.task_rules == state.task_rules() || scope.revision <= revision {
                if let Some(stored) = state.tasks.clone().filter(|stored| !stored.is_applied) {
                    report.tasks += self.apply_to_issues(&scope.key).await?;
                    if now - stored.since >= SETTLED_AFTER {
                        let stored = StoredTaskRules { is_applied: true, ..stored };
                        // If another process changes the record meanwhile, the next call walks again.
                        self.save_rules(&scope.key, (&state, expectation), stored).await?;
                    }
                }
                return Ok(report);
            }
            let (rules, revision) = (scope.task_rules, scope.revision);
            let stored = StoredTaskRules { rules, revision, since: now, is_applied: false };
            report.is_changed |= self.save_rules(&scope.key, (&state, expectation), stored).await?;
        }
        Err(busy().into())
    }

    /// Saves the rules. Returns whether no other process changed the record first.
    async fn save_rules(
        &self,
        org: &str,
        (state, expectation): (&IssueOrg, Expectation),
        stored: StoredTaskRules,
    ) -> Result<bool, WorkError> {
        let state = IssueOrg { tasks: Some(stored), ..state.clone() };
        let commit = put_org(RecordCommit::new(RecordCommitId::random()), org, &state, expectation)?;
        let outcome = commit_until_answered(&*self.records, &commit, self.clock.now()).await?;
        Ok(outcome == CommitOutcome::Committed)
    }

    /// Compares all open issues with the rules. Returns the number of those whose tasks changed.
    async fn apply_to_issues(&self, org: &str) -> Result<usize, WorkError> {
        let mut range = issue_range(org, None)?;
        let mut changed = 0;
        loop {
            let page = list_issues(&*self.records, &range, PAGE_ISSUES, self.clock.now()).await?;
            for (_, issue) in page.iter().filter(|(_, issue)| issue.is_open() && issue.tombstone.is_none()) {
                changed += usize::from(self.follow_again(org, issue.repo_id, issue.details.number).await?);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_ISSUES => range = range.after(last),
                _ => return Ok(changed),
            }
        }
    }

    /// Makes what follows from an issue that has not changed. Returns whether that changed anything.
    async fn follow_again(&self, org: &str, repo_id: i64, number: i64) -> Result<bool, WorkError> {
        for _ in 0..MAX_CONFLICTS {
            let now = self.clock.now();
            let Some((issue, revision)) = load_issue(&*self.records, org, repo_id, number, now).await? else {
                return Ok(false);
            };
            let change = IssueChange { org, before: Some(&issue), after: &issue };
            let check = Expectation::Revision(revision);
            let mut commit = RecordCommit::new(RecordCommitId::random()).check(issue.key(org)?, check);
            let checks = commit.writes().len();
            for follower in &self.followers {
                commit = follower.follow(change, commit, now).await?;
            }
            if commit.writes().len() == checks {
                return Ok(false);
            }
            if commit_until_answered(&*self.records, &commit, now).await? == CommitOutcome::Committed {
                return Ok(true);
            }
        }
        Err(busy().into())
    }
}
