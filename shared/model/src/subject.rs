//! Whom or what a rollup is about, and the key that tells one rollup from another.

use chrono::NaiveDate;

use crate::identity::member_key;
use crate::period::{Grain, Month};

/// Whom or what a rollup is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The whole organization.
    Org,
    /// A repository, by GitHub's numeric id.
    Repo(i64),
    /// A member, by the lower-cased name after aliases.
    Member(String),
}

/// The sort of a [`Subject`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKind {
    /// The whole organization.
    Org,
    /// Repositories.
    Repo,
    /// Members.
    Member,
}

impl Subject {
    /// A member, whatever the case of the name.
    pub fn member(name: &str) -> Self {
        Subject::Member(member_key(name))
    }

    /// The sort of the subject.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Subject::Org => SubjectKind::Org,
            Subject::Repo(_) => SubjectKind::Repo,
            Subject::Member(_) => SubjectKind::Member,
        }
    }

    /// The subject within its kind, as text: what an adapter stores beside [`SubjectKind::code`].
    pub fn name(&self) -> String {
        match self {
            Subject::Org => String::new(),
            Subject::Repo(id) => id.to_string(),
            Subject::Member(name) => name.clone(),
        }
    }

    /// The subject that [`Subject::name`] wrote.
    pub fn parse(kind: SubjectKind, name: &str) -> Option<Self> {
        Some(match kind {
            SubjectKind::Org => Subject::Org,
            SubjectKind::Repo => Subject::Repo(name.parse().ok()?),
            SubjectKind::Member => Subject::Member(name.to_owned()),
        })
    }
}

impl SubjectKind {
    /// Every kind.
    pub const ALL: [SubjectKind; 3] = [SubjectKind::Org, SubjectKind::Repo, SubjectKind::Member];

    /// The text an adapter stores.
    pub fn code(self) -> &'static str {
        match self {
            SubjectKind::Org => "org",
            SubjectKind::Repo => "repo",
            SubjectKind::Member => "member",
        }
    }

    /// The kind that [`SubjectKind::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The key of one stored rollup.
///
/// Every rollup derives from exactly one month's snapshot, so a week that spans two months is stored
/// in two parts, told apart by `month`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// Whom or what it is about.
    pub subject: Subject,
    /// The bucket's length.
    pub grain: Grain,
    /// The bucket's first day.
    pub start: NaiveDate,
    /// The month whose snapshot it derives from.
    pub month: Month,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_survive_being_written() {
        for subject in
            [Subject::Org, Subject::Repo(42), Subject::member("Ann"), Subject::member("~00ff00ff00ff")]
        {
            assert_eq!(Subject::parse(subject.kind(), &subject.name()), Some(subject.clone()));
            assert_eq!(SubjectKind::parse(subject.kind().code()), Some(subject.kind()));
        }
    }
}
