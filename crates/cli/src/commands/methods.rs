//! `methods`: FIUn and its baselines by name.

use clap::Args;
use disinherit::Method;
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// List the methods that `unlearn --method` and `reproduce` know, with what each does and its source.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit methods")]
pub(crate) struct MethodsArgs {}

pub(super) fn run(context: &Context, _: &MethodsArgs) -> Result<Outcome, CliError> {
    if context.json {
        let list: Vec<_> = Method::all()
            .map(|method| {
                json!({"name": method, "purpose": method.purpose(), "source": method.source()})
            })
            .collect();
        output::json(&json!({"methods": list}))?;
        return Ok(Outcome::Done);
    }
    for method in Method::all() {
        outln!(
            "{method}\n    {}\n    {}",
            method.purpose(),
            method.source()
        );
    }
    Ok(Outcome::Done)
}
