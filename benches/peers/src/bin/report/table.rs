//! The table: one line per row, one column per runtime, then the best peer and what `reactor` is in relation to it.

use peers::{Better, GROUPS, Row};

use crate::{RUNTIMES, Results};

/// The table and its footnotes.
pub(crate) fn render(rows: &[&Row], results: &Results) -> String {
    let mut notes = Notes::default();
    let mut header: Vec<String> = ["row", "", "limit"].map(String::from).into();
    header.extend(RUNTIMES.iter().map(|(name, ..)| name.replace("tokio LocalSet", "LocalSet")));
    header.extend(["best peer", "to best", "to limit"].map(String::from));

    let mut cells = vec![header];
    for row in rows {
        if let Some((_, title)) = GROUPS.iter().find(|(first, _)| *first == row.id) {
            cells.push(vec![format!("# {title}")]);
        }
        cells.push(line(row, results, &mut notes));
        if row.has_two_cores() {
            cells.push(cache_lines(row, results));
        }
    }
    let mut text = align(&cells);
    text += "\nns, µs, ms, B: lower is better; M/s: higher is better. The ratios are reactor's value to the other's;\n\
             with two polling cores both count in cache lines there and back, measured around each of them.\n";
    for (number, note) in notes.0.iter().enumerate() {
        text += &format!("{}) {note}\n", number + 1);
    }
    text
}

fn line(row: &Row, results: &Results, notes: &mut Notes) -> Vec<String> {
    let arrow = if row.better == Better::Lower { '↓' } else { '↑' };
    let limit = if row.is_limit() { results.value(row.id, "limits") } else { results.limit(row) };
    let mut cells = vec![row.title.to_owned(), format!("{} {arrow}", row.unit), number(limit)];
    if row.is_limit() {
        return cells;
    }
    for (runtime, ..) in RUNTIMES {
        cells.push(match results.get(row.id, runtime) {
            Some(Ok(value)) => number(Some(*value)),
            Some(Err(reason)) => format!("–{})", notes.number(runtime, reason)),
            None => String::new(),
        });
    }
    let best = results.best_peer(row);
    let reactor = results.comparable(row.id, "reactor");
    cells.push(best.map(|(name, _)| name.to_owned()).unwrap_or_default());
    cells.push(ratio(reactor, best.map(|(_, value)| value)));
    cells.push(match row.limit {
        // Measured side by side, so already divided.
        Some("cache_line") => reactor.map(|lines| format!("{}×", number(Some(lines)))).unwrap_or_default(),
        _ => ratio(results.value(row.id, "reactor"), results.limit(row)),
    });
    cells
}

/// What the line between the cores took next to each runtime's measurements.
fn cache_lines(row: &Row, results: &Results) -> Vec<String> {
    let mut cells = vec!["  cache line meanwhile".to_owned(), "ns".to_owned(), String::new()];
    cells.extend(RUNTIMES.iter().map(|(runtime, ..)| number(results.cache_line(row.id, runtime))));
    cells
}

/// Three significant digits.
pub(crate) fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return String::new() };
    match value.abs() {
        size if size >= 99_950.0 => format!("{:.0}k", value / 1e3),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn ratio(value: Option<f64>, to: Option<f64>) -> String {
    match (value, to) {
        (Some(value), Some(to)) => format!("{}×", number(Some(value / to))),
        _ => String::new(),
    }
}

/// Left-aligned first two columns, right-aligned numbers; a line of one cell is a heading.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = lines.iter().filter(|line| line.len() > 1).filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        if let [heading] = &line[..] {
            text += &format!("\n{}\n", heading.trim_start_matches("# "));
            continue;
        }
        let cells = line.iter().enumerate().map(|(column, cell)| match column {
            0 | 1 => format!("{cell:<width$}", width = widths[column]),
            _ => format!("{cell:>width$}", width = widths[column]),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// The footnotes, each once.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, runtime: &str, reason: &str) -> usize {
        let note = format!("{runtime}: {reason}");
        let known = self.0.iter().position(|known| *known == note);
        1 + known.unwrap_or_else(|| {
            self.0.push(note);
            self.0.len() - 1
        })
    }
}
