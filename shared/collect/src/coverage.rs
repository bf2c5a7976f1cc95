//! What the organization's checkpoint remembers of its runs: the earliest day that was requested, and until
//! when each repository has been read.

use std::collections::{BTreeMap, BTreeSet};

use gam_github::OrgProbe;
use gam_model::Month;
use gam_store::{Checkpoint, GapsByRepo, OrgCheckpoint, ReadAgainSpan};

use crate::gaps::{ReportedGap, report_gaps};
use crate::window::{CollectionWindow, RequestedDays};
use crate::{CollectError, CollectPorts};

/// Resolves the window of a run, and remembers the earliest day that was ever requested. This is saved before
/// anything is read: if the run is stopped, the next one has to know the day even if it does not request it.
/// A run that is limited to some repositories leaves the day unchanged.
///
/// # Errors
/// If the store fails.
pub(crate) async fn resolve_window(
    ports: &CollectPorts,
    org: &str,
    days: &RequestedDays,
    is_entire_org: bool,
) -> Result<ResolvedWindows, CollectError> {
    let mut remembered = None;
    Checkpoint::change_org(&*ports.checkpoints, org, |checkpoint| {
        remembered = checkpoint.since;
        if is_entire_org {
            checkpoint.since = Some(days.earliest(remembered));
        }
    })
    .await?;
    let (window, again) =
        (CollectionWindow::resolve(days, remembered), CollectionWindow::again(days, remembered));
    Ok(ResolvedWindows { window, again })
}

/// The windows of a run.
pub(crate) struct ResolvedWindows {
    pub(crate) window: CollectionWindow,
    /// The window of lists that are read again.
    pub(crate) again: CollectionWindow,
}

/// Records that a window was read again completely: months in it are no longer lost.
///
/// # Errors
/// If the store fails.
pub(crate) async fn save_read_again(
    ports: &CollectPorts,
    org: &str,
    window: &CollectionWindow,
) -> Result<(), CollectError> {
    let span = ReadAgainSpan { from: window.first_start(), until: window.until(), has_everything: true };
    Checkpoint::change_org(&*ports.checkpoints, org, |checkpoint| {
        checkpoint
            .lost_months
            .retain(|month, _| Month::parse(month).is_some_and(|month| !span.covers(month)));
        checkpoint.read_again = Some(span.clone());
    })
    .await?;
    Ok(())
}

/// What a run has read.
pub(crate) struct ReadRepos {
    /// Ids of repositories that were read to the end.
    pub(crate) complete: BTreeSet<i64>,
    /// Ids of repositories that an earlier run has read.
    pub(crate) read_before: BTreeSet<i64>,
    pub(crate) window: CollectionWindow,
    /// Whether all repositories of the organization were in scope.
    pub(crate) is_entire_org: bool,
}

/// Returns what is missing of the repositories that a run was about, by id. The argument is the organization's
/// checkpoint before the run.
pub(crate) type FindGaps<'a> = dyn Fn(&OrgCheckpoint) -> GapsByRepo + Sync + 'a;

/// Saves until when each repository has been read: until GitHub answered the probe, by its clock, or until
/// the end of the window. A repository that was not read to the end stays as it was. Also saves what is missing of
/// the repositories that `find_gaps` returns, and returns that. `key` is the organization's storage key.
///
/// # Errors
/// If the store fails.
pub(crate) async fn save_coverage(
    ports: &CollectPorts,
    key: &str,
    probe: &OrgProbe,
    run: &ReadRepos,
    find_gaps: &FindGaps<'_>,
) -> Result<Vec<ReportedGap>, CollectError> {
    let mut reported = Vec::new();
    let read_until = probe.read_at.map(|at| run.window.until().map_or(at, |end| end.min(at)));
    // Repositories that the token cannot read are in scope too, but their ids are unknown.
    let is_entire_org = run.is_entire_org && probe.unreadable.is_empty();
    Checkpoint::change_org(&*ports.checkpoints, key, |checkpoint| {
        let before = checkpoint.clone();
        let complete_until_of = |id: i64| {
            let previous_until =
                run.read_before.contains(&id).then(|| before.repo_complete_until(id)).flatten();
            if run.complete.contains(&id) { previous_until.max(read_until) } else { previous_until }
        };
        let complete_until =
            if is_entire_org { before.complete_until.max(read_until) } else { before.complete_until };
        let mut repos: BTreeMap<i64, _> =
            probe.repos.iter().map(|repo| (repo.id, complete_until_of(repo.id))).collect();
        if !is_entire_org {
            // Repositories that this run did not list keep their coverage.
            before.repos.iter().for_each(|(id, at)| {
                repos.entry(*id).or_insert(*at);
            });
        }
        repos.retain(|_, at| *at != complete_until);
        let found = find_gaps(&before);
        reported = report_gaps(&found, &before.gaps);
        let mut gaps = before.gaps.clone();
        gaps.extend(found);
        gaps.retain(|_, repo| !repo.is_empty());
        *checkpoint = OrgCheckpoint { complete_until, repos, gaps, ..before };
    })
    .await?;
    Ok(reported)
}
