//! Requests to forget: their plans, what they did, and whether models have forgotten.

use disinherit::evaluation::{
    Accuracy, CertifiedVerdict, Estimate, Inside, Interval, Judgement, Reference, ReferenceKind,
    SampleVerdict, Scores, Weakest,
};
use disinherit::fiun::{AlphaChoice, HeadPart, LogitSuppression, Selection, Trial};
use disinherit::registry::{
    Basis, CheckedOn, InnerEdit, InnerTrial, LossBound, LossCheck, MatchedSamples, MeasuredLoss,
    ModelOutcome, RefinedInner, RefinedStage, RetiredModel,
};
use disinherit::umig::{Forget, Part, Plan, Reads, Request, Stage, Task};
use disinherit::{ModelLoss, ShardDone, Unlearned};
use pyo3::prelude::*;

use crate::results::record::{Record, dict, list, maybe, record, text, texts};

impl Record for Request {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (classes, source, samples) = match &self.forget {
            Forget::Classes(classes) => (Some(texts(classes)), None, None),
            Forget::Source(source) => (None, Some(source), None),
            Forget::Samples(samples) => (None, None, Some(texts(samples))),
        };
        record!(py, "Request" {
            classes: classes,
            source: source,
            samples: samples,
            initial: texts(&self.from),
        })
    }
}

impl Record for Task {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (kind, reads, initial, fallback) = match self {
            Self::Card { .. } => ("card", Some("training_data"), Vec::new(), None),
            Self::ForgetFisher { reads, .. } => {
                let reads = match reads {
                    Reads::Card => "card",
                    Reads::ForgetData => "forget_data",
                };
                ("forget_fisher", Some(reads), Vec::new(), None)
            }
            Self::Difference { .. } => ("difference", Some("forget_data"), Vec::new(), None),
            Self::Retire { .. } => ("retire", None, Vec::new(), None),
            Self::Edit {
                initial,
                fallback_card,
                features,
                activations,
                ..
            } => {
                let reads = features.then_some(if *activations {
                    "card"
                } else {
                    "training_data"
                });
                ("edit", reads, texts(initial), text(fallback_card.as_ref()))
            }
        };
        record!(py, "Task" {
            kind: kind,
            model: self.model().to_string(),
            initial: initial,
            reads: reads,
            fallback_card: fallback,
        })
    }
}

impl Record for Stage {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Stage" { purpose: &self.purpose, tasks: list(py, &self.tasks)? })
    }
}

impl Record for Part {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let models = self.models.iter().map(ToString::to_string);
        record!(py, "Shard" {
            shard: self.shard.to_string(),
            models: models.collect::<Vec<_>>(),
            cost: self.cost,
        })
    }
}

impl Record for ShardDone {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let models = self.models.iter().map(ToString::to_string);
        record!(py, "ShardDone" {
            request: self.request.to_string(),
            shard: self.shard.to_string(),
            models: models.collect::<Vec<_>>(),
            edited: self.edited,
            taken_up: self.taken_up,
            seconds: self.seconds,
        })
    }
}

/// A plan, and how it falls to several processes.
impl Record for (Plan, Vec<Part>) {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (plan, parts) = self;
        let touched = plan.scope.touched();
        let roles = touched.map(|id| (id, plan.scope.role(id)));
        record!(py, "Plan" {
            request: plan.request.record(py)?,
            roles: dict(py, roles, |role| Ok(role.to_string().into_pyobject(py)?.into_any()))?,
            stages: list(py, &plan.stages)?,
            shards: list(py, parts)?,
        })
    }
}

impl Record for Selection {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "TensorEdit" {
            parameters: self.parameters,
            selected: self.selected,
            changed: self.changed,
            factor_sum: self.factor_sum,
        })
    }
}

impl Record for Trial {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Trial" {
            alpha: self.alpha,
            lambda_: self.lambda,
            forget: self.forget,
            retain: self.retain,
            forget_probability: self.forget_probability,
            selected: self.selected,
        })
    }
}

impl Record for LogitSuppression {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "LogitSuppression" {
            rows: self.rows.clone(),
            by: self.by,
            forget_before: self.forget_before,
            part: match self.part {
                HeadPart::Bias => "bias",
                HeadPart::Weight => "weight",
            },
        })
    }
}

impl Record for AlphaChoice {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "AlphaChoice" {
            alpha: self.alpha,
            lambda_: self.lambda,
            reached: self.reached,
            suppression: maybe(py, self.suppression.as_ref())?,
            forget_before: self.before.0,
            retain_before: self.before.1,
            curve: list(py, &self.curve)?,
        })
    }
}

impl Record for InnerTrial {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "InnerTrial" {
            ridge: self.ridge,
            divergence: self.divergence,
            forget: self.forget,
            retain: self.retain,
        })
    }
}

impl Record for RefinedStage {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "RefinedStage" {
            weight: self.weight,
            steps: self.steps,
            separation: self.separation.to_vec(),
            inner: maybe(py, self.inner.as_ref())?,
            tensors: self.tensors.clone(),
        })
    }
}

impl Record for RefinedInner {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "RefinedInner" { weight: self.weight, separation: self.separation.to_vec() })
    }
}

