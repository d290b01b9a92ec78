//! A request answered in a process of its own, so that its memory can be told.

use std::error::Error;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use disinherit::{EditDepth, Engine, Fiun, FiunOptions, RunOptions};
use disinherit_nets::Compute;
use disinherit_registry::{Location, Registry};
use umig::{Forget, ModelId, Request};

use crate::line::{memory, processor_time};

/// The argument that starts a measured process.
pub(crate) const CHILD: &str = "--forget-apart";

/// Instead of a shard: all of it, and the publication.
pub(crate) const WHOLE: &str = "whole";

/// What a request took.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) mebibytes: f64,
    /// Seconds of processor time, of all threads: on a shared machine they vary less than the clock.
    pub(crate) processor: f64,
}

/// Forgets a class in the registry in a folder, from cards alone. `depth` is `outputs` or `features`.
pub(crate) fn forget_apart(
    folder: &Path,
    class: &str,
    depth: &str,
    from: &[ModelId],
) -> Result<Measured, Box<dyn Error>> {
    measured(command(folder, class, depth, WHOLE, from)?.output()?)
}

/// The process that forgets, or that does one shard of it, to be started.
pub(crate) fn command(
    place: impl AsRef<OsStr>,
    class: &str,
    depth: &str,
    shard: &str,
    from: &[ModelId],
) -> Result<Command, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(place).args([class, depth, shard]);
    command.args(from.iter().map(ToString::to_string));
    Ok(command)
}

/// What a process says that it took.
pub(crate) fn measured(output: Output) -> Result<Measured, Box<dyn Error>> {
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(mebibytes)), Some(Ok(processor))) => Ok(Measured {
            seconds,
            mebibytes,
            processor,
        }),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// Opens the registry, forgets, prints seconds, MiB and seconds of processor time.
pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(2);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("no {what}"));
    let (place, class, depth) = (next("place")?, next("class")?, next("depth")?);
    let shard = next("shard")?;
    let from = arguments
        .map(|id| id.parse::<ModelId>())
        .collect::<Result<Vec<_>, _>>()?;
    // How shared storage is reached is in the environment.
    let place = Location::parse(&place)?.with_settings(std::env::vars());
    let registry = Registry::open_at(&place)?;
    let start = Instant::now();
    let request = Request::new(Forget::classes([class])).from_models(from);
    let engine = Engine::new(registry)
        .with_compute(Compute::Cpu)
        .with_feature_cache(0);
    let deep = depth == "features";
    let method = Fiun::new(FiunOptions {
        depth: if deep {
            EditDepth::Features
        } else {
            EditDepth::Outputs
        },
        ..FiunOptions::default()
    });
    let prepared = engine.prepare(&request, &method, RunOptions::default())?;
    if shard != WHOLE {
        prepared.run_shard(shard.parse()?)?;
        tell(start);
        return Ok(());
    }
    let done = prepared.run()?.unlearned;
    tell(start);
    for model in &done.models {
        let reached = model
            .inner
            .as_ref()
            .is_some_and(|inner| inner.layer.is_some());
        if model.selection().changed == 0 || reached != deep {
            return Err(format!("{}: {:?}", model.before, model.inner).into());
        }
    }
    Ok(())
}

/// Prints what the work took.
fn tell(start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{seconds} {} {}", memory("VmHWM"), processor_time());
}
