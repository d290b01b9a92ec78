//! What every command needs to know.

use std::path::Path;
use std::sync::Arc;

use disinherit::Engine;
use disinherit::data::Splits;
use disinherit::nets::{Compute, OnnxRuntime};
use disinherit::registry::{Location, Registry};

use crate::args::global::GlobalArgs;
use crate::error::CliError;
use crate::progress::Bars;

/// The flags that all commands share, and what is made from them.
pub(crate) struct Context {
    /// The registry as it was named, if it was.
    place: Option<String>,
    actor: String,
    /// Whether to print JSON.
    pub(crate) json: bool,
    /// Where networks run.
    pub(crate) compute: Compute,
    /// What computes the features of ONNX graphs, where it is not the program itself.
    pub(crate) onnx_runtime: Option<OnnxRuntime>,
    /// The bound of the cache of features, in bytes.
    feature_cache: u64,
    /// Progress bars.
    pub(crate) bars: Bars,
}

impl Context {
    pub(crate) fn new(global: GlobalArgs, bars: Bars) -> Result<Self, CliError> {
        let onnx_runtime = global.onnx_runtime.as_deref().map(OnnxRuntime::load);
        let onnx_runtime = onnx_runtime.transpose().map_err(|error| {
            CliError::new(error.to_string()).help(
                "give libonnxruntime of a release, or of the Python package `onnxruntime`, in its folder `capi`",
            )
        })?;
        Ok(Self {
            place: global.registry,
            actor: global.actor.unwrap_or_else(user_and_host),
            json: global.json,
            compute: global.device,
            onnx_runtime,
            feature_cache: global.feature_cache.as_u64(),
            bars,
        })
    }

    /// Who does this.
    #[cfg(feature = "server")]
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// The place that `--registry` names.
    pub(crate) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }

    /// The registry: the one named, or the nearest one upwards.
    pub(crate) fn registry(&self) -> Result<Registry, CliError> {
        let registry = match &self.place {
            Some(place) => open(place)?,
            None => Registry::discover(Path::new("."))?,
        };
        tracing::info!(
            place = registry.address(),
            actor = self.actor,
            "registry opened"
        );
        Ok(registry.used_by(&self.actor))
    }

    /// The registry named, if one is.
    pub(crate) fn named_registry(&self) -> Result<Option<Registry>, CliError> {
        self.place.as_deref().map(open).transpose()
    }

    /// The registry named, made if it is not there.
    pub(crate) fn registry_or_new(&self) -> Result<Registry, CliError> {
        match self.registry() {
            Err(error) => match self.place.as_deref().map(location).transpose()? {
                Some(place @ Location::Folder(_)) if !has_registry(&place) => {
                    Ok(Registry::create_with(&place, None)?.used_by(&self.actor))
                }
                _ => Err(error),
            },
            found => found,
        }
    }

    /// The engine over a registry, with data where there is some.
    pub(crate) fn engine<'a>(
        &'a self,
        registry: impl Into<Arc<Registry>>,
        data: Option<&'a Splits>,
    ) -> Engine<'a> {
        Engine::new(registry)
            .with_data(data)
            .with_compute(self.compute)
            .with_onnx_runtime(self.onnx_runtime)
            .with_progress(&self.bars)
            .with_feature_cache(self.feature_cache)
    }
}

fn has_registry(place: &Location) -> bool {
    let Location::Folder(folder) = place else {
        return true;
    };
    folder.join("registry.json").exists() || folder.join(".disinherit/registry.json").exists()
}

/// A registry's place, with the storage's settings from the environment.
pub(crate) fn location(place: &str) -> Result<Location, CliError> {
    Ok(Location::parse(place)?.with_settings(std::env::vars()))
}

/// Opens the registry at a place.
pub(crate) fn open(place: &str) -> Result<Registry, CliError> {
    Ok(Registry::open_at(&location(place)?)?)
}

/// The account and the machine, for the operation log.
fn user_and_host() -> String {
    let account = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "unknown".into());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    match machine.trim() {
        "" => account,
        machine => format!("{account}@{machine}"),
    }
}
