//! Names from outside, made safe for XML and short enough to draw.

/// Returns the text without control characters, characters that XML forbids, and characters that reorder text.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_drawable(*c)).collect()
}

fn is_drawable(c: char) -> bool {
    let reorders =
        matches!(c, '\u{200E}' | '\u{200F}' | '\u{061C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let is_noncharacter = (u32::from(c) & 0xFFFE) == 0xFFFE || matches!(c, '\u{FDD0}'..='\u{FDEF}');
    !(c.is_control() || reorders || is_noncharacter)
}

/// Returns the width of a text in ems of a common sans-serif font, estimated: East Asian characters are one em.
pub(super) fn width_em(text: &str) -> f64 {
    text.chars().map(|c| if is_wide(c) { 1.0 } else { 0.56 }).sum()
}

/// Returns whether a character is drawn one em wide.
pub(super) fn is_wide(c: char) -> bool {
    matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE4F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD)
}

/// Cleans a text, and cuts it with an ellipsis if it is wider than `max_em`.
pub(super) fn shorten(text: &str, max_em: f64) -> String {
    let text = clean(text);
    if width_em(&text) <= max_em {
        return text;
    }
    let mut width = 1.0;
    let mut short = String::new();
    for c in text.chars() {
        width += if is_wide(c) { 1.0 } else { 0.56 };
        if width > max_em {
            break;
        }
        short.push(c);
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}
