//! The drawing: one panel of horizontal bars per row, a logarithmic axis where the values lie far apart.

use std::error::Error;
use std::path::Path;

use peers::{Better, Row};
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, Color, FontTransform, IntoFont, RGBColor, TextStyle, WHITE};

use crate::table::number;
use crate::{RUNTIMES, Results};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const COLUMNS: usize = 3;
const PANEL: (i32, i32) = (470, 230);
const TITLE: i32 = 34;
const NAMES: i32 = 100;
const NUMBERS: i32 = 56;
const REACTOR: RGBColor = RGBColor(0xd9, 0x48, 0x01);
const PEER: RGBColor = RGBColor(0x6b, 0x8e, 0xb5);
const QUIET: RGBColor = RGBColor(0x70, 0x70, 0x70);

/// Draws all rows that any runtime has a value for.
pub(crate) fn draw(rows: &[&Row], results: &Results, path: &Path) -> Result<(), Box<dyn Error>> {
    let has_value = |row: &&&Row| RUNTIMES.iter().any(|(name, ..)| results.value(row.id, name).is_some());
    let rows: Vec<&&Row> = rows.iter().filter(has_value).collect();
    let lines = rows.len().div_ceil(COLUMNS).max(1);
    let size = (PANEL.0 as u32 * COLUMNS as u32, PANEL.1 as u32 * lines as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (row, area) in rows.iter().zip(root.split_evenly((lines, COLUMNS))) {
        panel(&area, row, results)?;
    }
    root.present()?;
    Ok(())
}

fn panel(area: &Area<'_>, row: &Row, results: &Results) -> Result<(), Box<dyn Error>> {
    let bars: Vec<(&str, Option<f64>)> =
        RUNTIMES.iter().map(|(name, ..)| (*name, results.value(row.id, name))).collect();
    let limit = results.limit(row);
    let scale = Scale::new(bars.iter().filter_map(|(_, value)| *value).chain(limit));

    let direction = if row.better == Better::Lower { "lower is better" } else { "higher is better" };
    let axis = if scale.log { ", log axis" } else { "" };
    area.draw(&Text::new(row_title(row.title, row.workload), (12, 8), style(14, &BLACK)))?;
    area.draw(&Text::new(format!("{}, {direction}{axis}", row.unit), (12, 24), style(10, &QUIET)))?;

    let height = (PANEL.1 - TITLE - 16) / bars.len() as i32;
    for (index, (name, value)) in bars.iter().enumerate() {
        let top = TITLE + 4 + height * index as i32;
        let middle = top + height / 2;
        let colour = if *name == "reactor" { &REACTOR } else { &PEER };
        area.draw(&Text::new(
            *name,
            (NAMES - 6, middle),
            style(11, &BLACK).pos(Pos::new(HPos::Right, VPos::Center)),
        ))?;
        let end = value.map_or(NAMES, |value| scale.x(value));
        if value.is_some() {
            area.draw(&Rectangle::new([(NAMES, top + 3), (end, top + height - 2)], colour.filled()))?;
        }
        let label = value.map_or("–".to_owned(), |value| number(Some(value)));
        area.draw(&Text::new(
            label,
            (end + 4, middle),
            style(11, &BLACK).pos(Pos::new(HPos::Left, VPos::Center)),
        ))?;
    }
    if let Some(limit) = limit {
        let x = scale.x(limit);
        let bottom = TITLE + 4 + height * bars.len() as i32;
        area.draw(&PathElement::new([(x, TITLE + 2), (x, bottom)], BLACK.stroke_width(1)))?;
        let text = format!("limit {}", number(Some(limit)));
        let below = style(9, &BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(text, (x, bottom + 2), below))?;
    }
    Ok(())
}

/// The rows that continue another one in the table ("  lateness p50") need their workload's name here.
fn row_title(title: &str, workload: &str) -> String {
    match title.strip_prefix("  ") {
        Some(rest) => format!("{workload}, {rest}"),
        None => title.to_owned(),
    }
}

/// Without its font feature plotters takes sizes for line heights and divides them by 1.24.
fn style(size: i32, colour: &RGBColor) -> TextStyle<'_> {
    TextStyle::from(("sans-serif", f64::from(size) * 1.24).into_font().transform(FontTransform::None))
        .color(colour)
}

/// Where a value ends on the panel's axis.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        // A value of nothing has no place on a logarithmic axis: it is drawn at its origin.
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value);
            high = high.max(value);
        }
        Scale { log: high > 20.0 * low, low: low / 2.0, high }
    }

    fn x(&self, value: f64) -> i32 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            value.max(0.0) / self.high
        };
        let width = PANEL.0 - NAMES - NUMBERS;
        NAMES + (share.clamp(0.0, 1.0) * f64::from(width)) as i32
    }
}
