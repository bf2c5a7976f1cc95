//! The configuration of bots and aliases: TOML text, wherever it is kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Identity, mailmap};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    bots: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    mailmap: Option<PathBuf>,
}

/// Reads the text of a configuration: `bots = ["login"]`, a table `[aliases]` of `"old" = "new"`, and
/// `mailmap = "FILE"`, whose text `read` gives.
///
/// # Errors
/// Where it cannot be understood, saying where and why on one line.
pub fn parse(text: &str, read: impl Fn(&Path) -> Result<String, String>) -> Result<Identity, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        format!(
            "{place}{why}; it holds bots = [\"login\"], mailmap = \"FILE\" and a table [aliases] of \"old\" = \"new\""
        )
    })?;
    let empty = |name: &String| name.trim().is_empty();
    if file.bots.iter().any(empty) || file.aliases.iter().any(|(old, new)| empty(old) || empty(new)) {
        return Err("a name in it is empty: give logins".to_owned());
    }
    let joined = match &file.mailmap {
        None => Vec::new(),
        Some(path) => {
            mailmap::aliases(&read(path)?).map_err(|error| format!("mailmap {}, {error}", path.display()))?
        }
    };
    // The table goes before the file.
    Identity::new(file.bots, joined.into_iter().chain(file.aliases)).map_err(|cycle| cycle.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Identity, String> {
        super::parse(text, |_| Err("there is no such file".to_owned()))
    }

    #[test]
    fn a_mailmap_joins_accounts_and_the_table_goes_before_it() {
        let text = "mailmap = \"people/.mailmap\"\n[aliases]\nold-bob = \"bob\"\n";
        let read = |path: &Path| {
            assert_eq!(path, Path::new("people/.mailmap"));
            Ok("Ann <ann> <ann@example.org>\nBob <robert> <old-bob>\n".to_owned())
        };
        let identity = super::parse(text, read).unwrap();
        assert_eq!((identity.name("~438c4c7afe60"), identity.name("Old-Bob")), ("ann", "bob"));
        assert!(parse(text).unwrap_err().contains("no such file"));
        let why = super::parse(text, |_| Ok("ann@example.org".to_owned())).unwrap_err();
        assert!(why.contains("line 1") && !why.contains("ann@"), "{why}");
    }

    #[test]
    fn bots_and_aliases_are_read() {
        let identity =
            parse("bots = [\"ci-user\"]\n[aliases]\n\"~0123456789ab\" = \"ann\"\nold = \"ann\"\n").unwrap();
        assert_eq!(identity.name("OLD"), "ann");
        assert_eq!(identity.name("~0123456789ab"), "ann");
        assert_eq!(parse("").unwrap(), Identity::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, told) in [
            ("bot = [\"x\"]", "line 1: unknown field `bot`"),
            ("\n\nbots = \"x\"", "line 3: "),
            ("bots = [", "line 1: "),
            ("bots = [\"\"]", "empty"),
            ("[aliases]\na = \"b\"\nb = \"a\"", "leads back to itself"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(told), "{text}: {why}");
        }
    }
}
