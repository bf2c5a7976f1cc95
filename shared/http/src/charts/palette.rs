//! The colours of the pages and charts, as tokens with one value for each theme.
//!
//! A chart is drawn with the light values. Because every token that charts use has its own light value, a style
//! sheet can map an attribute such as `fill="#2F66D0"` to the token ([`chart_rules`]), and a chart follows the
//! theme of the page without another request.

use std::fmt::Write;

/// A colour with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    /// The name of its custom property in CSS, without the two dashes.
    pub(crate) name: &'static str,
    /// `#RRGGBB` in the light theme.
    pub(crate) light: &'static str,
    /// `#RRGGBB` in the dark theme.
    pub(crate) dark: &'static str,
}

impl Token {
    /// Returns the value in one theme.
    pub(crate) fn value(self, is_dark: bool) -> &'static str {
        if is_dark { self.dark } else { self.light }
    }
}

const fn token(name: &'static str, light: &'static str, dark: &'static str) -> Token {
    Token { name, light, dark }
}

/// The background of a chart and of a card.
pub(crate) const SURFACE: Token = token("surface", "#FFFFFF", "#15181E");
/// Behind slots whose data is not complete.
pub(crate) const RAISED: Token = token("raised", "#EEF1F5", "#1F242C");
/// Titles.
pub(crate) const TEXT: Token = token("text", "#1B1F27", "#E7EAF0");
/// Labels of axes and legends, notes.
pub(crate) const MUTED: Token = token("muted", "#596170", "#A3ABB8");
/// Grid lines.
pub(crate) const GRID: Token = token("grid", "#E4E7EC", "#252A33");
/// The base line of an axis.
pub(crate) const AXIS: Token = token("axis", "#C3C9D2", "#3A414D");
/// The rest of a stack.
pub(crate) const OTHER: Token = token("other", "#838A96", "#858D9B");
/// The colours of series, in order. The first is the accent colour.
pub(crate) const SERIES: [Token; 8] = [
    token("series-1", "#2F66D0", "#6FA3FF"),
    token("series-2", "#D47456", "#B06508"),
    token("series-3", "#054C3A", "#52886E"),
    token("series-4", "#B6306B", "#FF97B9"),
    token("series-5", "#6C6A12", "#D7D681"),
    token("series-6", "#60188C", "#7962DB"),
    token("series-7", "#7A1D0C", "#F7744D"),
    token("series-8", "#5C93BB", "#93DCF5"),
];
/// The steps of a heat map, from nothing to most.
pub(crate) const HEAT: [Token; 5] = [
    token("heat-0", "#E9ECF1", "#232831"),
    token("heat-1", "#BFD2F6", "#2B4675"),
    token("heat-2", "#85A8EC", "#3F68B0"),
    token("heat-3", "#4A7ADB", "#6A9AF0"),
    token("heat-4", "#1D479F", "#B9D3FF"),
];

/// Returns every token that charts use.
pub(crate) fn chart_tokens() -> impl Iterator<Item = Token> {
    [SURFACE, RAISED, TEXT, MUTED, GRID, AXIS, OTHER].into_iter().chain(SERIES).chain(HEAT)
}

/// Returns the declarations of all tokens as custom properties: `--surface:#FFFFFF;...`.
pub(crate) fn custom_properties(is_dark: bool) -> String {
    let mut css = String::new();
    for token in chart_tokens() {
        write!(css, "--{}:{};", token.name, token.value(is_dark)).expect("writing to a string does not fail");
    }
    css
}

/// Returns the rules that give the shapes of charts below `.chart` the colours of the custom properties.
pub(crate) fn chart_rules() -> String {
    rules(".chart ", |token| format!("var(--{})", token.name))
}

/// Returns the rules that give the shapes of a chart that stands alone the dark colours.
pub(super) fn dark_rules() -> String {
    rules("", |token| token.dark.to_owned())
}

/// Returns a colour as the charts crate writes it: `#FFF` for `#FFFFFF`.
fn as_written(color: &'static str) -> &'static str {
    if color == "#FFFFFF" { "#FFF" } else { color }
}

fn rules(scope: &str, color: impl Fn(Token) -> String) -> String {
    let mut css = String::new();
    for token in chart_tokens() {
        for attribute in ["fill", "stroke"] {
            write!(
                css,
                "{scope}[{attribute}=\"{}\"]{{{attribute}:{}}}",
                as_written(token.light),
                color(token)
            )
            .expect("writing to a string does not fail");
        }
    }
    css
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the relative luminance of WCAG 2.2.
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).expect("hex digits")) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_and_series_contrast_with_the_surface() {
        for is_dark in [false, true] {
            let surface = SURFACE.value(is_dark);
            for (token, min) in [(TEXT, 7.0), (MUTED, 4.5), (OTHER, 3.0)] {
                assert!(contrast(token.value(is_dark), surface) >= min, "{}", token.name);
            }
            // Labels also stand on shaded slots.
            assert!(contrast(MUTED.value(is_dark), RAISED.value(is_dark)) >= 4.5);
            for token in SERIES {
                assert!(contrast(token.value(is_dark), surface) >= 3.0, "{}", token.name);
            }
            for pair in HEAT.windows(2) {
                assert!(contrast(pair[0].value(is_dark), pair[1].value(is_dark)) >= 1.25, "{}", pair[1].name);
            }
        }
    }

    #[test]
    fn a_rule_can_tell_every_token_by_its_light_value() {
        let mut values: Vec<_> = chart_tokens().map(|token| token.light).collect();
        values.sort_unstable();
        let count = values.len();
        values.dedup();
        assert_eq!(values.len(), count);
        assert!(values.iter().all(|value| value.len() == 7));
    }

    #[test]
    fn rules_name_every_token() {
        let rules = chart_rules();
        assert!(rules.contains(".chart [fill=\"#2F66D0\"]{fill:var(--series-1)}"), "{rules}");
        assert!(rules.contains(".chart [stroke=\"#FFF\"]{stroke:var(--surface)}"), "{rules}");
        assert!(dark_rules().contains("[fill=\"#2F66D0\"]{fill:#6FA3FF}"));
        assert!(custom_properties(true).contains("--series-1:#6FA3FF;"));
    }
}
