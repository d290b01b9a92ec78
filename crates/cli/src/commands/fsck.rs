//! `fsck`: checks the whole registry.

use bytesize::ByteSize;
use clap::Args;
use disinherit::progress::Progress;
use disinherit::registry::Health;

use crate::context::{Context, open};
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Check everything: objects, tensors, cards, the graph, the log. Exits with 1 if something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit fsck
  disinherit fsck --repair --from s3://bucket/mirror")]
pub(crate) struct FsckArgs {
    /// Repair what can be repaired: fetch objects from another registry, take out unreadable cards.
    #[arg(long)]
    repair: bool,
    /// A registry that may have what is damaged here.
    #[arg(long, value_name = "PLACE", requires = "repair")]
    from: Option<String>,
}

pub(super) fn run(context: &Context, args: &FsckArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let other = args.from.as_deref().map(open).transpose()?;
    let mut stage = None;
    let health = registry.check(args.repair, other.as_ref(), &mut |_, total| {
        stage
            .get_or_insert_with(|| context.bars.stage("checking objects", total))
            .advance(1);
    })?;
    drop(stage);
    if context.json {
        output::json(&health)?;
    } else {
        print(&health);
    }
    Ok(Outcome::from_sound(health.is_sound()))
}

fn print(health: &Health) {
    outln!(
        "checked {} models, {} FIM cards, {} operations, {} objects ({})",
        health.models,
        health.cards,
        health.operations,
        health.objects,
        ByteSize::b(health.bytes)
    );
    for damage in &health.damages {
        let concerns = if damage.models.is_empty() {
            String::new()
        } else {
            format!(" (concerns {})", output::joined(&damage.models))
        };
        match &damage.repaired {
            None => outln!("DAMAGED: {}{concerns}", damage.what),
            Some(how) => outln!("repaired: {}{concerns}: {how}", damage.what),
        }
    }
    if health.garbage > 0 {
        outln!(
            "{} objects belong to nothing; `disinherit gc` removes them",
            health.garbage
        );
    }
    if health.damages.is_empty() {
        outln!("everything is what it was");
    }
}
