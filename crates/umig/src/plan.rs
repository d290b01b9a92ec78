//! Plans: a request as a list of tasks that can be executed, here or on other machines.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::ModelId;
use crate::request::{Request, Scope};

/// What the Fisher information of the forget data is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// The initial model's own FIM card: no data and no forward pass.
    Card,
    /// The forget data, run through the initial model.
    ForgetData,
}

/// One unit of work of a plan. A task is data: any process that can open the registry and the data
/// can execute it, and executing it twice makes the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "task")]
pub enum Task {
    /// Compute a model's own FIM card from its training data.
    Card {
        /// The model.
        model: ModelId,
    },
    /// Obtain the Fisher information of the forget data on an initial model.
    ForgetFisher {
        /// The initial model.
        model: ModelId,
        /// What it is computed from.
        reads: Reads,
    },
    /// Compute the change of an initial model's weights that its descendants copy.
    Difference {
        /// The initial model.
        model: ModelId,
    },
    /// Take a model out of use that was trained on nothing but the forget data: nothing replaces it.
    Retire {
        /// The model.
        model: ModelId,
    },
    /// Edit a model. For FIUn: merge the Fisher information of `initial`, select, dampen.
    Edit {
        /// The model to edit.
        model: ModelId,
        /// The initial models that reach it.
        initial: BTreeSet<ModelId>,
        /// The version whose FIM card is used in place of one of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback_card: Option<ModelId>,
        /// Whether it goes below the head, for which it reads the model's own training data, or what its
        /// FIM card keeps of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        features: bool,
        /// Whether its FIM card has activation statistics, from which it goes below the head where no data
        /// is given.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        activations: bool,
        /// How many training steps over the network's last stage may follow at most, where the training data is at
        /// hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_stage_steps: Option<usize>,
    },
}

impl Task {
    /// The model that the task works on.
    pub fn model(&self) -> &ModelId {
        match self {
            Self::Card { model }
            | Self::ForgetFisher { model, .. }
            | Self::Difference { model }
            | Self::Retire { model }
            | Self::Edit { model, .. } => model,
        }
    }
}

/// Tasks with no order among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The stage's purpose, in words.
    pub purpose: String,
    /// Its tasks; each may run beside any other.
    pub tasks: Vec<Task>,
}

impl Stage {
    /// The stage in which the Fisher information of the forget data is obtained.
    pub fn forget_fisher(scope: &Scope, reads: Reads) -> Self {
        let task = |model: &ModelId| Task::ForgetFisher {
            model: model.clone(),
            reads,
        };
        Self {
            purpose: "Fisher information of the forget data on the initial models".into(),
            tasks: scope.initial.iter().map(task).collect(),
        }
    }

    /// The stage in which every touched model is edited.
    pub fn edits(scope: &Scope) -> Self {
        let task = |(model, initial): (&ModelId, &BTreeSet<ModelId>)| Task::Edit {
            model: model.clone(),
            initial: initial.clone(),
            fallback_card: None,
            features: false,
            activations: false,
            last_stage_steps: None,
        };
        Self {
            purpose: "merge, select and dampen in every touched model".into(),
            tasks: scope.reached_by.iter().map(task).collect(),
        }
    }
}

/// The answer to a request: whom it touches, and the work, stage after stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The request.
    pub request: Request,
    /// Whom it touches.
    pub scope: Scope,
    /// Stages, to be run one after the other. For FIUn their number does not depend on the graph's
    /// depth: that is the point of the method (arXiv:2408.08493, Section 4).
    pub stages: Vec<Stage>,
}

impl Plan {
    /// The plan of FIUn where every model has its FIM card: two stages.
    pub fn new(request: Request, scope: Scope) -> Self {
        let stages = vec![
            Stage::forget_fisher(&scope, Reads::Card),
            Stage::edits(&scope),
        ];
        Self {
            request,
            scope,
            stages,
        }
    }

    /// The models that are taken out of use without a successor.
    pub fn retired(&self) -> impl Iterator<Item = &ModelId> {
        self.tasks().filter_map(|task| match task {
            Task::Retire { model } => Some(model),
            _ => None,
        })
    }

    /// All tasks, in the order of their stages.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.stages.iter().flat_map(|stage| &stage.tasks)
    }
}
