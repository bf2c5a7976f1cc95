//! Codes of dictionaries and display names.

use gam_model::MemberKind;

use super::bits::{BitReader, BitWriter};
use super::codes::{AdaptiveNumber, AdaptiveSymbols, check_count};
use super::text_codes::TextCodes;
use super::{DecodeError, check_entries};
use crate::items::{DisplayName, ListedSubject, SubjectRef};

/// The greatest number of bytes that a key shares with the one before. It bounds how much longer keys are than
/// their stored form.
const MAX_SHARED_BYTES: usize = 63;

/// The expected length of the number of entries, in bits.
const COUNT_BITS: u32 = 5;

/// The expected length of the first id of a repository, in bits, with its sign.
const ID_BITS: u32 = 30;

fn invalid_text() -> DecodeError {
    DecodeError::Invalid("a name that is no text")
}

fn shared_bytes(key: &str, previous: &[u8]) -> usize {
    let shared = key.bytes().zip(previous).take(MAX_SHARED_BYTES).take_while(|(a, b)| a == *b);
    shared.count()
}

/// The code of a column of how many bytes keys share with the one before.
fn shared_code() -> AdaptiveSymbols {
    AdaptiveSymbols::new(4, &[0, 1, 2, 3, 4, 5, 6])
}

/// Writes the number of entries of a dictionary.
fn write_count(bits: &mut BitWriter, count: usize) {
    bits.write_flag(count > 0);
    if let Some(more) = count.checked_sub(1) {
        AdaptiveNumber::new(COUNT_BITS).write(bits, more as u64);
    }
}

/// Reads the number of entries of a dictionary. There are at least as many bits left.
fn read_count(bits: &mut BitReader<'_>) -> Result<u32, DecodeError> {
    let count =
        if bits.read_flag()? { AdaptiveNumber::new(COUNT_BITS).read_u32(bits)?.saturating_add(1) } else { 0 };
    check_count(bits, count)?;
    check_entries(count as usize)?;
    Ok(count)
}

/// Writes ascending keys: of each, how many bytes it shares with the one before, and the others.
pub(super) fn write_keys<'a>(bits: &mut BitWriter, keys: impl Iterator<Item = &'a str> + Clone) {
    let count = keys.clone().count();
    write_count(bits, count);
    if count == 0 {
        return;
    }
    let text_codes = TextCodes::for_texts(keys.clone());
    bits.write_flag(text_codes.has_numbers);
    let mut shared_code = shared_code();
    let mut previous: Option<&str> = None;
    for key in keys {
        assert!(previous.is_none_or(|previous| previous < key), "the keys of members ascend");
        let shared = previous.map_or(0, |previous| shared_bytes(key, previous.as_bytes()));
        shared_code.write(bits, shared as u32);
        text_codes.write(bits, key.as_bytes(), shared);
        previous = Some(key);
    }
}

