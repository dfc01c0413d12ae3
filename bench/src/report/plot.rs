//! A chart as SVG: lines over two scales, drawn by plotters in the palette of
//! [`STYLE`](super::page::STYLE).
//!
//! Colours are those of a light page, and the style sheet exchanges each of them on a dark
//! one, by the attribute that names it; where no style sheet reaches, the chart stays
//! readable. **Invariant:** a chart has at least one point, and all of them are inside it.

use std::ops::Range;

use anyhow::{Context, anyhow, ensure};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

/// Small enough to be read on a telephone without enlarging its letters.
const WIDTH: u32 = 480;
const HEIGHT: u32 = 260;
const TEXT_SIZE: u32 = 18;
const TITLE_SIZE: u32 = 20;
/// Of a letter of a label, on average.
const LETTER_WIDTH: u32 = 8;
const HEADING_HEIGHT: u32 = 32;
const LEGEND_HEIGHT: u32 = 22;
const X_LABELS_HEIGHT: u32 = 48;
const Y_LABELS_WIDTH: u32 = 66;
/// Of half a label at the end of the scale.
const RIGHT_MARGIN: u32 = 34;

const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const GRID: RGBColor = RGBColor(0xd8, 0xde, 0xe4);
/// Told apart by people who see fewer colours, too, in this order.
const LINES: [RGBColor; 6] = [
    RGBColor(0x1d, 0x5f, 0xa8),
    RGBColor(0xc2, 0x57, 0x0c),
    RGBColor(0x2d, 0x7d, 0x46),
    RGBColor(0x7a, 0x3f, 0xa0),
    RGBColor(0xb3, 0x26, 0x1e),
    RGBColor(0x0f, 0x76, 0x6e),
];
/// Lines of at most so many points have them marked; one alone would not be seen.
const MARKED_POINTS_MAX: usize = 40;
const SPAN_MIN: f64 = 1e-9;

/// A chart of lines.
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<ChartLine>,
    /// A value of `x` to compare with, as a vertical line.
    pub(super) reference: Option<f64>,
}

/// One line, in the palette's colour of that number.
pub(super) struct ChartLine {
    /// Shown above the chart, unless it is empty.
    pub(super) name: String,
    pub(super) colour: usize,
    pub(super) marks: PointMarks,
    pub(super) points: Vec<(f64, f64)>,
}

/// Whether the points of a line are marked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PointMarks {
    /// If they are at most [`MARKED_POINTS_MAX`].
    Few,
    None,
}

impl ChartLine {
    /// The colours of a change.
    pub(super) const BETTER: usize = 2;
    pub(super) const WORSE: usize = 4;
    pub(super) const NEUTRAL: usize = 0;
}

/// One direction of a chart.
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) scale: AxisScale,
}

/// How values become places.
pub(super) enum AxisScale {
    Linear,
    Logarithmic,
    /// Logarithmic between these ends, with these labels only.
    Labelled(Range<f64>, Vec<(f64, String)>),
    /// Rows from the top down, each with its label.
    Rows(Vec<String>),
}

/// A scale that fits its values, with its labels: plotters' coordinate. Of a logarithmic one
/// `range` and labels are logarithms.
#[derive(Clone)]
struct FittedAxis {
    range: Range<f64>,
    labels: Vec<(f64, String)>,
    is_logarithmic: bool,
}

/// The name of a line above the chart, and its place below the title.
struct LegendName<'a> {
    line: &'a ChartLine,
    left: u32,
    top: u32,
}

