//! The configuration file: which members are bots, and which names belong to one member, in its own
//! table or in a file like git's `.mailmap`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gam_model::{Identity, mailmap};
use serde::Deserialize;

use crate::exit::{sentence, usage};

/// Where the configuration is looked for unless it is named.
pub(crate) const DEFAULT_PATH: &str = "github-metrics.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    bots: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    mailmap: Option<PathBuf>,
}

/// Reads the configuration: the named file, or the default one if it is there.
///
/// # Errors
/// Where a file that was named is not there, or one cannot be read or understood.
pub(crate) fn load(named: Option<&Path>) -> anyhow::Result<Identity> {
    let path = named.unwrap_or(Path::new(DEFAULT_PATH));
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {
            return Ok(Identity::default());
        }
        Err(error) => {
            return Err(usage(format!(
                "the configuration {shown} cannot be read ({error}): give a readable file with --config"
            )));
        }
    };
    let beside = path.parent().unwrap_or(Path::new(""));
    parse(&text, |mailmap| {
        let path = beside.join(mailmap);
        let text = std::fs::read_to_string(&path);
        text.map_err(|error| {
            format!("mailmap {} cannot be read ({error}): give a readable file", path.display())
        })
    })
    .map_err(|why| usage(format!("the configuration {shown} is malformed: {why}")))
}

fn parse(text: &str, read: impl Fn(&Path) -> Result<String, String>) -> Result<Identity, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        let why = sentence(&anyhow::anyhow!("{}", error.message()));
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

    #[test]
    fn only_a_file_that_was_named_must_be_there() {
        assert_eq!(load(None).unwrap(), Identity::default());
        let text = load(Some(Path::new("/nonexistent.toml"))).unwrap_err().to_string();
        assert!(text.contains("/nonexistent.toml") && text.contains("--config"), "{text}");
    }
}
