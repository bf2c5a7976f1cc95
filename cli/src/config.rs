//! The configuration file: which members are bots, and which names belong to one member, in its own
//! table or in a file like git's `.mailmap`.

use std::io::ErrorKind;
use std::path::Path;

use gam_model::Identity;
use gam_model::configuration::parse;

use crate::exit::usage;

/// Where the configuration is looked for unless it is named.
pub(crate) const DEFAULT_PATH: &str = "github-metrics.toml";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_was_named_must_be_there() {
        assert_eq!(load(None).unwrap(), Identity::default());
        let text = load(Some(Path::new("/nonexistent.toml"))).unwrap_err().to_string();
        assert!(text.contains("/nonexistent.toml") && text.contains("--config"), "{text}");
    }
}