impl Chart {
    /// Draws the chart.
    pub(super) fn svg(&self) -> anyhow::Result<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        ensure!(
            points().next().is_some(),
            "nothing to draw for {}",
            self.title
        );
        let x = self
            .x
            .fit(points().map(|point| point.0).chain(self.reference));
        let y = self.y.fit(points().map(|point| point.1));
        let mut svg = String::new();
        self.draw(&x, &y, &mut svg)
            .with_context(|| format!("cannot draw {}", self.title))?;
        Ok(svg)
    }

    fn size(&self) -> (u32, u32, u32) {
        match &self.y.scale {
            AxisScale::Rows(rows) => {
                let longest = rows.iter().map(|row| row.chars().count()).max();
                let letters = u32::try_from(longest.unwrap_or(0)).unwrap_or(u32::MAX);
                let labels =
                    (letters.saturating_mul(LETTER_WIDTH) + 16).clamp(Y_LABELS_WIDTH, WIDTH / 2);
                let height = 26 * u32::try_from(rows.len()).unwrap_or(u32::MAX) + 70;
                (WIDTH, height, labels)
            }
            _ => (WIDTH, HEIGHT, Y_LABELS_WIDTH),
        }
    }

    /// The lines that have a name, with the places of the names in rows.
    fn legend(&self) -> Vec<LegendName<'_>> {
        let (mut left, mut top) = (0, 0);
        let named = self.lines.iter().filter(|line| !line.name.is_empty());
        named
            .map(|line| {
                let letters = u32::try_from(line.name.chars().count()).unwrap_or(WIDTH);
                let width = LETTER_WIDTH.saturating_mul(letters).saturating_add(40);
                if left > 0 && left + width > WIDTH {
                    (left, top) = (0, top + LEGEND_HEIGHT);
                }
                let name = LegendName { line, left, top };
                left += width.min(WIDTH);
                name
            })
            .collect()
    }

    fn draw(&self, x: &FittedAxis, y: &FittedAxis, svg: &mut String) -> anyhow::Result<()> {
        let (width, height, y_labels) = self.size();
        let names = self.legend();
        let heading = HEADING_HEIGHT + names.last().map_or(0, |name| name.top + LEGEND_HEIGHT);
        let area = SVGBackend::with_string(svg, (width, height + heading)).into_drawing_area();
        let (above, below) = area.split_vertically(heading);
        above.draw(&Text::new(self.title.as_str(), (0, 6), text(TITLE_SIZE)))?;
        for LegendName { line, left, top } in names {
            let (left, top) = (left as i32, (HEADING_HEIGHT + top) as i32);
            let dash = [(left, top + 8), (left + 18, top + 8)];
            let style = LINES[line.colour % LINES.len()].stroke_width(3);
            above.draw(&PathElement::new(dash, style))?;
            let place = (left + 24, top);
            above.draw(&Text::new(line.name.as_str(), place, text(TEXT_SIZE)))?;
        }
        let mut chart = ChartBuilder::on(&below)
            .margin(8)
            .margin_right(RIGHT_MARGIN)
            .x_label_area_size(X_LABELS_HEIGHT)
            .y_label_area_size(y_labels)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(text(TEXT_SIZE))
            .axis_desc_style(text(TEXT_SIZE))
            .x_desc(&self.x.title)
            .y_desc(&self.y.title)
            .draw()?;
        if let Some(value) = self.reference {
            let ends = [y.range.start, y.range.end].map(|end| (x.place(value), end));
            chart.draw_series([PathElement::new(ends, INK)])?;
        }
        for line in &self.lines {
            let style = LINES[line.colour % LINES.len()].stroke_width(2);
            let places = line.points.iter();
            let places: Vec<_> = places.map(|(a, b)| (x.place(*a), y.place(*b))).collect();
            if line.marks == PointMarks::Few && places.len() <= MARKED_POINTS_MAX {
                let marks = places
                    .iter()
                    .map(|place| Circle::new(*place, 3, style.filled()));
                chart.draw_series(marks)?;
            }
            let paths = (places.len() > 1).then(|| PathElement::new(places, style));
            chart.draw_series(paths)?;
        }
        area.present().map_err(|error| anyhow!("{error}"))
    }
}

impl Axis {
    fn fit(&self, values: impl Iterator<Item = f64>) -> FittedAxis {
        let fold = |ends: (f64, f64), value: f64| (ends.0.min(value), ends.1.max(value));
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), fold);
        match &self.scale {
            AxisScale::Linear => {
                let (low, high) = (low.min(0.0), high.max(low + SPAN_MIN));
                let step = round_step((high - low) / 5.0);
                let (first, last) = ((low / step).floor(), (high / step).ceil());
                let labels = steps(first, last).map(|number| {
                    let value = number * step;
                    (value, number_shown(value))
                });
                FittedAxis {
                    range: first * step..last * step,
                    labels: labels.collect(),
                    is_logarithmic: false,
                }
            }
            AxisScale::Logarithmic => logarithmic(low, high),
            AxisScale::Labelled(ends, labels) => FittedAxis {
                range: ends.start.log10()..ends.end.log10(),
                labels: labels
                    .iter()
                    .map(|(value, label)| (value.log10(), label.clone()))
                    .collect(),
                is_logarithmic: true,
            },
            AxisScale::Rows(rows) => FittedAxis {
                // The first row is the highest.
                range: rows.len() as f64 - 0.5..-0.5,
                labels: (0u32..).map(f64::from).zip(rows.iter().cloned()).collect(),
                is_logarithmic: false,
            },
        }
    }
}

