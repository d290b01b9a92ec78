//! Planning: what a run will do, put on record before anybody approves it.

use disinherit::registry::{
    ErasureId, ErasurePlan, ErasureRequest, ErasureStep, LossBound, MethodName, StepKind,
};
use disinherit::umig::Request;
use disinherit::{FiunOptions, Method, RunOptions};
use disinherit_lab::{MethodKind, Setup};

use crate::desk::{Desk, document};
use crate::error::DeskError;
use crate::scope::ErasureScope;

/// How a request is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms {
    /// The method; when not given, `fiun` for classes, and `matching` for samples and sources.
    pub method: Option<MethodKind>,
    /// What every model may lose in accuracy on the retained data.
    pub loss: LossBound,
}

impl Terms {
    fn method_for(&self, request: &Request) -> MethodKind {
        self.method.unwrap_or_else(|| {
            MethodKind::for_request(&request.forget, true, &FiunOptions::default())
        })
    }
}

/// A method as requests are carried out by it: with its own defaults, within the bound.
pub(crate) fn set_up(method: MethodKind, loss: LossBound) -> Box<dyn Method> {
    method.with(&Setup {
        fiun: FiunOptions {
            target_loss: loss.target,
            ..FiunOptions::default()
        },
        ..Setup::for_method(method)
    })
}

impl Desk<'_> {
    /// Which models a request would touch and why, and what it cannot reach. Nothing is filed or written
    /// but its list of samples.
    ///
    /// # Errors
    /// [`DeskError`] when no model was trained on it, or labels are named that no model has.
    pub fn preview(&self, request: &Request, terms: &Terms) -> Result<ErasureScope, DeskError> {
        let method = set_up(terms.method_for(request), terms.loss);
        let options = RunOptions {
            plan_only: true,
            loss: terms.loss,
            ..RunOptions::default()
        };
        let prepared = self.engine.prepare(request, method.as_ref(), options)?;
        let asked = self.registry().asked(&request.forget)?;
        ErasureScope::for_plan(self.registry(), &prepared, asked, method.name())
    }

    /// Puts on record what a run will do: whom it touches, as they are now, and by which method. An approval
    /// from before no longer counts.
    ///
    /// # Errors
    /// [`DeskError`] when the request is not at that point, or no model was trained on what it asks for.
    pub fn plan(&self, id: ErasureId, terms: &Terms) -> Result<ErasureRequest, DeskError> {
        let erasure = self.registry().erasure(id)?;
        erasure.check(StepKind::Plan)?;
        let scope = self.preview(&self.request_of(&erasure)?, terms)?;
        let [initial, inherited, retired] = scope.counts();
        let text = serde_json::to_vec(&scope).map_err(document("scope of a request"))?;
        let plan = ErasurePlan {
            scope: self.registry().put_document(text)?,
            initial,
            inherited,
            retired,
            method: scope.method,
            loss_bound: terms.loss,
        };
        let seen = Some(erasure.last.operation);
        let step = ErasureStep::Plan(plan);
        Ok(self.registry().step_erasure(id, step, seen)?)
    }

    /// The scope that a plan put on record.
    ///
    /// # Errors
    /// [`DeskError`] when it cannot be read.
    pub fn scope(&self, plan: &ErasurePlan) -> Result<ErasureScope, DeskError> {
        let text = self.registry().document(plan.scope)?;
        serde_json::from_slice(&text).map_err(document("scope of a request"))
    }

    /// The method of a plan.
    pub(crate) fn method_of(
        &self,
        request: ErasureId,
        name: &MethodName,
    ) -> Result<MethodKind, DeskError> {
        name.as_str()
            .parse()
            .map_err(|reason: String| DeskError::Method {
                request,
                method: name.to_string(),
                reason,
            })
    }
}
