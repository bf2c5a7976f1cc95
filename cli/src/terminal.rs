//! What the terminal behind stdout can show.

use std::io::{self, IsTerminal};

use crate::args::TerminalVariables;

/// The width of a table if neither the terminal nor `COLUMNS` says one, in columns.
const DEFAULT_WIDTH_COLUMNS: usize = 80;

/// What stdout can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputStyle {
    /// Whether stdout is a terminal, and not a file or a pipe.
    pub(crate) is_terminal: bool,
    /// The width of a line in columns.
    pub(crate) width: usize,
    /// Whether text may be coloured.
    pub(crate) has_color: bool,
    /// Whether characters beyond ASCII can be shown.
    pub(crate) has_unicode: bool,
}

impl OutputStyle {
    /// Returns what stdout of this process can show.
    pub(crate) fn of_stdout(variables: &TerminalVariables) -> Self {
        let is_terminal = io::stdout().is_terminal();
        OutputStyle {
            is_terminal,
            width: width(variables, is_terminal),
            has_color: has_color(variables, is_terminal),
            has_unicode: has_unicode(variables),
        }
    }

    /// A plain style of that width, for tests.
    #[cfg(test)]
    pub(crate) fn plain(width: usize) -> Self {
        OutputStyle { is_terminal: true, width, has_color: false, has_unicode: true }
    }
}

/// Returns whether a stream may be coloured. `NO_COLOR` (no-color.org) wins over `CLICOLOR_FORCE`
/// (bixense.com/clicolors).
pub(crate) fn has_color(variables: &TerminalVariables, is_terminal: bool) -> bool {
    if variables.no_color.is_some() {
        return false;
    }
    if variables.clicolor_force.as_deref().is_some_and(|value| value != "0") {
        return true;
    }
    is_terminal && variables.term.as_deref() != Some("dumb")
}

/// Returns whether the locale names UTF-8. Systems without these variables use UTF-8, except for Unix, where
/// the locale is then `C`.
pub(crate) fn has_unicode(variables: &TerminalVariables) -> bool {
    let locale = [&variables.lc_all, &variables.lc_ctype, &variables.lang].into_iter().flatten().next();
    match locale {
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }
        None => cfg!(any(windows, target_os = "macos")),
    }
}

/// Returns the width of a line of stderr in columns; `None` if it is no terminal.
pub(crate) fn stderr_width(variables: &TerminalVariables) -> Option<usize> {
    let actual = || terminal_size::terminal_size_of(io::stderr()).map(|(width, _)| width.0.into());
    io::stderr()
        .is_terminal()
        .then(|| named_width(variables).or_else(actual))
        .flatten()
        .filter(|width| *width > 0)
}

fn named_width(variables: &TerminalVariables) -> Option<usize> {
    variables.columns.as_deref().and_then(|text| text.parse::<usize>().ok())
}

fn width(variables: &TerminalVariables, is_terminal: bool) -> usize {
    let actual = || is_terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0.into());
    named_width(variables).or_else(actual).filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> TerminalVariables {
        let value =
            |name: &str| pairs.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        TerminalVariables {
            no_color: value("NO_COLOR"),
            clicolor_force: value("CLICOLOR_FORCE"),
            term: value("TERM"),
            columns: value("COLUMNS"),
            lc_all: value("LC_ALL"),
            lc_ctype: value("LC_CTYPE"),
            lang: value("LANG"),
        }
    }

    #[test]
    fn colours_follow_the_usual_variables() {
        let color = |pairs: &[(&str, &str)], is_terminal| has_color(&variables(pairs), is_terminal);
        assert!(color(&[("TERM", "xterm")], true) && color(&[], true) && !color(&[], false));
        assert!(!color(&[("TERM", "dumb")], true));
        assert!(
            color(&[("CLICOLOR_FORCE", "1")], false)
                && color(&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true)
        );
        assert!(!color(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!color(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], true));
    }

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let unicode = |pairs: &[(&str, &str)]| has_unicode(&variables(pairs));
        assert!(unicode(&[("LANG", "en_GB.UTF-8")]) && unicode(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!unicode(&[("LANG", "C")]) && !unicode(&[("LC_ALL", "POSIX"), ("LANG", "en_GB.UTF-8")]));
    }

    #[test]
    fn columns_wins_over_the_terminal() {
        assert_eq!(width(&variables(&[("COLUMNS", "40")]), true), 40);
        assert_eq!(width(&variables(&[("COLUMNS", "0")]), false), DEFAULT_WIDTH_COLUMNS);
        assert_eq!(width(&variables(&[("COLUMNS", "wide")]), false), DEFAULT_WIDTH_COLUMNS);
    }
}