impl Record for InnerEdit {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "InnerEdit" {
            basis: match self.basis {
                Basis::Own => "own",
                Basis::Initial => "initial",
                Basis::Card => "card",
                Basis::None => "none",
            },
            layer: self.layer.as_deref(),
            reference: text(self.reference.as_ref()),
            ridge: self.ridge,
            trials: list(py, &self.trials)?,
            refined: maybe(py, self.refined.as_ref())?,
            one_layer_only: self.one_layer_only.as_deref(),
            outputs_only: self.outputs_only.as_deref(),
        })
    }
}

impl Record for LossBound {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "LossBound" { target: self.target, accepted: self.accepted })
    }
}

impl Record for MeasuredLoss {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "MeasuredLoss" {
            on: match self.on {
                CheckedOn::KeptApart => "kept_apart",
                CheckedOn::Training => "training",
                CheckedOn::HeldOut => "held_out",
            },
            samples: self.samples,
            right: self.right,
            lost: self.lost,
            gained: self.gained,
        })
    }
}

impl Record for ModelLoss {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "ModelLoss" { model: self.model.to_string(), loss: self.loss.record(py)? })
    }
}

impl Record for RetiredModel {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "RetiredModel" {
            model: self.model.to_string(),
            digest: self.digest.to_string(),
            role: self.role.to_string(),
        })
    }
}

impl Record for MatchedSamples {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let [before, after] = self.area;
        record!(py, "MatchedSamples" {
            forgotten: self.forgotten,
            retained: self.retained,
            unseen: self.unseen,
            steps: self.steps,
            carried: self.carried,
            views: self.views,
            head_only: self.head_only,
            area: (before, after),
            aim: self.aim,
        })
    }
}

impl Record for ModelOutcome {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Outcome" {
            before: self.before.to_string(),
            after: self.after.to_string(),
            role: self.role.to_string(),
            initial: texts(&self.initial),
            digest_before: self.digest_before.to_string(),
            digest_after: text(self.digest_after.as_ref()),
            alpha: self.alpha,
            lambda_: self.lambda,
            choice: maybe(py, self.choice.as_ref())?,
            tensors: dict(py, &self.tensors, |tensor| tensor.record(py))?,
            unmatched: &self.unmatched,
            fallback_card: text(self.fallback_card.as_ref()),
            inner: maybe(py, self.inner.as_ref())?,
            loss: maybe(py, self.loss.as_ref().and_then(LossCheck::measured))?,
            matched: maybe(py, self.matched.as_ref())?,
            seconds: self.seconds,
        })
    }
}

impl Record for Unlearned {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Unlearned" {
            request: self.request.as_str(),
            method: self.method.to_string(),
            operation: self.operation.map(|id| id.get()),
            models: list(py, &self.models)?,
            retired: list(py, &self.retired)?,
            loss_bound: self.loss_bound.record(py)?,
            seconds: self.seconds,
            warnings: &self.warnings,
        })
    }
}

impl Record for Accuracy {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Accuracy" { train: self.train, heldout: self.heldout })
    }
}

impl Record for Scores {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Scores" { forget: self.forget.record(py)?, retain: self.retain.record(py)? })
    }
}

impl Record for Estimate {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Estimate" {
            mean: self.mean,
            deviation: self.deviation,
            count: self.count,
        })
    }
}

impl Record for Interval {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Interval" { mean: self.mean, half_width: self.half_width })
    }
}

impl Record for Reference {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Reference" {
            kind: match self.kind {
                ReferenceKind::Retrained => "retrained",
                ReferenceKind::UntouchedRoot => "untouched_root",
            },
            models: texts(&self.models),
            probe: maybe(py, self.probe.as_ref())?,
            inner_probe: maybe(py, self.inner_probe.as_ref())?,
            reset: maybe(py, self.reset.as_ref())?,
            area: maybe(py, self.area.as_ref())?,
            fitted: maybe(py, self.fitted.as_ref())?,
        })
    }
}

impl Record for Inside {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let found = &self.measured;
        record!(py, "Inside" {
            probe: maybe(py, found.probe.as_ref())?,
            inner_probe: maybe(py, found.inner_probe.as_ref())?,
            reset: maybe(py, found.reset.as_ref())?,
            area: maybe(py, found.area.as_ref())?,
            fitted: maybe(py, found.fitted.as_ref())?,
            reference: maybe(py, self.reference.as_ref())?,
            findings: texts(&self.findings),
            not_measured: found.not_measured(),
        })
    }
}

impl Record for Weakest {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Weakest" {
            id: self.id.as_str(),
            share: self.share,
            above_retrained: self.above_retrained,
        })
    }
}

impl Record for SampleVerdict {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pair = |[first, second]: [f64; 2]| (first, second);
        record!(py, "SampleVerdict" {
            forgotten: self.forgotten,
            unseen: self.unseen,
            accuracy: pair(self.accuracy),
            loss: pair(self.loss),
            area: self.area,
            interval: pair(self.interval),
            weakest: self.weakest.record(py)?,
        })
    }
}

impl Record for CertifiedVerdict {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Verdict" {
            model: self.model.to_string(),
            scores: self.scores.record(py)?,
            at_most: self.at_most,
            passed: self.passed,
            judgement: match self.judgement() {
                Judgement::Recognised => "recognised",
                Judgement::NotMeasured => "not_measured",
                Judgement::Outputs => "outputs",
                Judgement::Features => "features",
                Judgement::Indistinguishable => "indistinguishable",
                Judgement::RetrainedBaseline => "retrained_baseline",
            },
            inside: maybe(py, self.inside.as_ref())?,
            samples: maybe(py, self.samples.as_ref())?,
        })
    }
}
