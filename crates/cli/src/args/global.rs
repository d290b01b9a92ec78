//! Flags of all commands.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use disinherit::nets::Compute;

#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// The registry: a folder, file:///... or s3://bucket/path; found upwards from here when not
    /// given, as git finds its own.
    #[arg(long, global = true, value_name = "PLACE", env = "DISINHERIT_REGISTRY")]
    pub(crate) registry: Option<String>,

    /// Who does this, for the operation log; user@host when not given.
    #[arg(long, global = true, value_name = "NAME", env = "DISINHERIT_ACTOR")]
    pub(crate) actor: Option<String>,

    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Show no progress bars.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Where networks run: cpu, and, if built in, flex (burn's CPU engine), libtorch, libtorch-cuda, cuda or wgpu.
    #[arg(long, global = true, default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: Compute,

    /// Compute the features of ONNX graphs by ONNX Runtime, loaded from this library (libonnxruntime).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DISINHERIT_ONNX_RUNTIME"
    )]
    pub(crate) onnx_runtime: Option<PathBuf>,

    /// The bound of the registry's cache of features, such as 500MiB; 0 for none.
    #[arg(long, global = true, default_value = "2GiB", value_name = "SIZE")]
    pub(crate) feature_cache: ByteSize,

    /// Log to standard error what happens: a level (error, warn, info, debug, trace), or levels by
    /// target such as `disinherit=debug,warn`. RUST_LOG does the same.
    #[arg(long, global = true, value_name = "FILTER", env = "DISINHERIT_LOG")]
    pub(crate) log: Option<String>,
}
