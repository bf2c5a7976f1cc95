//! The repositories and members of a generated organization.

use gam_model::{Member, MemberKind};

use crate::random::RandomStream;
use crate::shape::LakeShape;

const FIRST_REPO_ID: i64 = 500_000_000;
const FIRST_MEMBER_ID: i64 = 10_000_000;
const GITHUB_ACTIONS_ID: i64 = 41_898_282;

const REPO_WORDS: [&str; 12] = [
    "api", "billing", "console", "docs", "etl", "gateway", "ios", "landing", "mail", "search", "tools", "web",
];
const MEMBER_WORDS: [&str; 12] =
    ["ana", "Ben", "chen", "Dana", "eli", "farah", "gus", "Hana", "ivan", "june", "Kofi", "lea"];
const UTC_OFFSETS_HOURS: [i64; 6] = [-8, -5, 0, 1, 5, 9];

/// A repository.
pub(crate) struct GeneratedRepo {
    pub(crate) name: String,
    pub(crate) id: i64,
    /// The position among all repositories, by name: the order of the rows of a snapshot.
    pub(crate) rank: u32,
    /// The index of the repository that has some of the same commits.
    pub(crate) fork: Option<u32>,
}

/// A member, with what its events need.
pub(crate) struct MemberProfile {
    pub(crate) member: Member,
    /// Of a commit author without an account: the hash of the name.
    pub(crate) author_name_hash: Option<String>,
    /// How many seconds local time is ahead of UTC.
    pub(crate) utc_offset: i64,
}

/// All repositories and members, by index. Those with a small index have most of the events.
pub(crate) struct Population {
    pub(crate) repos: Vec<GeneratedRepo>,
    pub(crate) members: Vec<MemberProfile>,
    /// The number of members that are not one of the three special ones, which come last.
    ordinary: u64,
}

impl Population {
    /// Creates the repositories and members of a lake.
    pub(crate) fn new(shape: &LakeShape) -> Self {
        let mut members: Vec<MemberProfile> = (0..shape.members).map(ordinary_member).collect();
        let special = [
            Member::account("github-actions[bot]", Some(GITHUB_ACTIONS_ID), true),
            Member::ghost(),
            Member::unknown(),
        ];
        members.extend(special.map(|member| MemberProfile { member, author_name_hash: None, utc_offset: 0 }));
        Population { repos: repos(shape.repos), members, ordinary: shape.members }
    }

    /// Picks a repository.
    pub(crate) fn pick_repo(&self, random: &mut RandomStream) -> u32 {
        random.skewed(self.repos.len() as u64) as u32
    }

    /// Picks the author of a commit, who may have no account.
    pub(crate) fn pick_author(&self, random: &mut RandomStream) -> u32 {
        random.mildly_skewed(self.ordinary) as u32
    }

    /// Picks a member with an account, or now and then a deleted account.
    pub(crate) fn pick_account(&self, random: &mut RandomStream) -> u32 {
        if random.chance(0.003) {
            return self.ordinary as u32 + 1;
        }
        let index = self.pick_author(random);
        // The member before one without an account has an account.
        if self.members[index as usize].member.kind == MemberKind::Unlinked { index - 1 } else { index }
    }

    /// Returns `github-actions[bot]`.
    pub(crate) fn github_actions(&self) -> u32 {
        self.ordinary as u32
    }

    /// Returns the member of releases and deployments without an author.
    pub(crate) fn unknown(&self) -> u32 {
        self.ordinary as u32 + 2
    }

    /// Returns whether the member is a bot.
    pub(crate) fn is_bot(&self, member: u32) -> bool {
        self.members[member as usize].member.kind == MemberKind::Bot
    }
}

fn repos(count: u64) -> Vec<GeneratedRepo> {
    let mut repos: Vec<GeneratedRepo> = (0..count)
        .map(|index| {
            let word = REPO_WORDS[index as usize % REPO_WORDS.len()];
            let has_fork = index % 25 == 5 && index + 1 < count;
            GeneratedRepo {
                name: format!("{word}-{index}"),
                id: FIRST_REPO_ID + index as i64,
                rank: 0,
                fork: has_fork.then(|| index as u32 + 1),
            }
        })
        .collect();
    let mut by_name: Vec<usize> = (0..repos.len()).collect();
    by_name.sort_by(|a, b| repos[*a].name.cmp(&repos[*b].name));
    for (rank, index) in by_name.into_iter().enumerate() {
        repos[index].rank = rank as u32;
    }
    repos
}

fn ordinary_member(index: u64) -> MemberProfile {
    let word = MEMBER_WORDS[index as usize % MEMBER_WORDS.len()];
    let name = format!("{word}-{index}");
    let is_unlinked = index % 40 == 17;
    let member = if is_unlinked {
        // A reserved domain: the address belongs to nobody, and only its hash is stored.
        Member::commit_author(Some(&name), Some(&format!("{name}@example.invalid")))
    } else {
        Member::account(&name, Some(FIRST_MEMBER_ID + index as i64), index % 50 == 3)
    };
    MemberProfile {
        member,
        author_name_hash: is_unlinked.then(|| Member::author_name_hash(Some(&name))),
        utc_offset: UTC_OFFSETS_HOURS[index as usize % UTC_OFFSETS_HOURS.len()] * 3600,
    }
}
