//! Moving from the tip that is covered to another.
//!
//! Where the branch was pushed over, the version of everything written from then on is greater, with one
//! between it and that of what was written before for what is taken back.

use chrono::DateTime;
use gam_github::{Comparison, Error, PageSize};
use gam_model::Event;

use super::Commits;
use crate::checkpoint::{CommitWalk, CoveredCommits, MoveStep, Moving, Uncounted};
use crate::plan::Stop;

impl Commits<'_> {
    /// Moves to another tip.
    pub(super) async fn move_tip(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), Stop> {
        let forward = match self.github.compare(&self.target.repo, &covered.tip, tip).await {
            Ok(forward) => forward,
            Err(why) => return self.replace_uncompared(covered, tip.to_owned(), why).await,
        };
        if forward.behind_by > 0 {
            if forward.commits.is_empty() && self.tip_now().await?.as_deref() != Some(tip) {
                return Err(self.not_shown_yet(tip).into());
            }
            self.begin_version();
        }
        self.checkpoint.moving = Some(Moving { to: tip.to_owned(), step: MoveStep::Compare { done: 0 } });
        // From here on some of the move may be in the lake: it is finished whatever comes.
        self.hand_over(Vec::new(), true).await?;
        self.take_difference(covered, tip.to_owned(), forward, 0).await
    }

    /// Finishes a move that an earlier run has begun; `tip` is the one that the branch has now.
    pub(super) async fn finish_move(
        &mut self,
        covered: CoveredCommits,
        moving: Moving,
        tip: &str,
    ) -> Result<(), Stop> {
        let Moving { to, step } = moving;
        match step {
            MoveStep::Compare { done } => {
                match self.github.compare(&self.target.repo, &covered.tip, &to).await {
                    Ok(forward) => return self.take_difference(covered, to, forward, done).await,
                    Err(why) => {
                        if self.is_beyond_compare(&covered.tip, &to, why).await? {
                            self.begin_version();
                            return self.replace(covered, to).await;
                        }
                    }
                }
            }
            MoveStep::Replace { old, cursor } if covered.tip == to => {
                return self.take_back(old, to, cursor).await;
            }
            MoveStep::Replace { .. } => {}
        }
        self.abandon(covered, tip).await
    }

    /// Gives up a move whose tip is gone. It may have taken back commits that are on the branch, so all that
    /// is covered is told again, from the tip that the branch has now, under a version that beats that.
    async fn abandon(&mut self, covered: CoveredCommits, tip: &str) -> Result<(), Stop> {
        if !self.github.has_commit(&self.target.repo, tip).await? {
            return Err(self.not_shown_yet(tip).into());
        }
        tracing::warn!(
            repo = self.target.repo.name,
            "the tip of an unfinished move is gone: the history is read anew; \
             what was read of that tip alone stays until everything is compared with GitHub"
        );
        self.begin_version();
        if covered.tip == tip {
            self.checkpoint.moving = None;
            return self.read_whole(covered).await;
        }
        self.replace(covered, tip.to_owned()).await
    }

    fn begin_version(&mut self) {
        self.checkpoint.version = self.checkpoint.version.after_force_push(self.target.pushed_at);
    }

    /// Whether two histories cannot be compared though GitHub can be asked: they have no common ancestor,
    /// their difference is too much for GitHub, or the old tip is gone. False where the new tip is not
    /// shown.
    async fn is_beyond_compare(&self, old: &str, new: &str, why: Error) -> Result<bool, Stop> {
        if !matches!(why, Error::NotFound(_) | Error::Unavailable { .. }) {
            return Err(why.into());
        }
        let is_shown = self.github.has_commit(&self.target.repo, new).await?;
        tracing::info!(repo = self.target.repo.name, old, new, %why, is_shown, "two tips cannot be compared");
        Ok(is_shown)
    }

    /// Moves to a tip that could not be compared with the old one, for that reason.
    async fn replace_uncompared(
        &mut self,
        covered: CoveredCommits,
        to: String,
        why: Error,
    ) -> Result<(), Stop> {
        if !self.is_beyond_compare(&covered.tip, &to, why).await? {
            return Err(self.not_shown_yet(&to).into());
        }
        self.begin_version();
        self.replace(covered, to).await
    }

    /// The tip that GitHub shows at the moment.
    async fn tip_now(&self) -> Result<Option<String>, Stop> {
        let repo = &self.target.repo;
        let probe = self.github.probe_repos(&repo.owner, std::slice::from_ref(&repo.node_id)).await?;
        Ok(probe.repos.into_iter().find_map(|probe| probe.tip))
    }

    /// Servers that lag behind each other show another tip at one time than at another.
    fn not_shown_yet(&self, tip: &str) -> Error {
        Error::Unavailable {
            what: "the new commits".to_owned(),
            why: format!("GitHub showed the tip {tip} of {} and shows it no more", self.target.repo.name),
        }
    }

    /// Reads what the new tip has and the old one has not, and takes back what it is the other way;
    /// of the former so many have been read.
    async fn take_difference(
        &mut self,
        covered: CoveredCommits,
        to: String,
        forward: Comparison,
        done: usize,
    ) -> Result<(), Stop> {
        let (github, repo) = (self.github, &self.target.repo);
        if forward.behind_by > 0 && done == 0 {
            let backward = match github.compare(repo, &to, &covered.tip).await {
                Ok(backward) => backward,
                Err(why) => return self.replace_uncompared(covered, to, why).await,
            };
            backward.commits.iter().for_each(|gone| self.checkpoint.uncounted.note(&gone.sha, true));
            let version = self.checkpoint.version.retraction();
            let gone = backward.commits.iter().map(|gone| self.target.origin.retracted_commit(gone, version));
            let gone = gone.collect();
            self.hand_over(gone, false).await?;
        }
        let new: Vec<String> = forward
            .commits
            .into_iter()
            .filter(|commit| commit.committed_at >= covered.since)
            .map(|commit| commit.sha)
            .collect();
        for (at, shas) in new.chunks(100).enumerate().filter(|(at, _)| at * 100 >= done) {
            let commits = github.commits_by_id(repo, shas).await?;
            let events = self.events(&commits);
            let step = MoveStep::Compare { done: at * 100 + shas.len() };
            self.checkpoint.moving = Some(Moving { to: to.clone(), step });
            self.hand_over(events, true).await?;
        }
        self.checkpoint.moving = None;
        self.checkpoint.covered = Some(CoveredCommits { tip: to, ..covered });
        self.hand_over(Vec::new(), true).await
    }

    /// Walks the whole history of the new tip, and then takes back that of the old one: what is in both was
    /// told again under a greater version by then, so at no time anything is missing.
    async fn replace(&mut self, covered: CoveredCommits, to: String) -> Result<(), Stop> {
        let step = MoveStep::Replace { old: covered.clone(), cursor: None };
        self.checkpoint.moving = Some(Moving { to: to.clone(), step });
        self.read_whole(CoveredCommits { tip: to.clone(), ..covered.clone() }).await?;
        self.take_back(covered, to, None).await
    }

    /// Walks the whole history that is to be covered.
    async fn read_whole(&mut self, covers: CoveredCommits) -> Result<(), Stop> {
        // What is taken back is not to be asked for again; what stays is noted anew by the walk.
        self.checkpoint.uncounted = Uncounted::default();
        let (since, until) = (covers.since, covers.until);
        let walk = CommitWalk::new(covers, since, until);
        self.checkpoint.walk = Some(walk.clone());
        self.hand_over(Vec::new(), true).await?;
        self.walk(walk).await
    }

    /// Takes back the history of the old tip, page by page; more than was read of it, where some of that would
    /// be hidden: what was never told is not told by being taken back either.
    async fn take_back(
        &mut self,
        mut old: CoveredCommits,
        to: String,
        mut cursor: Option<String>,
    ) -> Result<(), Stop> {
        let mut size = PageSize::new(100).resume(self.checkpoint.size);
        let mut is_resumed = cursor.is_some();
        loop {
            let span = (Some(old.since), None);
            let counted = cursor.is_none() && old.since > DateTime::UNIX_EPOCH;
            let page = match self
                .github
                .commits(&self.target.repo, &old.tip, span, cursor.as_deref(), counted, &mut size)
                .await
            {
                Ok(page) if self.hides_some(&page) => {
                    old.since = DateTime::UNIX_EPOCH;
                    continue;
                }
                Ok(page) => page,
                // The place in the list is not known any more: begin anew.
                Err(Error::Invalid(_)) if std::mem::take(&mut is_resumed) => {
                    cursor = None;
                    continue;
                }
                Err(why @ Error::NotFound(_)) => {
                    // Where it is the repository that is hidden, that is an error of its own.
                    if self.github.has_commit(&self.target.repo, &old.tip).await? {
                        return Err(why.into());
                    }
                    tracing::warn!(
                        repo = self.target.repo.name,
                        %why,
                        "the old tip is gone, so what a force-push took away stays"
                    );
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            is_resumed = false;
            let version = self.checkpoint.version.retraction();
            let gone = page.entries.iter().map(|commit| {
                let event = self.target.origin.commit(commit, version);
                Event { retracted: true, ..event }
            });
            let gone = gone.collect();
            cursor = page.next;
            if cursor.is_none() {
                self.hand_over(gone, false).await?;
                break;
            }
            let step = MoveStep::Replace { old: old.clone(), cursor: cursor.clone() };
            self.checkpoint.moving = Some(Moving { to: to.clone(), step });
            self.hand_over(gone, true).await?;
        }
        self.checkpoint.moving = None;
        self.hand_over(Vec::new(), true).await
    }
}
