//! Lines of the size of a word, for tables.

use charts_rs::{Box as Edges, Color, LineChart, Series, Symbol};

use super::finish::Svg;
use super::palette::SERIES;

/// The width of a sparkline, in pixels.
const WIDTH: f32 = 96.0;
/// The height of a sparkline, in pixels.
const HEIGHT: f32 = 24.0;

/// Draws values as a line of 96 by 24 pixels on a scale of their own, from 0. Hidden from screen readers, since the
/// numbers are beside it. A missing value interrupts the line.
pub(crate) fn sparkline(values: &[Option<f64>]) -> Svg {
    let finite = |value: &Option<f64>| value.filter(|value| value.is_finite()).map(|value| value.max(0.0));
    let greatest = values.iter().filter_map(finite).fold(0.0, f64::max);
    let divisor = if greatest > 0.0 { greatest } else { 1.0 };
    let data = values.iter().map(|value| finite(value).map(|value| (value / divisor) as f32)).collect();
    let labels = vec![String::new(); values.len().max(1)];
    let series = Series { symbol: Some(Symbol::None), ..Series::new_nullable(String::new(), data) };
    let mut chart = LineChart::new_with_theme(vec![series], labels, charts_rs::THEME_LIGHT);
    chart.width = WIDTH;
    chart.height = HEIGHT;
    chart.compact = true;
    chart.margin = Edges { left: 2.0, top: 2.0, right: 2.0, bottom: 2.0 };
    chart.background_color = Color::transparent();
    chart.legend.show = Some(false);
    chart.x_axis.hidden = true;
    chart.x_axis.boundary_gap = Some(false);
    chart.y_axis_hidden = true;
    chart.grid.stroke_width = 0.0;
    chart.grid.stroke_color = Color::transparent();
    chart.series.stroke_width = 1.5;
    chart.series.colors = vec![SERIES[0].light.into()];
    for config in &mut chart.y_axis_configs {
        config.min = Some(0.0);
        config.max = Some(1.0);
    }
    let svg = chart.svg().unwrap_or_else(|_| {
        format!(
            "<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             xmlns=\"http://www.w3.org/2000/svg\"></svg>"
        )
    });
    Svg::decorative(&svg)
}
