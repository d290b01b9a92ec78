//! `request plan`: puts on record what a run will do.

use clap::Args;
use disinherit::registry::{ErasureId, LossBound};
use disinherit_desk::{Desk, Terms};
use disinherit_lab::MethodKind;
use serde_json::json;

use super::print;
use crate::args::values::share;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Put on record what a run will do: whom it touches and why, as they are now, and by which method.
#[derive(Debug, Args)]
#[command(after_help = "\
A run touches exactly these models, or is refused. To plan again takes a new approval.

Examples:
  disinherit request plan 3
  disinherit request plan 3 --method matching --target-loss 0.02")]
pub(crate) struct PlanRequestArgs {
    /// The request's number.
    request: ErasureId,
    /// The method (`disinherit methods` explains each); when not given, `fiun` for classes and `matching`
    /// for samples and sources.
    #[arg(long, value_name = "NAME")]
    method: Option<MethodKind>,
    /// What a model may lose in accuracy on the retained data, 0 to 1 (0.01 is a point).
    #[arg(long, default_value_t = 0.01, value_name = "X", value_parser = share)]
    target_loss: f64,
    /// Publish models all the same that lose more than that, up to this, 0 to 1.
    #[arg(long, value_name = "X", value_parser = share)]
    accept_loss: Option<f64>,
}

pub(super) fn run(context: &Context, args: &PlanRequestArgs) -> Result<Outcome, CliError> {
    let engine = context.engine(context.registry()?, None);
    let desk = Desk::new(&engine);
    let terms = Terms {
        method: args.method,
        loss: LossBound {
            target: args.target_loss,
            accepted: args.accept_loss,
        },
    };
    let planned = desk.plan(args.request, &terms)?;
    let plan = planned.plan.as_ref();
    let scope = plan.map(|plan| desk.scope(plan)).transpose()?;
    if context.json {
        output::json(&json!({"request": planned, "scope": scope}))?;
        return Ok(Outcome::Done);
    }
    outln!("request {}: forget {}", planned.id, planned.asked);
    if let Some(scope) = &scope {
        print::scope(scope);
    }
    print::stepped(context, &planned)
}
