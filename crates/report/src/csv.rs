//! Every number as a table for other programs.

use disinherit::Cost;
use disinherit::evaluation::Verdicts;
use disinherit_lab::Study;
use disinherit_registry::ModelOutcome;

use crate::error::ReportError;
use crate::shadows::{COLUMNS, csv_cells};

const HEADER: [&str; 33] = [
    "study",
    "seed",
    "device",
    "method",
    "model",
    "role",
    "depth",
    "forget_train",
    "forget_heldout",
    "retain_train",
    "retain_heldout",
    "called_member",
    "attack_accuracy",
    "likelihood_ratio_area",
    "forget_divergence",
    "forget_activation_distance",
    "zero_retrain_forgetting",
    "probe",
    "relearning_steps",
    "parameters_changed",
    "alpha",
    "model_seconds",
    "method_seconds",
    "method_processor_seconds",
    "method_bytes",
    "judgement",
    "probe_deviation",
    "inner_probe",
    "reset_steps",
    "reset_deviation",
    "membership_area",
    "membership_fitted",
    "root",
];

/// One line for each model of each method, one for each model before (`before`), and one for the
/// untouched root that it is compared with (`untouched-root`).
///
/// # Errors
/// [`ReportError::Table`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let results = include_str!("../tests/data/studies.json");
/// let studies: Vec<disinherit_lab::Study> = serde_json::from_str(results)?;
/// let table = disinherit_report::csv(&studies)?;
/// assert!(table.starts_with("study,seed,device,method,model,role"));
/// # Ok(())
/// # }
/// ```
pub fn csv(studies: &[Study]) -> Result<String, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let shadows = COLUMNS.iter().map(|column| column.csv);
    let header = HEADER.into_iter().chain(["networks"]).chain(shadows);
    writer.write_record(header)?;
    for study in studies {
        for model in &study.models {
            let line = Line {
                study,
                method: "before".into(),
                model: model.id.name(),
                role: model.role.to_string(),
                depth: model.depth,
            };
            let mut cells = line.cells(&model.before, None);
            cells.push(String::new());
            cells.extend(inside(&model.before));
            cells.push(String::new());
            cells.extend(csv_cells(&model.before));
            writer.write_record(cells)?;
            if let Some(root) = &model.root {
                let line = Line {
                    method: "untouched-root".into(),
                    ..line
                };
                let mut cells = line.cells(&root.verdicts, None);
                cells.push(String::new());
                cells.extend(inside(&root.verdicts));
                cells.push(root.id.to_string());
                cells.extend(csv_cells(&root.verdicts));
                writer.write_record(cells)?;
            }
        }
        for result in &study.results {
            for model in &result.models {
                let known = study.models.iter().find(|m| m.id == model.id);
                let line = Line {
                    study,
                    method: result.variant.to_string(),
                    model: model.id.name(),
                    role: model.outcome.role.to_string(),
                    depth: known.map_or(0, |m| m.depth),
                };
                let outcome = Some((&model.outcome, &result.cost));
                let mut cells = line.cells(&model.verdicts, outcome);
                let judged = study.judged_model(result, model);
                cells.push(judged.judgement.to_string());
                cells.extend(inside(&model.verdicts));
                cells.push(String::new());
                cells.extend(csv_cells(&model.verdicts));
                writer.write_record(cells)?;
            }
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| ReportError::Table(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| ReportError::Table(error.to_string()))
}

/// What was found inside a model.
fn inside(verdicts: &Verdicts) -> [String; 6] {
    let found = verdicts.measured();
    let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.6}"));
    [
        number(found.probe.map(|e| e.deviation)),
        number(found.inner_probe.map(|e| e.mean)),
        number(found.reset.map(|e| e.mean)),
        number(found.reset.map(|e| e.deviation)),
        number(found.area.map(|e| e.mean)),
        number(found.fitted.map(|e| e.mean)),
    ]
}

struct Line<'a> {
    study: &'a Study,
    method: String,
    model: &'a str,
    role: String,
    depth: usize,
}

impl Line<'_> {
    fn cells(&self, verdicts: &Verdicts, outcome: Option<(&ModelOutcome, &Cost)>) -> Vec<String> {
        let number = |value: Option<f64>| value.map_or(String::new(), |v| format!("{v:.6}"));
        let membership = verdicts.membership;
        let distance = verdicts.distance;
        let relearning = verdicts.relearning;
        let mut line = vec![
            self.study.title.clone(),
            self.study.seed.to_string(),
            self.study.device.clone(),
            self.method.clone(),
            self.model.to_owned(),
            self.role.clone(),
            self.depth.to_string(),
            number(verdicts.scores.forget.train),
            number(verdicts.scores.forget.heldout),
            number(verdicts.scores.retain.train),
            number(verdicts.scores.retain.heldout),
            number(membership.map(|m| m.called_member)),
            number(membership.map(|m| m.attack_accuracy)),
            number(membership.and_then(|m| m.likelihood_ratio).map(|l| l.area)),
            number(distance.map(|d| d.forget_divergence)),
            number(distance.map(|d| d.forget_activation)),
            number(verdicts.zero_retrain_forgetting),
            number(verdicts.probe),
            relearning
                .map(|r| r.steps.map_or(format!(">{}", r.limit), |s| s.to_string()))
                .unwrap_or_default(),
        ];
        line.extend(match outcome {
            None => vec![String::new(); 6],
            Some((outcome, cost)) => vec![
                outcome.selection().changed.to_string(),
                number(outcome.alpha),
                number(Some(outcome.seconds)),
                number(Some(cost.seconds)),
                number(cost.processor_seconds),
                (cost.bytes_read + cost.bytes_written).to_string(),
            ],
        });
        line
    }
}
