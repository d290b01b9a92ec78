//! The judgement on methods and on their models, from verdicts alone.

use disinherit::FORGOTTEN;
use disinherit::evaluation::{Judged, Judgement, Measured, Reference, ReferenceKind, Verdicts};
use umig::ModelId;

use super::results::{MethodResult, ModelResult, Study};
use crate::baselines::MethodKind;
use crate::metrics::Metrics;

impl Study {
    /// What models reach that do not know the forget data: the retrained ones where there are some,
    /// else the untouched roots; nothing where there are neither.
    pub fn reference(&self) -> Option<Reference> {
        let ids: Vec<&ModelId> = self.models.iter().map(|model| &model.id).collect();
        self.reference_of(&ids)
    }

    /// The same for one model: itself retrained, or its untouched root.
    pub fn reference_for(&self, id: &ModelId) -> Option<Reference> {
        self.reference_of(&[id])
    }

    fn reference_of(&self, ids: &[&ModelId]) -> Option<Reference> {
        let retrain = self.result(MethodKind::Retrain.into());
        let retrained = ids.iter().filter_map(|id| {
            let model = retrain?.model(id)?;
            Some((model.id.clone(), model.verdicts.measured()))
        });
        let retrained: Vec<(ModelId, Measured)> = retrained.collect();
        if let Some(reference) = Reference::new(ReferenceKind::Retrained, &retrained) {
            return Some(reference);
        }
        let models = self.models.iter().filter(|model| ids.contains(&&model.id));
        let roots = models.filter_map(|model| model.root.as_ref());
        let roots: Vec<(ModelId, Measured)> = roots
            .map(|root| (root.id.clone(), root.verdicts.measured()))
            .collect();
        let mut reference = Reference::new(ReferenceKind::UntouchedRoot, &roots)?;
        // One root may stand for several models.
        reference.models.sort();
        reference.models.dedup();
        Some(reference)
    }

    /// What the evidence allows to say of a method: where every model passes by its outputs, what the
    /// means over its models allow, and no more than at least half of them reach alone, so that a
    /// model that lacks as much as another has too much is not taken for two good ones.
    pub fn judged(&self, result: &MethodResult) -> Judged {
        if result.models.iter().any(|m| m.verdicts.samples.is_some()) {
            return self.judged_samples(result);
        }
        let left = result.models.iter();
        let left = left.filter_map(|m| m.verdicts.scores.forget.heldout);
        let found: Vec<Measured> = result
            .models
            .iter()
            .map(|m| m.verdicts.measured())
            .collect();
        let mut judged = Judged::new(
            left.reduce(f64::max),
            FORGOTTEN,
            &Measured::over(&found),
            self.reference().as_ref(),
        );
        if matches!(
            judged.judgement,
            Judgement::NotMeasured | Judgement::Recognised
        ) {
            return judged;
        }
        if result.variant.method == MethodKind::Retrain {
            return Judged {
                judgement: Judgement::RetrainedBaseline,
                findings: Vec::new(),
            };
        }
        let each: Vec<Judged> = result
            .models
            .iter()
            .map(|model| self.judged_model(result, model))
            .collect();
        for word in [Judgement::Indistinguishable, Judgement::Features] {
            let reached = each.iter().filter(|j| j.judgement.reaches(word)).count();
            if judged.judgement == word && 2 * reached < each.len() {
                judged.judgement = judged.judgement.at_most(match word {
                    Judgement::Indistinguishable => Judgement::Features,
                    _ => Judgement::Outputs,
                });
                judged
                    .findings
                    .extend(each.iter().flat_map(|j| &j.findings));
            }
        }
        judged.findings.sort();
        judged.findings.dedup();
        judged
    }

    /// The least that can be said of any of its models, where single samples or a source are forgotten.
    fn judged_samples(&self, result: &MethodResult) -> Judged {
        let each = result.models.iter();
        let each = each.map(|model| self.judged_model(result, model));
        let mut judged = each.reduce(|least, next| Judged {
            judgement: least.judgement.at_most(next.judgement),
            findings: [least.findings, next.findings].concat(),
        });
        let nothing = Judged {
            judgement: Judgement::NotMeasured,
            findings: Vec::new(),
        };
        if let Some(judged) = &mut judged {
            judged.findings.sort();
            judged.findings.dedup();
        }
        judged.unwrap_or(nothing)
    }

    /// What the evidence allows to say of one model as a method left it.
    pub fn judged_model(&self, result: &MethodResult, model: &ModelResult) -> Judged {
        let verdicts = &model.verdicts;
        let (found, reference) = (verdicts.measured(), self.reference_for(&model.id));
        let mut judged = match &verdicts.samples {
            Some(samples) => Judged::of_samples(samples, &found, reference.as_ref()),
            None => {
                let left = verdicts.scores.forget.heldout;
                Judged::new(left, FORGOTTEN, &found, reference.as_ref())
            }
        };
        let passed = judged.judgement.reaches(Judgement::Outputs);
        if passed && result.variant.method == MethodKind::Retrain {
            judged = Judged {
                judgement: Judgement::RetrainedBaseline,
                findings: Vec::new(),
            };
        }
        judged
    }

    /// Metrics that others report, for one model as a method left it.
    pub fn metrics(&self, model: &ModelResult) -> Metrics {
        let before = self.models.iter().find(|known| known.id == model.id);
        let retrain = self.result(MethodKind::Retrain.into());
        let retrained = retrain.and_then(|retrain| retrain.model(&model.id));
        let unknown = Verdicts::default();
        Metrics::new(
            before.map_or(&unknown, |known| &known.before),
            &model.verdicts,
            retrained.map(|retrained| &retrained.verdicts),
        )
    }

    /// The same study with judgements and metrics written down.
    #[must_use]
    pub(crate) fn with_judgements(mut self) -> Self {
        let of_model = |result, model| (self.judged_model(result, model), self.metrics(model));
        let judged: Vec<(Judged, Vec<(Judged, Metrics)>)> = self
            .results
            .iter()
            .map(|result| {
                let models = result.models.iter();
                let models = models.map(|model| of_model(result, model)).collect();
                (self.judged(result), models)
            })
            .collect();
        for (result, (whole, models)) in self.results.iter_mut().zip(judged) {
            let fine = result.failed.is_none();
            result.judgement = fine.then_some(whole.judgement);
            result.findings = whole.findings;
            for (model, (judged, metrics)) in result.models.iter_mut().zip(models) {
                model.judged = Some(judged);
                model.metrics = Some(metrics);
            }
        }
        self
    }
}
