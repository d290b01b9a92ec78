//! The penultimate layer of a model is looked for where its network runs.

use super::described::Described;
use super::drawn::statistics;
use super::elsewhere::Elsewhere;
use super::graph::OfGraph;
use super::here::Here;
use super::layer::Layer;
use crate::format;
use crate::model::LoadedModel;
use crate::refusal::Refusal;
use crate::runner::runner_of;
use crate::work::Work;

/// The penultimate layer of a model.
pub(super) fn open<'a>(
    work: &'a Work<'a>,
    model: &'a LoadedModel,
) -> Result<Box<dyn Layer + 'a>, Refusal> {
    let runner = match work.engine.data() {
        Some(splits) => runner_of(work.features.runner(), &splits.train)?,
        None => None,
    };
    if let Some(runner) = runner {
        return Ok(Box::new(Elsewhere::find(runner, work, model)?));
    }
    if !model.is_head_only() {
        return Ok(Box::new(Here::cut(work, model)?));
    }
    if format::is_graph(model)? {
        return Ok(Box::new(OfGraph::find(work, model)?));
    }
    if let Some(statistics) = statistics(work, model)?
        && let Some(described) = &statistics.elsewhere
    {
        let layer = Described::new(work, model, &statistics.layer, described)?;
        return Ok(Box::new(layer));
    }
    Err("what lies below its head is not run here".into())
}
