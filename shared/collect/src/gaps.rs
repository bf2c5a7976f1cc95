//! What is missing of the repositories that a run has read.

use chrono::{DateTime, Utc};
use gam_github::RepoProbe;
use gam_store::{Gap, GapsByRepo, RepoGaps};

use crate::RepoFailure;
use crate::checkpoint::{RepoCheckpoint, UnansweredEntries};
use crate::window::CollectionWindow;

/// The kind of a gap that concerns everything in a repository.
pub(crate) const REPOSITORY: &str = "repository";
/// The kind of a gap that concerns a repository to which GitHub blocks access for everyone.
const BLOCKED: &str = "blocked";
/// The kind of a gap that GitHub causes by refusing to count the lines of commits.
pub(crate) const LINE_COUNTS: &str = "line_counts";
/// How many commits without line counts a reason names.
const MAX_NAMED_COMMITS: usize = 3;

/// Something that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedGap {
    /// What is missing, and why.
    pub gap: Gap,
    /// Whether earlier runs did not report it.
    pub is_new: bool,
}

impl ReportedGap {
    /// Whether the gap makes the run that finds it a partial success. Known gaps do not: they are reported every
    /// time, and the run has read everything else. Neither do line counts, which GitHub often delivers later, and
    /// repositories that GitHub blocks.
    pub fn is_failure(&self) -> bool {
        self.is_new && self.gap.kind != LINE_COUNTS && self.gap.kind != BLOCKED
    }
}

/// Why a run could not read a repository.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Obstacle<'a> {
    /// What failed.
    pub(crate) failure: Option<&'a RepoFailure>,
    /// Why GitHub blocks the repository.
    pub(crate) blocked: Option<&'a str>,
}

/// Returns the gaps of a repository. `complete_until` is until when earlier runs have read it.
pub(crate) fn repo_gaps(
    repo: &RepoProbe,
    checkpoint: Option<&RepoCheckpoint>,
    window: CollectionWindow,
    obstacle: Obstacle<'_>,
    complete_until: Option<DateTime<Utc>>,
) -> RepoGaps {
    let mut gaps = GapList { repo: &repo.name, gaps: Vec::new() };
    for (kind, why) in obstacle.failure.into_iter().flat_map(|failure| &failure.lists) {
        gaps.add(kind, None, (complete_until, None), why.clone());
    }
    if let Some(why) = obstacle.blocked {
        gaps.add(BLOCKED, None, (complete_until, None), why.to_owned());
    }
    let Some(checkpoint) = checkpoint else { return RepoGaps::new(gaps.gaps, None) };
    let RepoCheckpoint { commits, pulls, issues, releases, deployments, .. } = checkpoint;
    let mut complete_since = None;
    if let (Some(end), Some(covered_from)) = (&releases.list_end, releases.covered_from)
        && covered_from > window.start_for(Some(covered_from))
    {
        let start = window.start_for(Some(covered_from));
        gaps.add("releases", None, (Some(start), Some(covered_from)), end.why.clone());
        complete_since = Some(covered_from);
    }
    gaps.add_unanswered("pull_requests", &pulls.unanswered);
    gaps.add_unanswered("issues", &issues.unanswered);
    gaps.add_unanswered("releases", &releases.unanswered);
    gaps.add_unanswered("deployments", &deployments.unanswered);
    for (oid, item) in &commits.unanswered.entries {
        let why = format!("GitHub does not return the changed lines of commit {oid}: {}", item.why);
        gaps.add("commits", None, (Some(item.created_at), Some(item.changed_at)), why);
    }
    let refused = commits.pending_line_counts.retries.keys();
    let refused: Vec<&str> =
        refused.filter(|oid| !commits.unanswered.entries.contains_key(*oid)).map(String::as_str).collect();
    if !refused.is_empty() {
        let named = refused[..refused.len().min(MAX_NAMED_COMMITS)].join(", ");
        let more = if refused.len() > MAX_NAMED_COMMITS { ", ..." } else { "" };
        let why = format!(
            "GitHub refuses to count the changed lines of {} commits, which count without lines until then: \
             {named}{more}",
            refused.len()
        );
        gaps.add(LINE_COUNTS, None, (None, None), why);
    }
    RepoGaps::new(gaps.gaps, complete_since)
}

/// Returns the gaps of repositories that the token cannot read, whose ids are unknown.
pub(crate) fn unreadable_gaps(unreadable: &[(String, String)]) -> RepoGaps {
    let gap = |(repo, why): &(String, String)| Gap {
        repo: repo.clone(),
        kind: REPOSITORY.to_owned(),
        number: None,
        from: None,
        until: None,
        why: why.clone(),
    };
    RepoGaps::new(unreadable.iter().map(gap).collect(), None)
}

/// Returns the gaps with whether they are new. `before` are those that were known.
pub(crate) fn report_gaps(current: &GapsByRepo, before: &GapsByRepo) -> Vec<ReportedGap> {
    let is_known = |id: &i64, gap: &Gap| {
        before.get(id).is_some_and(|repo| repo.listed.iter().any(|known| known.is_same(gap)))
    };
    let all = current.iter().flat_map(|(id, repo)| repo.listed.iter().map(move |gap| (id, gap)));
    all.map(|(id, gap)| ReportedGap { gap: gap.clone(), is_new: !is_known(id, gap) }).collect()
}

/// Collects the gaps of one repository.
struct GapList<'a> {
    repo: &'a str,
    gaps: Vec<Gap>,
}

impl GapList<'_> {
    fn add(
        &mut self,
        kind: &str,
        number: Option<i64>,
        (from, until): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
        why: String,
    ) {
        let (repo, kind) = (self.repo.to_owned(), kind.to_owned());
        self.gaps.push(Gap { repo, kind, number, from, until, why });
    }

    fn add_unanswered(&mut self, kind: &str, unanswered: &UnansweredEntries) {
        for item in unanswered.entries.values() {
            let why = format!("GitHub does not return it: {}", item.why);
            self.add(kind, item.number, (Some(item.created_at), Some(item.changed_at)), why);
        }
        if unanswered.omitted > 0 {
            let why = format!("GitHub does not return {} further entries", unanswered.omitted);
            self.add(kind, None, (None, None), why);
        }
    }
}
