//! Text from outside on its way to the terminal: arguments, names, messages of GitHub and of other servers.
//!
//! A terminal obeys control characters. They are shown as escapes, and long inputs are cut.

use unicode_width::UnicodeWidthStr as _;

/// The most characters of an input that a message quotes.
pub(crate) const MAX_QUOTED_CHARS: usize = 80;

/// Returns whether a terminal may obey the character or hide text because of it: a control character, or
/// one that changes the direction of text.
pub(crate) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces characters that a terminal may obey by escapes: `\u{1b}`.
pub(crate) fn escaped(text: &str) -> String {
    escape_except(text, &[])
}

/// Does the same, but keeps line breaks and tabs.
pub(crate) fn escaped_lines(text: &str) -> String {
    escape_except(text, &['\n', '\t'])
}

fn escape_except(text: &str, kept: &[char]) -> String {
    if !text.contains(|c| is_unsafe(c) && !kept.contains(&c)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) && !kept.contains(&c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Replaces characters that a terminal may obey in a JSON document. They can only be in its strings, so the
/// document keeps its meaning. JSON itself forbids unescaped control characters up to U+001F in strings.
pub(crate) fn escaped_json(text: &str) -> String {
    let is_affected = |c: char| is_unsafe(c) && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(is_affected) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_affected(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Breaks lines that are longer than `width` columns at spaces. What stands between backticks is a command to be copied,
/// and stays on one line. Further lines begin as the broken one does.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    text.split('\n').map(|line| wrapped_line(line, width)).collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize) -> String {
    if line.width() <= width {
        return line.to_owned();
    }
    let indent = &line[..line.len() - line.trim_start_matches(' ').len()];
    let mut out = indent.to_owned();
    let mut columns = indent.width();
    let mut is_command = false;
    let mut words: Vec<String> = Vec::new();
    for word in line.trim_start_matches(' ').split(' ') {
        match words.last_mut().filter(|_| is_command) {
            Some(command) => *command = format!("{command} {word}"),
            None => words.push(word.to_owned()),
        }
        is_command ^= word.matches('`').count() % 2 == 1;
    }
    for (at, word) in words.iter().enumerate() {
        if at > 0 && columns + 1 + word.width() > width {
            out.push('\n');
            out.push_str(indent);
            columns = indent.width();
        } else if at > 0 {
            out.push(' ');
            columns += 1;
        }
        out.push_str(word);
        columns += word.width();
    }
    out
}

/// Cuts an input that is longer than [`MAX_QUOTED_CHARS`].
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Quotes an input for a message: escaped, and cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped() {
        assert_eq!(escaped("x\u{1b}[31mRED\u{7}\n"), "x\\u{1b}[31mRED\\u{7}\\u{a}");
        assert_eq!(escaped_lines("a\n\tb\u{9b}2J\u{7f}"), "a\n\tb\\u{9b}2J\\u{7f}");
        assert_eq!(escaped("user\u{202e}gpj.exe"), "user\\u{202e}gpj.exe");
        assert_eq!(escaped("Ünïcode ✓ 日本"), "Ünïcode ✓ 日本");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"a\":\"\u{9b}2J\u{202e}\u{7f}é\",\n\"b\": 1}\r\n";
        let escaped = escaped_json(text);
        assert!(!escaped.contains(|c| is_unsafe(c) && !matches!(c, '\n' | '\r')), "{escaped:?}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&escaped), parse(text));
    }

    #[test]
    fn lines_break_between_words_and_not_within_commands() {
        let text =
            "missing: site, releases before 2026-01-02\n  run `github-metrics doctor acme` to see more of it";
        assert_eq!(
            wrapped(text, 30),
            "missing: site, releases before\n2026-01-02\n  run\n  `github-metrics doctor acme`\n  to see more of it"
        );
        assert_eq!(wrapped(text, 80), text);
        assert_eq!(wrapped("`a command of words` x", 4), "`a command of words`\nx");
        assert_eq!(wrapped("日本語 日本語", 8), "日本語\n日本語");
    }

    #[test]
    fn long_inputs_are_cut() {
        assert_eq!(quoted("a\"\u{1b}b"), "\"a\\\"\\u{1b}b\"");
        assert_eq!(quoted(&"ä".repeat(1000)), format!("\"{}\"...", "ä".repeat(80)));
        assert_eq!(cut(&"x".repeat(81)), format!("{}...", "x".repeat(80)));
        assert_eq!(cut("x"), "x");
    }
}
