//! The configuration of bots and aliases, as TOML text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Identity, mailmap};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigurationFile {
    #[serde(default)]
    bots: Vec<String>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    mailmap: Option<PathBuf>,
}

/// Parses the text of a configuration file.
///
/// The text holds `bots = ["login"]`, a table `[aliases]` of `"old" = "new"`, and `mailmap = "FILE"`. `read`
/// returns the text of the mailmap file. An alias of the table overrides the same alias of the mailmap.
///
/// # Errors
/// If the text is invalid, or the mailmap cannot be read. The message is one line and names the line that is
/// wrong.
pub fn parse(text: &str, read: impl Fn(&Path) -> Result<String, String>) -> Result<Identity, String> {
    let file: ConfigurationFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let location = line.map_or_else(String::new, |line| format!("line {line}: "));
        let reason = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        format!(
            "{location}{reason}; expected bots = [\"login\"], mailmap = \"FILE\" \
             and a table [aliases] of \"old\" = \"new\""
        )
    })?;
    let is_blank = |name: &String| name.trim().is_empty();
    if file.bots.iter().any(is_blank) || file.aliases.iter().any(|(old, new)| is_blank(old) || is_blank(new))
    {
        return Err("a name in bots or [aliases] is empty: write a login".to_owned());
    }
    let mailmap = match &file.mailmap {
        None => mailmap::Mailmap::default(),
        Some(path) => mailmap::parse(&read(path)?),
    };
    let identity = Identity::new(file.bots, file.aliases).map_err(|cycle| cycle.to_string())?;
    Ok(identity.with_mailmap(mailmap))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Identity, String> {
        super::parse(text, |_| Err("there is no such file".to_owned()))
    }

    #[test]
    fn the_alias_table_overrides_the_mailmap() {
        let text = "mailmap = \"people/.mailmap\"\n[aliases]\nold-bob = \"bob\"\n";
        let read = |path: &Path| {
            assert_eq!(path, Path::new("people/.mailmap"));
            Ok("Ann <ann> <ann@example.org>\nBob <robert> <old-bob>\n".to_owned())
        };
        let identity = super::parse(text, read).unwrap();
        assert_eq!((identity.name("~438c4c7afe60"), identity.name("Old-Bob")), ("ann", "bob"));
        assert!(parse(text).unwrap_err().contains("no such file"));
        let odd = super::parse(text, |_| Ok("ann@example.org".to_owned())).unwrap();
        assert_eq!(odd.mailmap().ignored_lines(), 1);
    }

    #[test]
    fn bots_and_aliases_are_parsed() {
        let identity =
            parse("bots = [\"ci-user\"]\n[aliases]\n\"~0123456789ab\" = \"ann\"\nold = \"ann\"\n").unwrap();
        assert_eq!(identity.name("OLD"), "ann");
        assert_eq!(identity.name("~0123456789ab"), "ann");
        assert_eq!(parse("").unwrap(), Identity::default());
    }

    #[test]
    fn errors_name_the_line_and_the_reason() {
        for (text, expected) in [
            ("bot = [\"x\"]", "line 1: unknown field `bot`"),
            ("\n\nbots = \"x\"", "line 3: "),
            ("bots = [", "line 1: "),
            ("bots = [\"\"]", "empty"),
            ("[aliases]\na = \"b\"\nb = \"a\"", "leads back to itself"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
