//! The subject of a rollup, and the key that identifies a stored rollup.

use chrono::NaiveDate;
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::identity::member_key;
use crate::period::{Grain, Month};

/// What a rollup is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The organization.
    Org,
    /// A repository, by GitHub's numeric id.
    Repo(i64),
    /// A member, by the lower-cased name after aliases were applied.
    Member(String),
}

/// The kind of a [`Subject`].
///
/// The variants' lower-case names are stored.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, EnumString, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "lowercase")]
pub enum SubjectKind {
    /// The organization.
    Org,
    /// A repository.
    Repo,
    /// A member.
    Member,
}

impl Subject {
    /// Creates the subject of a member, ignoring the case of the name.
    pub fn member(name: &str) -> Self {
        Subject::Member(member_key(name))
    }

    /// Returns the kind.
    pub fn kind(&self) -> SubjectKind {
        match self {
            Subject::Org => SubjectKind::Org,
            Subject::Repo(_) => SubjectKind::Repo,
            Subject::Member(_) => SubjectKind::Member,
        }
    }

    /// Returns the text that identifies the subject within its kind. Adapters store it with
    /// [`SubjectKind::as_str`].
    pub fn name(&self) -> String {
        match self {
            Subject::Org => String::new(),
            Subject::Repo(id) => id.to_string(),
            Subject::Member(name) => name.clone(),
        }
    }

    /// Parses what [`Subject::name`] returned; `None` if a repository's name is not a number.
    pub fn parse(kind: SubjectKind, name: &str) -> Option<Self> {
        Some(match kind {
            SubjectKind::Org => Subject::Org,
            SubjectKind::Repo => Subject::Repo(name.parse().ok()?),
            SubjectKind::Member => Subject::Member(name.to_owned()),
        })
    }
}

impl SubjectKind {
    /// All kinds, in declaration order.
    pub const ALL: [Self; Self::VARIANTS.len()] = *Self::VARIANTS.first_chunk().unwrap();

    /// Returns the stored name.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns the kind with this stored name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }
}

/// The key of one stored rollup.
///
/// A rollup derives from exactly one month's snapshot. A week that spans two months is therefore stored in
/// two parts, which differ in `month`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RollupKey {
    /// What the rollup is about.
    pub subject: Subject,
    /// The length of the bucket.
    pub grain: Grain,
    /// The first day of the bucket, UTC.
    pub start: NaiveDate,
    /// The UTC month of the snapshot it derives from.
    pub month: Month,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_names_of_kinds_do_not_change() {
        assert_eq!(SubjectKind::ALL.map(SubjectKind::as_str), ["org", "repo", "member"]);
    }

    #[test]
    fn subjects_parse_from_their_stored_text() {
        for subject in
            [Subject::Org, Subject::Repo(42), Subject::member("Ann"), Subject::member("~00ff00ff00ff")]
        {
            assert_eq!(Subject::parse(subject.kind(), &subject.name()), Some(subject.clone()));
            assert_eq!(SubjectKind::parse(subject.kind().as_str()), Some(subject.kind()));
        }
    }
}
