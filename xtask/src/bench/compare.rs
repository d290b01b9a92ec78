//! Figures of now beside those of before.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};

use super::line::{Line, digits};
use super::verdict::{Verdict, judge};

/// Units where more is better.
const RATES: [&str; 4] = ["images/s", "texts/s", "GB/s", "GFLOP/s"];

/// The figures of a line, run by run.
#[derive(Default)]
struct Figures {
    ours: Vec<f64>,
    ratios: Vec<f64>,
}

type Key<'a> = (&'a str, &'a str, &'a str);

fn figures(lines: &[Line]) -> BTreeMap<Key<'_>, Figures> {
    let mut all: BTreeMap<Key<'_>, Figures> = BTreeMap::new();
    for line in lines {
        let figures = all.entry(line.key()).or_default();
        figures.ours.extend(line.ours);
        figures.ratios.extend(line.ratio);
    }
    all
}

/// A table of all lines, and whether one of them regressed. Where a peer or a limit was measured in the same runs, the
/// ratio is compared: the machine's speed of the day is in both.
pub(crate) fn compare(before: &[Line], now: &[Line]) -> (Table, bool) {
    let (before, now) = (figures(before), figures(now));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["name", "before", "now", "change", "chance", "of", "verdict"]);
    let mut regressed = false;
    for (key, figures) in &now {
        let (name, unit, against) = *key;
        let Some(known) = before.get(key) else {
            let cells = [name, "-", "-", "-", "-", unit, "new"];
            table.add_row(cells.map(str::to_owned));
            continue;
        };
        let relative = !known.ratios.is_empty() && known.ratios.len() == known.ours.len();
        let relative = relative && figures.ratios.len() == figures.ours.len();
        let change = match relative {
            true => judge(&known.ratios, &figures.ratios, RATES.contains(&unit)),
            false => judge(&known.ours, &figures.ours, RATES.contains(&unit)),
        };
        regressed |= change.verdict == Verdict::Worse;
        let [was, is] = change.medians;
        table.add_row([
            name.to_owned(),
            digits(was),
            digits(is),
            format!("{:+.1} %", 100.0 * (is / was - 1.0)),
            format!("{:.3}", change.chance),
            match relative {
                true => format!("{against} (ratio)"),
                false => unit.to_owned(),
            },
            change.verdict.name().to_owned(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    (table, regressed)
}

#[cfg(test)]
mod tests {
    use super::super::line::read;
    use super::*;

    /// Five runs, each a little slower than the one before, on a machine of this speed.
    fn runs(ours: f64, machine: f64) -> Vec<Line> {
        let line = |run: usize| {
            let noise = 1.0 + run as f64 / 100.0;
            let (ours, limit) = (ours * machine * noise, 2.0 * machine);
            let ratio = ours / limit;
            format!(
                "{{\"name\": \"dampen\", \"ours\": {ours}, \"other\": {limit}, \"against\": \"copy\", \
                 \"ratio\": {ratio}, \"unit\": \"ms\"}}\n\
                 {{\"name\": \"plan\", \"ours\": {ours}, \"other\": null, \"against\": \"-\", \
                 \"ratio\": null, \"unit\": \"ms\"}}\n"
            )
        };
        let text: String = (0..5).map(line).collect();
        read(&text).unwrap_or_default()
    }

    #[test]
    fn a_slower_machine_is_no_regression_where_the_limit_was_measured() {
        let (table, regressed) = compare(&runs(1.0, 1.0), &runs(1.0, 1.0));
        assert!(!regressed, "{table}");
        let (table, regressed) = compare(&runs(1.0, 1.0), &runs(1.5, 1.0));
        assert!(regressed, "{table}");
        let (table, _) = compare(&runs(1.0, 1.0), &runs(1.0, 1.5));
        let text = table.to_string();
        let of = |name: &str| text.lines().find(|line| line.trim().starts_with(name));
        assert!(
            of("dampen").is_some_and(|line| line.contains("no clear change")),
            "{text}"
        );
        assert!(
            of("plan").is_some_and(|line| line.contains("REGRESSED")),
            "{text}"
        );
    }

    #[test]
    fn what_is_new_is_said_and_fails_nothing() {
        let (table, regressed) = compare(&[], &runs(1.0, 1.0));
        assert!(!regressed && table.to_string().contains("new"), "{table}");
    }
}
