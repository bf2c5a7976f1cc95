//! The subject of a rollup, and the keys of stored items.

use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::day_of_month::WeekOfMonth;
use crate::identity::member_key;
use crate::period::Month;

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

/// A class of stored items, with what its items are about.
///
/// Every item belongs to one month, so that it derives from one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemClass {
    /// A subject's rollups, day by day. One item a month.
    Days(Subject),
    /// All subjects of a kind that did something, with their totals of the month. One item a month. There are
    /// lists of repositories and of members.
    List(SubjectKind),
    /// A repository's days by member, or a member's days by repository. One item for each [`WeekOfMonth`].
    Breakdown(Subject),
}

impl ItemClass {
    /// Returns the stored name of the class.
    pub fn as_str(&self) -> &'static str {
        match self {
            ItemClass::Days(_) => "days",
            ItemClass::List(_) => "list",
            ItemClass::Breakdown(_) => "breakdown",
        }
    }

    /// Returns the kind of the subjects.
    pub fn kind(&self) -> SubjectKind {
        match self {
            ItemClass::Days(subject) | ItemClass::Breakdown(subject) => subject.kind(),
            ItemClass::List(kind) => *kind,
        }
    }

    /// Returns the text that identifies the subject within its kind: [`Subject::name`], empty for a list.
    pub fn name(&self) -> String {
        match self {
            ItemClass::Days(subject) | ItemClass::Breakdown(subject) => subject.name(),
            ItemClass::List(_) => String::new(),
        }
    }

    /// Parses what [`ItemClass::as_str`], [`ItemClass::kind`] and [`ItemClass::name`] returned. `None` if it is
    /// no class.
    pub fn parse(class: &str, kind: SubjectKind, name: &str) -> Option<Self> {
        Some(match class {
            "days" => ItemClass::Days(Subject::parse(kind, name)?),
            "list" if name.is_empty() => ItemClass::List(kind),
            "breakdown" => ItemClass::Breakdown(Subject::parse(kind, name)?),
            _ => return None,
        })
    }
}

/// The key of one stored item. It orders by class, then by month, then by week.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemKey {
    /// The class and the subject.
    pub class: ItemClass,
    /// The UTC month of the snapshot that the item derives from.
    pub month: Month,
    /// The week of a breakdown; the first one for other classes.
    pub week: WeekOfMonth,
}

impl ItemKey {
    /// Creates the key of an item that is no breakdown.
    pub fn new(class: ItemClass, month: Month) -> Self {
        ItemKey { class, month, week: WeekOfMonth::FIRST }
    }

    /// Creates the key of a breakdown.
    pub fn breakdown(subject: Subject, month: Month, week: WeekOfMonth) -> Self {
        ItemKey { class: ItemClass::Breakdown(subject), month, week }
    }
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

    #[test]
    fn classes_parse_from_their_stored_text() {
        let subjects = [Subject::Org, Subject::Repo(42), Subject::member("Ann")];
        let classes = subjects.into_iter().flat_map(|subject| {
            [ItemClass::Days(subject.clone()), ItemClass::List(subject.kind()), ItemClass::Breakdown(subject)]
        });
        for class in classes {
            assert_eq!(ItemClass::parse(class.as_str(), class.kind(), &class.name()), Some(class.clone()));
        }
        assert_eq!(ItemClass::parse("list", SubjectKind::Repo, "42"), None);
        assert_eq!(ItemClass::parse("weeks", SubjectKind::Repo, "42"), None);
    }
}
