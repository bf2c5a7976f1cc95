//! The members of a month, as numbers.

use gam_model::identity::member_key;
use gam_model::member::GHOST;
use gam_model::{Identity, MemberKind};
use rustc_hash::FxHashMap;

/// Distinct texts, numbered in order of first use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    texts: Vec<String>,
    indexes: FxHashMap<String, u32>,
}

impl Interner {
    /// Returns the index of the text, which is added if it is new.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.indexes.get(text) {
            return index;
        }
        let index = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.indexes.insert(text.to_owned(), index);
        index
    }

    /// Returns the text. Panics if no text has this index.
    pub(crate) fn text(&self, index: u32) -> &str {
        &self.texts[index as usize]
    }

    /// Returns the texts in ascending order, and for each index the rank of its text among them.
    pub(crate) fn into_sorted(mut self) -> (Vec<String>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.text(*a).cmp(self.text(*b)));
        let mut ranks = vec![0; order.len()];
        for (rank, &index) in (0..).zip(&order) {
            ranks[index as usize] = rank;
        }
        let sorted = order.iter().map(|&index| std::mem::take(&mut self.texts[index as usize])).collect();
        (sorted, ranks)
    }
}

/// A member's name after aliases were applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InternedMember {
    /// The index of the member's key.
    pub(crate) key: u32,
    /// The index of the display name.
    pub(crate) name: u32,
    /// Replaces the kind of the event's row if it does not apply: the name belongs to a bot, or an alias
    /// leads to another account than the row's.
    kind_override: Option<MemberKind>,
}

impl InternedMember {
    /// Returns the kind of the member, if a row has this kind.
    pub(crate) fn kind(self, row_kind: MemberKind) -> MemberKind {
        self.kind_override.unwrap_or(row_kind)
    }
}

/// Applies the rules for bots and aliases to names, once for each name.
pub(crate) struct Members<'a> {
    identity: &'a Identity,
    /// Whether the mailmap has entries with a name and an address.
    pub(crate) has_author_names: bool,
    by_name: FxHashMap<String, InternedMember>,
    pub(crate) keys: Interner,
    pub(crate) display_names: Interner,
}

impl<'a> Members<'a> {
    pub(crate) fn new(identity: &'a Identity) -> Self {
        Members {
            identity,
            has_author_names: identity.mailmap().has_author_names(),
            by_name: FxHashMap::default(),
            keys: Interner::default(),
            display_names: Interner::default(),
        }
    }

    /// Returns the member that has this name in an event.
    pub(crate) fn member(&mut self, name: &str) -> InternedMember {
        if let Some(&member) = self.by_name.get(name) {
            return member;
        }
        let member = self.author(name, None);
        self.by_name.insert(name.to_owned(), member);
        member
    }

    /// Returns the member that is the author of a commit. `author_name_hash` is the fact of the commit.
    pub(crate) fn author(&mut self, name: &str, author_name_hash: Option<&str>) -> InternedMember {
        let resolved = self.identity.resolve_author(name, author_name_hash, MemberKind::User);
        let credited: &str = &resolved.name;
        let kind_override = if resolved.is_bot {
            Some(MemberKind::Bot)
        } else {
            (credited != name).then(|| kind_from_name(credited))
        };
        InternedMember {
            key: self.keys.intern(&member_key(credited)),
            name: self.display_names.intern(credited),
            kind_override,
        }
    }

    /// Returns the kind of a member of whom only the name is known.
    pub(crate) fn kind_by_name(&self, member: InternedMember) -> MemberKind {
        member.kind(kind_from_name(self.display_names.text(member.name)))
    }
}

/// Returns the kind of a member that is not a bot, judged only by its name.
fn kind_from_name(name: &str) -> MemberKind {
    match name {
        GHOST => MemberKind::Ghost,
        name if name.starts_with('~') => MemberKind::Unlinked,
        _ => MemberKind::User,
    }
}
