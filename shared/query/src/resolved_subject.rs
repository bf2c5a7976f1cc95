//! Finding a subject by its name.

use gam_model::{Range, Subject};
use gam_rollup::Rollup;
use gam_store::NameKind;

use crate::QueryError;
use crate::answers::{AnswerContext, BotFilter, SubjectRef};
use crate::org_reader::OrgReader;
use crate::quote::quoted;
use crate::read_items::MonthOfDays;

/// A subject as the store knows it, with the name to display.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedSubject {
    pub(crate) subject: Subject,
    /// The repository's name, if the subject is one.
    pub(crate) repo: Option<String>,
    /// The member's name, if the subject is one.
    pub(crate) member: Option<String>,
}

impl ResolvedSubject {
    /// Returns the repository's id, if the subject is one.
    pub(crate) fn repo_id(&self) -> Option<i64> {
        if let Subject::Repo(id) = self.subject { Some(id) } else { None }
    }
}

impl OrgReader<'_> {
    /// Returns what an answer about the subject says about its query.
    pub(crate) fn context(&self, subject: ResolvedSubject, range: Range, bots: BotFilter) -> AnswerContext {
        AnswerContext {
            org: self.name.clone(),
            id: subject.repo_id(),
            repo: subject.repo,
            member: subject.member,
            since: range.since(),
            until: range.until(),
            timezone: self.time_zone.name(),
            bots,
        }
    }

    /// Finds a subject by name. For a member it does not check that there is one:
    /// [`OrgReader::set_display_name`] does, once the member's items are read.
    pub(crate) async fn resolve_subject(&self, subject: &SubjectRef) -> Result<ResolvedSubject, QueryError> {
        match subject {
            SubjectRef::Org => Ok(ResolvedSubject { subject: Subject::Org, repo: None, member: None }),
            SubjectRef::Repo { name, id } => self.resolve_repo(name, *id).await,
            SubjectRef::Member(name) => {
                // The aliases of the epoch that is read, also while a newer configuration is folded.
                let revision = self.rules().map_or(0, |logic| logic.revision);
                let identity = self.ports.identities.identity(&self.key, revision).await;
                let name = identity.map_err(QueryError::Configuration)?.find_name(name).to_owned();
                Ok(ResolvedSubject { subject: Subject::member(&name), repo: None, member: Some(name) })
            }
        }
    }

    async fn resolve_repo(&self, name: &str, id: Option<i64>) -> Result<ResolvedSubject, QueryError> {
        let names = self.ports.names.names(&self.key, NameKind::Repo).await?;
        let matches = names.into_iter().filter(|entry| {
            entry.name.to_lowercase() == name.to_lowercase() && id.is_none_or(|id| entry.id == id)
        });
        // A new repository can have the name of a deleted one.
        let latest = matches.max_by_key(|entry| (entry.as_of, entry.id)).ok_or_else(|| {
            let with_id = id.map(|id| format!(" with id {id}")).unwrap_or_default();
            QueryError::NotFound(format!(
                "no repository {}{with_id} in {}: check the spelling; a renamed repository is found by its new \
                 name",
                quoted(name),
                self.name
            ))
        })?;
        Ok(ResolvedSubject { subject: Subject::Repo(latest.id), repo: Some(latest.name), member: None })
    }

    /// Replaces the requested name of a member by its latest one. `days` is what was read of the member over the
    /// range. If the member did nothing in the range, all of its months are read, and then the names in the store.
    ///
    /// # Errors
    /// If there is no such member, or the store fails.
    pub(crate) async fn set_display_name(
        &self,
        subject: &mut ResolvedSubject,
        days: &[MonthOfDays],
        range: Range,
    ) -> Result<(), QueryError> {
        if subject.member.is_none() {
            return Ok(());
        }
        let mut sum = Rollup::default();
        days.iter().for_each(|days| sum.merge(&days.sum(range)));
        if sum.is_empty() {
            let all = self.read_all_days(&subject.subject).await?;
            all.iter().for_each(|days| sum.merge(&days.sum_all()));
        }
        self.set_member_name(subject, &sum).await
    }

    /// Replaces the requested name of a member by that in the sum of its days, or else by that in the store.
    ///
    /// # Errors
    /// If there is no such member, or the store fails.
    pub(crate) async fn set_member_name(
        &self,
        subject: &mut ResolvedSubject,
        sum: &Rollup,
    ) -> Result<(), QueryError> {
        let Some(name) = &mut subject.member else { return Ok(()) };
        if let Some((latest, _)) = &sum.member {
            latest.clone_into(name);
            return Ok(());
        }
        let members = self.ports.names.names(&self.key, NameKind::Member).await?;
        match members.into_iter().find(|entry| entry.name.to_lowercase() == name.to_lowercase()) {
            Some(entry) => *name = entry.name,
            None => {
                return Err(QueryError::NotFound(format!(
                    "no member {} in {}: check the spelling; if the login changed, try the old one or add an \
                     alias",
                    quoted(name),
                    self.name
                )));
            }
        }
        Ok(())
    }
}
