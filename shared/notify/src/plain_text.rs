//! Text from outside, such as titles and names, made harmless.

/// Returns whether a character changes how other text shows: control characters, marks of direction, and invisible ones.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Returns the text as one line without characters that change how it shows.
pub(crate) fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|it| if it.is_whitespace() { ' ' } else { it }).collect();
    let safe: String = spaced.chars().filter(|character| !is_unsafe(*character)).collect();
    safe.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Returns the first `max` characters of the text, with an ellipsis if it has more.
pub(crate) fn cut(text: &str, max: usize) -> String {
    match (text.char_indices().nth(max), max) {
        (None, _) => text.to_owned(),
        (Some(_), 0) => String::new(),
        (Some(_), _) => text.chars().take(max - 1).chain(['…']).collect(),
    }
}

/// Returns a text in which nobody is mentioned: an invisible character follows each `@`.
pub(crate) fn without_mentions(text: &str) -> String {
    text.replace('@', "@\u{200B}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_no_control_characters_and_no_marks_of_direction() {
        assert_eq!(one_line("a\r\nb\t \u{1b}[31mred\u{7} \u{202e}gnp.exe\u{200b}"), "a b [31mred gnp.exe");
        assert_eq!(one_line("日本語 🎉"), "日本語 🎉");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("日本語", 3), "日本語");
        assert_eq!(cut("日本語です", 3), "日本…");
        assert_eq!(cut("日本語", 0), "");
    }

    #[test]
    fn mentions_are_broken() {
        assert_eq!(without_mentions("hi @everyone"), "hi @\u{200B}everyone");
    }
}