/// Reads ascending keys.
pub(super) fn read_keys(bits: &mut BitReader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = read_count(bits)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let text_codes = TextCodes { has_numbers: bits.read_flag()? };
    let mut shared_code = shared_code();
    let mut keys: Vec<String> = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..count {
        let shared = shared_code.read(bits)? as usize;
        if shared > bytes.len().min(MAX_SHARED_BYTES) {
            return Err(DecodeError::Invalid("a name that shares too much with the one before"));
        }
        bytes.truncate(shared);
        text_codes.read(bits, &mut bytes)?;
        let key = std::str::from_utf8(&bytes).map_err(|_| invalid_text())?;
        if keys.last().is_some_and(|previous| previous.as_str() >= key) {
            return Err(DecodeError::Invalid("names that do not ascend"));
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}

/// Writes ascending ids of repositories.
pub(super) fn write_ids(bits: &mut BitWriter, ids: impl ExactSizeIterator<Item = i64>) {
    write_count(bits, ids.len());
    let mut gap_code = AdaptiveNumber::new(4);
    let mut previous = None;
    for id in ids {
        match previous {
            None => AdaptiveNumber::new(ID_BITS).write(bits, zigzag(id)),
            Some(previous) => {
                assert!(previous < id, "the ids of repositories ascend");
                gap_code.write(bits, id.abs_diff(previous) - 1);
            }
        }
        previous = Some(id);
    }
}

/// Reads ascending ids of repositories.
pub(super) fn read_ids(bits: &mut BitReader<'_>) -> Result<Vec<i64>, DecodeError> {
    let mut gap_code = AdaptiveNumber::new(4);
    let mut ids: Vec<i64> = Vec::new();
    for _ in 0..read_count(bits)? {
        let id = match ids.last() {
            None => from_zigzag(AdaptiveNumber::new(ID_BITS).read(bits)?),
            Some(previous) => {
                let gap = gap_code.read(bits)?.checked_add(1);
                let id = gap.and_then(|gap| previous.checked_add_unsigned(gap));
                id.ok_or(DecodeError::Invalid("an id that is too large"))?
            }
        };
        ids.push(id);
    }
    Ok(ids)
}

/// Maps numbers near 0 to small ones, whatever their sign.
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn from_zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// How a display name follows from its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameForm {
    /// It is the key.
    Key,
    /// It begins with an upper-case ASCII letter.
    Capitalized,
    /// Some ASCII letters are upper-case. A bit for each letter says which.
    Case,
    /// It is stored.
    Text,
}

/// The code of a column of display names of keys.
pub(super) struct DisplayNames {
    form_code: AdaptiveSymbols,
}

impl DisplayNames {
    const FORMS: [NameForm; 4] = [NameForm::Key, NameForm::Capitalized, NameForm::Case, NameForm::Text];

    pub(super) fn new() -> Self {
        let common = [NameForm::Key, NameForm::Capitalized, NameForm::Case];
        let common = common.map(|form| Self::symbol(MemberKind::User, form));
        DisplayNames { form_code: AdaptiveSymbols::new(4, &common) }
    }

    fn symbol(kind: MemberKind, form: NameForm) -> u32 {
        (kind as usize * Self::FORMS.len() + form as usize) as u32
    }

    pub(super) fn write(&mut self, bits: &mut BitWriter, key: &str, name: &str, kind: MemberKind) {
        let form = if name == key {
            NameForm::Key
        } else if is_capitalized(name, key) {
            NameForm::Capitalized
        } else if has_lower_case(name, key) {
            NameForm::Case
        } else {
            NameForm::Text
        };
        self.form_code.write(bits, Self::symbol(kind, form));
        match form {
            NameForm::Key | NameForm::Capitalized => {}
            NameForm::Case => write_case(bits, name),
            NameForm::Text => write_text(bits, name),
        }
    }

    pub(super) fn read(&mut self, bits: &mut BitReader<'_>, key: &str) -> Result<DisplayName, DecodeError> {
        let symbol = self.form_code.read(bits)? as usize;
        let kind = MemberKind::ALL.get(symbol / Self::FORMS.len()).copied();
        let kind = kind.ok_or(DecodeError::Invalid("an unknown kind of member"))?;
        let name = match Self::FORMS[symbol % Self::FORMS.len()] {
            NameForm::Key => key.to_owned(),
            NameForm::Capitalized => capitalized(key),
            NameForm::Case => read_case(bits, key)?,
            NameForm::Text => read_text(bits)?,
        };
        Ok(DisplayName { name, kind })
    }
}

fn capitalized(key: &str) -> String {
    let mut name = key.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

fn is_capitalized(name: &str, key: &str) -> bool {
    let (Some((first, rest)), Some((key_first, key_rest))) =
        (name.as_bytes().split_first(), key.as_bytes().split_first())
    else {
        return false;
    };
    *first == key_first.to_ascii_uppercase() && rest == key_rest
}

/// Returns whether the key is the name with its ASCII letters in lower case.
fn has_lower_case(name: &str, key: &str) -> bool {
    name.len() == key.len()
        && name.bytes().zip(key.bytes()).all(|(byte, lower)| byte.to_ascii_lowercase() == lower)
}

fn write_case(bits: &mut BitWriter, name: &str) {
    let letters = name.bytes().filter(u8::is_ascii_alphabetic);
    letters.for_each(|letter| bits.write_flag(letter.is_ascii_uppercase()));
}

fn read_case(bits: &mut BitReader<'_>, lower_case: &str) -> Result<String, DecodeError> {
    let mut name = String::with_capacity(lower_case.len());
    for character in lower_case.chars() {
        let is_upper_case = character.is_ascii_alphabetic() && bits.read_flag()?;
        name.push(if is_upper_case { character.to_ascii_uppercase() } else { character });
    }
    Ok(name)
}

fn write_text(bits: &mut BitWriter, text: &str) {
    let lower_case = text.to_ascii_lowercase();
    let text_codes = TextCodes::for_texts(std::iter::once(lower_case.as_str()));
    bits.write_flag(text_codes.has_numbers);
    text_codes.write(bits, lower_case.as_bytes(), 0);
    write_case(bits, text);
}

fn read_text(bits: &mut BitReader<'_>) -> Result<String, DecodeError> {
    let text_codes = TextCodes { has_numbers: bits.read_flag()? };
    let mut bytes = Vec::new();
    text_codes.read(bits, &mut bytes)?;
    read_case(bits, std::str::from_utf8(&bytes).map_err(|_| invalid_text())?)
}

/// Writes a display name without a key.
pub(super) fn write_name(bits: &mut BitWriter, name: &DisplayName) {
    bits.write(name.kind as u64, 3);
    write_text(bits, &name.name);
}

/// Reads a display name without a key.
pub(super) fn read_name(bits: &mut BitReader<'_>) -> Result<DisplayName, DecodeError> {
    let kind = MemberKind::ALL.get(bits.read(3)? as usize).copied();
    let kind = kind.ok_or(DecodeError::Invalid("an unknown kind of member"))?;
    Ok(DisplayName { name: read_text(bits)?, kind })
}

/// Writes ascending subjects: repositories, then members with their display names.
pub(super) fn write_subjects<'a>(
    bits: &mut BitWriter,
    subjects: impl ExactSizeIterator<Item = SubjectRef<'a>> + Clone,
) {
    let mut ids = Vec::with_capacity(subjects.len());
    ids.extend(subjects.clone().map_while(|subject| match subject {
        SubjectRef::Repo(id) => Some(id),
        SubjectRef::Member { .. } => None,
    }));
    let members = subjects.skip(ids.len()).map(|subject| match subject {
        SubjectRef::Repo(_) => panic!("subjects ascend"),
        SubjectRef::Member { key, name, kind } => (key, name, kind),
    });
    write_ids(bits, ids.into_iter());
    write_keys(bits, members.clone().map(|(key, ..)| key));
    let mut names = DisplayNames::new();
    members.for_each(|(key, name, kind)| names.write(bits, key, name, kind));
}

/// Reads ascending subjects.
pub(super) fn read_subjects(bits: &mut BitReader<'_>) -> Result<Vec<ListedSubject>, DecodeError> {
    let mut subjects: Vec<_> = read_ids(bits)?.into_iter().map(ListedSubject::Repo).collect();
    let mut names = DisplayNames::new();
    let keys = read_keys(bits)?;
    check_entries(subjects.len() + keys.len())?;
    for key in keys {
        let name = names.read(bits, &key)?;
        subjects.push(ListedSubject::Member(key, name));
    }
    Ok(subjects)
}
