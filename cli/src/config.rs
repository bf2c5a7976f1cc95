//! The configuration file: which members are bots, and which names belong to one member. Aliases stand
//! in the file itself or in a mailmap, as git's `.mailmap`, that it names.

use std::io::ErrorKind;
use std::path::Path;

use gam_model::Identity;
use gam_model::configuration::parse;

use crate::error::usage_error;
use crate::format::count;

/// The configuration file that is read if `--config` is not given.
const DEFAULT_PATH: &str = "github-metrics.toml";

/// Reads the configuration from the given file, or from the default one if it exists.
///
/// # Errors
/// If the given file does not exist, or a file cannot be read or is malformed.
pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Identity> {
    let is_default = path.is_none();
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let display = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound && is_default => return Ok(Identity::default()),
        Err(error) => {
            return Err(usage_error(format!(
                "cannot read the configuration {display} ({error}): name a readable file with --config"
            )));
        }
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    parse(&text, |mailmap| {
        let path = directory.join(mailmap);
        let text = std::fs::read_to_string(&path);
        text.map_err(|error| {
            format!("cannot read the mailmap {} ({error}): name a readable file", path.display())
        })
    })
    .map_err(|why| usage_error(format!("the configuration {display} is malformed: {why}")))
}

/// Says how many lines of the mailmap map nothing; `None` if all do. The lines hold addresses, so it quotes none.
pub(crate) fn mailmap_warning(identity: &Identity) -> Option<String> {
    let lines = identity.mailmap().ignored_lines();
    (lines > 0).then(|| {
        format!(
            "mailmap: {} passed over, because {} no address: expected Name <login or address> <other login or \
             address>",
            count(lines, "line is", "lines are"),
            if lines == 1 { "it maps" } else { "they map" }
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_mailmap_that_map_nothing_are_counted() {
        let identity = |text: &str| Identity::default().with_mailmap(gam_model::mailmap::parse(text));
        assert_eq!(mailmap_warning(&identity("Ann <ann@x> <old@x>\n")), None);
        let text = mailmap_warning(&identity("ann@x\nAnn <>\n")).unwrap();
        assert!(text.contains("2 lines are passed over") && !text.contains('@'), "{text}");
    }

    #[test]
    fn only_the_default_file_may_be_missing() {
        assert_eq!(load(None).unwrap(), Identity::default());
        let text = load(Some(Path::new("/nonexistent.toml"))).unwrap_err().to_string();
        assert!(text.contains("/nonexistent.toml") && text.contains("--config"), "{text}");
    }
}
