//! The change of a number against the range before.

use super::format;
use super::words::{Words, fill};
use crate::charts::{Language, format_count};

/// A change is coloured only if both numbers count at least this many.
const MIN_COUNT: u64 = 20;
/// A change is coloured only if it is at least this large, relative to the number before.
const MIN_RELATIVE: f64 = 0.05;

/// Which way is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// More is better.
    Up,
    /// Less is better.
    Down,
    /// Neither.
    Neutral,
}

/// How a change is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Muted,
}

/// A change as a tile shows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// `▲`, `▼`, or empty.
    pub(super) arrow: &'static str,
    pub(super) text: String,
    /// Whether it is clearly better or worse, in words; empty if it is neither.
    pub(super) word: &'static str,
    pub(super) tone: Tone,
}

impl Change {
    fn muted(text: &str) -> Self {
        Change { arrow: "", text: text.to_owned(), word: "", tone: Tone::Muted }
    }

    /// Returns what is shown if the range before is not complete.
    pub(super) fn incomparable(language: Language) -> Self {
        Change::muted(Words::of(language).incomparable)
    }
}

/// The two numbers of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pair {
    /// Counts, now and before.
    Counts(u64, u64),
    /// Durations in hours, and of how many; now and before.
    Hours((Option<f64>, u64), (Option<f64>, u64)),
    /// Shares of 1, and of how many; now and before.
    Shares((Option<f64>, u64), (Option<f64>, u64)),
}

/// Returns the change.
pub(super) fn change(pair: Pair, direction: Direction, language: Language) -> Change {
    let words = Words::of(language);
    match pair {
        Pair::Counts(now, before) => count_change(now, before, direction, language),
        Pair::Hours((Some(now), of), (Some(before), of_before)) => {
            let difference = now - before;
            let text = format!("{}{}", sign(difference), format::hours(Some(difference.abs()), language));
            let is_same = format::hours(Some(now), language) == format::hours(Some(before), language);
            let relative = if before > 0.0 { difference / before } else { 0.0 };
            let text = match before > 0.0 && of_before >= MIN_COUNT {
                true => format!("{text} ({})", relative_text(relative, language)),
                false => text,
            };
            judged(difference, relative, of.min(of_before), is_same, text, direction, words)
        }
        Pair::Shares((Some(now), of), (Some(before), of_before)) => {
            let points = (now - before) * 100.0;
            let number = format!("{}{:.1}", sign(points), points.abs());
            let text = fill(words.points, &[("x", &number)]);
            let relative = if before > 0.0 { (now - before) / before } else { points.signum() };
            judged(points, relative, of.min(of_before), points.abs() < 0.05, text, direction, words)
        }
        Pair::Hours((None, _), (None, _)) | Pair::Shares((None, _), (None, _)) => {
            Change::muted(words.no_data)
        }
        Pair::Hours(..) | Pair::Shares(..) => Change::muted(words.incomparable),
    }
}

fn count_change(now: u64, before: u64, direction: Direction, language: Language) -> Change {
    let words = Words::of(language);
    let difference = now as f64 - before as f64;
    let text = format!("{}{}", sign(difference), format_count(difference.abs()));
    if before == 0 && now > 0 {
        let text = format!("{text} ({})", words.was_zero);
        return Change { arrow: "▲", text, word: "", tone: Tone::Muted };
    }
    let relative = if before == 0 { 0.0 } else { difference / before as f64 };
    let text = match before >= MIN_COUNT {
        true => format!("{text} ({})", relative_text(relative, language)),
        false => text,
    };
    judged(difference, relative, now.min(before), now == before, text, direction, words)
}

fn judged(
    difference: f64,
    relative: f64,
    count: u64,
    is_same: bool,
    text: String,
    direction: Direction,
    words: &Words,
) -> Change {
    if is_same {
        return Change::muted(words.same);
    }
    let is_more = difference > 0.0;
    let arrow = if is_more { "▲" } else { "▼" };
    let is_good = match direction {
        Direction::Up => is_more,
        Direction::Down => !is_more,
        Direction::Neutral => return Change { arrow, text, word: "", tone: Tone::Muted },
    };
    let is_clear = relative.abs() >= MIN_RELATIVE && count >= MIN_COUNT;
    let (tone, word) = match (is_clear, is_good) {
        (false, _) => (Tone::Muted, ""),
        (true, true) => (Tone::Good, words.better),
        (true, false) => (Tone::Bad, words.worse),
    };
    Change { arrow, text, word, tone }
}

fn relative_text(relative: f64, language: Language) -> String {
    let space = if language == Language::English { "\u{2009}" } else { "" };
    format!("{}{:.0}{space}%", sign(relative), (relative * 100.0).abs())
}

fn sign(difference: f64) -> &'static str {
    if difference < 0.0 { "\u{2212}" } else { "+" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(now: u64, before: u64) -> (String, &'static str, Tone) {
        let change = change(Pair::Counts(now, before), Direction::Up, Language::English);
        (format!("{}{}", change.arrow, change.text), change.word, change.tone)
    }

    #[test]
    fn changes_of_counts() {
        assert_eq!(counts(0, 0), ("no change".into(), "", Tone::Muted));
        assert_eq!(counts(7, 7), ("no change".into(), "", Tone::Muted));
        assert_eq!(counts(5, 0), ("▲+5 (was 0)".into(), "", Tone::Muted));
        assert_eq!(counts(0, 30), ("▼−30 (−100\u{2009}%)".into(), "", Tone::Muted));
        assert_eq!(counts(12, 10), ("▲+2".into(), "", Tone::Muted));
        assert_eq!(counts(230, 200), ("▲+30 (+15\u{2009}%)".into(), "better", Tone::Good));
        assert_eq!(counts(200, 230), ("▼−30 (−13\u{2009}%)".into(), "worse", Tone::Bad));
        let small = counts(203, 200);
        assert_eq!((small.1, small.2), ("", Tone::Muted), "a small change is not judged");
    }

    #[test]
    fn a_shorter_duration_is_better() {
        let pair = Pair::Hours((Some(10.0), 50), (Some(12.0), 60));
        let shorter = change(pair, Direction::Down, Language::English);
        assert_eq!((shorter.arrow, shorter.word, shorter.tone), ("▼", "better", Tone::Good));
        assert_eq!(shorter.text, "−2.0 h (−17\u{2009}%)");
        let few = change(Pair::Hours((Some(10.0), 5), (Some(12.0), 6)), Direction::Down, Language::Japanese);
        assert_eq!((few.text.as_str(), few.tone), ("−2.0時間", Tone::Muted));
        let none = change(Pair::Hours((None, 0), (None, 0)), Direction::Down, Language::English);
        assert_eq!(none.text, "no data");
    }

    #[test]
    fn shares_change_by_points() {
        let pair = Pair::Shares((Some(0.088), 181), (Some(0.1), 170));
        let less = change(pair, Direction::Down, Language::English);
        assert_eq!((less.text.as_str(), less.word, less.tone), ("−1.2 points", "better", Tone::Good));
    }

    #[test]
    fn a_neutral_metric_is_never_judged() {
        let more = change(Pair::Counts(200, 100), Direction::Neutral, Language::English);
        assert_eq!((more.word, more.tone), ("", Tone::Muted));
    }
}
