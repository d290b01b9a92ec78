//! A request answered in a process of its own, so that its memory can be told.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use disinherit::{EditDepth, Engine, Fiun, FiunOptions, RunOptions};
use disinherit_nets::Compute;
use disinherit_registry::Registry;
use umig::{Forget, ModelId, Request};

/// The argument that starts a measured process.
pub(crate) const CHILD: &str = "--forget-apart";

/// What a request took.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) mebibytes: f64,
}

/// Forgets a class in the registry in a folder, from cards alone. `depth` is `outputs` or `features`.
pub(crate) fn forget_apart(
    folder: &Path,
    class: &str,
    depth: &str,
    from: &[ModelId],
) -> Result<Measured, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(folder)
        .args([class, depth])
        .args(from.iter().map(ToString::to_string))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(mebibytes))) => Ok(Measured { seconds, mebibytes }),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// Opens the registry, forgets, prints seconds and MiB.
pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(2);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("no {what}"));
    let (folder, class, depth) = (next("folder")?, next("class")?, next("depth")?);
    let from = arguments
        .map(|id| id.parse::<ModelId>())
        .collect::<Result<Vec<_>, _>>()?;
    let registry = Registry::open(Path::new(&folder))?;
    let start = std::time::Instant::now();
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
    let done = prepared.run()?.unlearned;
    let seconds = start.elapsed().as_secs_f64();
    for model in &done.models {
        let reached = model
            .inner
            .as_ref()
            .is_some_and(|inner| inner.layer.is_some());
        if model.selection().changed == 0 || reached != deep {
            return Err(format!("{}: {:?}", model.before, model.inner).into());
        }
    }
    println!("{seconds} {}", peak_mebibytes().unwrap_or(f64::NAN));
    Ok(())
}

/// The largest resident size so far, as Linux tells it.
fn peak_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
