//! Charts as SVG: activity over time, durations over time, distributions, bars by name, sparklines.
//!
//! * Each function takes numbers and returns an [`Svg`]: a `<svg>` element with a `<title>` and a `<desc>` for
//!   screen readers, no script, and text as text. It is deterministic, and never fails: without data it says so.
//! * [`Placement::Inline`] is for pages: transparent, without title and legend, which HTML shows around it. A
//!   style sheet with [`palette::chart_rules`] sets its colours.
//! * [`Placement::Standalone`] is for `<img>`: with background, title and legend.
//! * Names come from outside. [`text::clean`] drops what XML forbids and what reorders text, and the rest is escaped.
//!
//! Only this module uses the `charts-rs` crate. The root element has data for a script that shows values:
//! `data-slots` is the number of buckets or rows, and `data-left`, `data-top`, `data-width`, `data-height` are the
//! plot's rectangle in the units of the view box, so slot `k` starts at `left + k * width / slots`.

mod bars;
mod drawing;
mod finish;
mod lines;
mod metric_titles;
mod numbers;
pub(crate) mod palette;
mod scale;
mod sparkline;
mod text;
mod time;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use bars::{Bin, NamedValue, activity, distribution, horizontal_bars};
pub(crate) use finish::{Svg, auto_style_source};
pub(crate) use lines::durations;
pub(crate) use metric_titles::{agent_metric_title, duration_names, metric_title};
pub(crate) use numbers::{format_count, format_dollars, format_hours};
pub(crate) use sparkline::sparkline;
pub(crate) use time::{Slot, TimeAxis, format_day, format_slot};

/// The language of texts, numbers and dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Language {
    /// `5 Oct 2026`, `12,345`, `15.3 h`.
    #[default]
    English,
    /// `2026年10月5日`, `12,345`, `15.3時間`.
    Japanese,
}

/// The colours of a chart that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// Always light.
    Light,
    /// Always dark.
    Dark,
    /// As the viewer's system prefers.
    #[default]
    Auto,
}

/// Where a chart is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placement {
    /// In an HTML document that shows title and legend, and whose style sheet sets the colours.
    Inline,
    /// Alone, as an image.
    Standalone(Theme),
}

/// What the values of a chart are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Counts. The axis has no unit.
    Count,
    /// Hours. The axis shows minutes, hours or days, as the values need.
    Hours,
    /// US dollars. The axis shows their sign.
    Dollars,
}

/// What every chart has.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The title in the chart's language. Screen readers read it; a chart that stands alone also shows it.
    pub(crate) title: String,
    /// Where the chart is shown.
    pub(crate) placement: Placement,
    /// The language of texts, numbers and dates.
    pub(crate) language: Language,
    /// The width in pixels, from [`MIN_WIDTH`] to [`MAX_WIDTH`].
    pub(crate) width: u32,
    /// The height in pixels. The number of rows decides instead for bars by name.
    pub(crate) height: u32,
}

/// A series with its name: a repository, or `median`. One value for every slot; `None` is a gap.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NamedSeries {
    /// The name in the legend.
    pub(crate) name: String,
    /// The values in order of the slots.
    pub(crate) values: Vec<Option<f64>>,
}

/// The most buckets of a chart. More would be less than a pixel wide.
pub(crate) const MAX_BUCKETS: u64 = 1000;
/// The smallest width of a chart, in pixels.
pub(crate) const MIN_WIDTH: u32 = 240;
/// The largest width of a chart, in pixels.
pub(crate) const MAX_WIDTH: u32 = 1600;
