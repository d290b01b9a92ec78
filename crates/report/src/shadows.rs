//! How models stand beside retrained ones over networks of other training seeds.

use disinherit::evaluation::{Klom, KlomSpread, ShadowVerdict, Verdicts};
use disinherit_lab::{Study, mean};
use maud::{Markup, html};
use umig::Role;

/// One figure of a verdict.
pub(crate) struct Column {
    /// Its name in the CSV file.
    pub(crate) csv: &'static str,
    heading: &'static str,
    words: &'static str,
    /// Whether it is a share, shown in percent; else it is in nats.
    share: bool,
    pick: fn(&ShadowVerdict) -> Option<f64>,
}

fn klom(found: &ShadowVerdict, pick: fn(&Klom) -> Option<KlomSpread>) -> Option<KlomSpread> {
    found.klom.as_ref().and_then(pick)
}

pub(crate) const COLUMNS: [Column; 10] = [
    Column {
        csv: "u_lira_accuracy",
        heading: "U-LiRA",
        words: "how often an attacker with models of other seeds says right of a forget sample whether a model \
                unlearned it or never learnt it, percent; 50 is chance",
        share: true,
        pick: |v| Some(v.attack?.accuracy.mean),
    },
    Column {
        csv: "u_lira_accuracy_error",
        heading: "+-",
        words: "two standard errors of it, over networks",
        share: true,
        pick: |v| Some(2.0 * v.attack?.accuracy.standard_error()),
    },
    Column {
        csv: "u_lira_area",
        heading: "area",
        words: "the area under the curve of the same attack, percent; 50 is chance",
        share: true,
        pick: |v| Some(v.attack?.area.mean),
    },
    Column {
        csv: "u_lira_found_at_one_percent",
        heading: "found at 1 %",
        words: "the share of unlearned samples found while 1 % of the never learnt ones is taken for such, percent",
        share: true,
        pick: |v| v.attack?.found_at_one_percent,
    },
    Column {
        csv: "klom_forget",
        heading: "KLOM forget",
        words: "divergence of the log-odds from those of retrained models on forget samples, nats, mean; to be read \
                against that of retrained models among themselves",
        share: false,
        pick: |v| klom(v, |k| k.forget).map(|spread| spread.mean),
    },
    Column {
        csv: "klom_forget_high",
        heading: "95th",
        words: "its 95th percentile over forget samples",
        share: false,
        pick: |v| klom(v, |k| k.forget).map(|spread| spread.high),
    },
    Column {
        csv: "klom_retain",
        heading: "KLOM retain",
        words: "the same on retained training samples",
        share: false,
        pick: |v| klom(v, |k| k.retain).map(|spread| spread.mean),
    },
    Column {
        csv: "klom_retain_high",
        heading: "95th",
        words: "its 95th percentile over retained training samples",
        share: false,
        pick: |v| klom(v, |k| k.retain).map(|spread| spread.high),
    },
    Column {
        csv: "klom_heldout",
        heading: "KLOM held out",
        words: "the same on held-out samples of what is retained",
        share: false,
        pick: |v| klom(v, |k| k.heldout).map(|spread| spread.mean),
    },
    Column {
        csv: "klom_heldout_high",
        heading: "95th",
        words: "its 95th percentile over held-out samples",
        share: false,
        pick: |v| klom(v, |k| k.heldout).map(|spread| spread.high),
    },
];

/// How models stand beside retrained ones over shadow networks, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowTable {
    /// The networks, the study's own among them.
    pub networks: usize,
    /// The columns, the method first.
    pub header: Vec<&'static str>,
    /// The models before, then as each method left them; `retrain` is retrained models among themselves.
    pub rows: Vec<Vec<String>>,
}

/// The table of studies with shadow networks: means over touched models and studies, shares in percent and
/// divergences in nats. Nothing where there were no shadows.
pub fn shadow_table(studies: &[Study]) -> Option<ShadowTable> {
    let first = studies.first()?;
    let before = studies.iter().flat_map(|study| &study.models);
    let before = before.filter(|model| model.role != Role::Untouched);
    let mut rows = vec![("before".to_owned(), found(before.map(|m| &m.before)))];
    for result in &first.results {
        let same = studies.iter().flat_map(|study| &study.results);
        let same = same.filter(|other| other.variant == result.variant);
        let after = same.flat_map(|result| &result.models);
        rows.push((
            result.variant.to_string(),
            found(after.map(|m| &m.verdicts)),
        ));
    }
    rows.retain(|(_, found)| !found.is_empty());
    let all = rows.iter().flat_map(|(_, found)| found);
    let headings = COLUMNS.iter().map(|column| column.heading);
    Some(ShadowTable {
        networks: all.map(|found| found.networks).max()?,
        header: ["method"].into_iter().chain(headings).collect(),
        rows: rows
            .into_iter()
            .map(|(name, found)| [name].into_iter().chain(cells(&found)).collect())
            .collect(),
    })
}

fn found<'a>(verdicts: impl Iterator<Item = &'a Verdicts>) -> Vec<&'a ShadowVerdict> {
    verdicts.filter_map(|v| v.shadows.as_ref()).collect()
}

fn cells<'a>(found: &'a [&ShadowVerdict]) -> impl Iterator<Item = String> + 'a {
    COLUMNS.iter().map(|column| {
        let value = mean(found.iter().filter_map(|verdict| (column.pick)(verdict)));
        match (value, column.share) {
            (None, _) => "-".to_owned(),
            (Some(value), true) => format!("{:.1}", 100.0 * value),
            (Some(value), false) => format!("{value:.2}"),
        }
    })
}

/// The figures of one model in the CSV file, the networks first; empty where there were no shadows.
pub(crate) fn csv_cells(verdicts: &Verdicts) -> Vec<String> {
    let found = verdicts.shadows.as_ref();
    let networks = found.map_or(String::new(), |found| found.networks.to_string());
    let figures = COLUMNS.iter().map(|column| {
        let value = found.and_then(column.pick);
        value.map_or(String::new(), |value| format!("{value:.6}"))
    });
    [networks].into_iter().chain(figures).collect()
}

/// The table with what it says; nothing where there were no shadows.
pub(crate) fn draw(studies: &[Study]) -> Option<Markup> {
    let table = shadow_table(studies)?;
    Some(html! {
        p {
            (table.networks) " networks of the recipe were grown with other training seeds, each was unlearned by every \
            method and retrained without the forget data. Figures are means over the touched models. What retrained \
            models reach among themselves, each half of the networks against the other, is what a method can reach."
        }
        div class="wide" { table class="methods numbers" {
            thead { tr { @for heading in &table.header { th { (heading) } } } }
            tbody { @for row in &table.rows { tr { @for cell in row { td { (cell) } } } } }
        } }
        details {
            summary { "What the columns mean" }
            ul { @for column in &COLUMNS { li { (column.heading) ": " (column.words) } } }
        }
    })
}