/// A scale of decades, with labels between them where there are few.
fn logarithmic(low: f64, high: f64) -> FittedAxis {
    let (low, high) = (low.max(SPAN_MIN), high.max(SPAN_MIN));
    // Some room on both sides, so that a line does not lie on the frame.
    let range = (low / 1.15).log10()..(high * 1.15).log10();
    let decades = range.end - range.start;
    let marks: &[f64] = match decades {
        0.0..0.35 => &[
            1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0,
        ],
        0.35..1.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        1.0..2.5 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let decade_values = steps(range.start.floor(), range.end.ceil())
        .flat_map(|decade| marks.iter().map(move |mark| mark * 10f64.powf(decade)));
    let labels = decade_values
        .map(|value| (value.log10(), number_shown(value)))
        .filter(|(place, _)| range.contains(place))
        .collect();
    FittedAxis { range, labels, is_logarithmic: true }
}

impl FittedAxis {
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_logarithmic {
            value.max(SPAN_MIN).log10()
        } else {
            value
        };
        let (start, end) = (self.range.start, self.range.end);
        place.clamp(start.min(end), start.max(end))
    }

    fn label(&self, place: f64) -> String {
        let found = self.labels.iter().find(|(label, _)| *label == place);
        found.map_or(String::new(), |(_, label)| label.clone())
    }
}

impl Ranged for FittedAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, limit: (i32, i32)) -> i32 {
        let share = (place - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let is_light = hint.weight().allow_light_points();
        let labels = self.labels.iter().filter(|_| !is_light);
        labels.map(|(place, _)| *place).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for FittedAxis {
    fn format_ext(&self, place: &f64) -> String {
        self.label(*place)
    }
}

/// The whole numbers between two of them, both included.
fn steps(first: f64, last: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(first), |number| Some(number + 1.0))
        .take_while(move |number| *number <= last)
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let larger = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= step);
    larger.unwrap_or(10.0) * power
}

/// A number of an axis, without digits that say nothing.
fn number_shown(value: f64) -> String {
    let thousands = value / 1_000.0;
    if value >= 10_000.0 && thousands.fract().abs() < 1e-9 {
        return format!("{thousands:.0}k");
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(scale: AxisScale, values: &[f64]) -> Vec<String> {
        let axis = Axis { title: String::new(), scale }.fit(values.iter().copied());
        assert!(values.iter().all(|value| {
            let place = axis.place(*value);
            (axis.range.start..=axis.range.end).contains(&place)
        }));
        axis.labels.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        for (scale, values, labels) in [
            (AxisScale::Linear, vec![0.0, 17.0], "0 5 10 15 20"),
            (AxisScale::Linear, vec![0.0], "0"),
            (
                AxisScale::Logarithmic,
                vec![0.2, 30.0],
                "0.2 0.5 1 2 5 10 20",
            ),
            (AxisScale::Logarithmic, vec![1.0, 5e4], "1 10 100 1000 10k"),
            (AxisScale::Logarithmic, vec![3.0], "3"),
        ] {
            let fitted = fitted(scale, &values).join(" ");
            assert!(fitted.starts_with(labels), "{values:?}: {fitted}");
        }
    }

    #[test]
    fn a_chart_without_points_is_an_error() {
        let axis = || Axis { title: String::new(), scale: AxisScale::Linear };
        let chart = Chart {
            title: "Empty".to_owned(),
            x: axis(),
            y: axis(),
            lines: Vec::new(),
            reference: None,
        };
        assert!(chart.svg().is_err());
    }
}
