//! `serve --executor ray`: the Python process that takes the jobs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};

use clap::Args;
use disinherit::nets::Compute;
use disinherit::registry::Registry;
use disinherit_server::WorkerProgram;
use serde_json::{Map, Value};

use crate::args::data::DataArgs;
use crate::args::verdict::VerdictArgs;
use crate::error::CliError;

/// The module of the Python package that takes jobs.
const WORKER: [&str; 3] = ["-m", "disinherit.ray", "worker"];

/// The flags of `--executor ray`.
#[derive(Debug, Args)]
pub(super) struct RayArgs {
    /// With `--executor ray`: the Python that has the package `disinherit[ray]`.
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    python: PathBuf,
    /// With `--executor ray`: the cluster, HOST:PORT or `auto`; else RAY_ADDRESS, or a new one on this machine.
    #[arg(long, value_name = "ADDRESS")]
    ray_address: Option<String>,
    /// With `--executor ray`: tasks at a time; as many as the cluster has room for when not given.
    #[arg(long, value_name = "N")]
    ray_workers: Option<u32>,
    /// With `--executor ray`: what each task asks for, as `ray.remote` takes it, in JSON: {"num_gpus": 1}.
    #[arg(long, value_name = "JSON", value_parser = object)]
    ray_remote_args: Option<Map<String, Value>>,
}

/// An object in JSON.
fn object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("an object in JSON is expected: {error}"))
}

impl RayArgs {
    /// Refuses what is of no use without a cluster.
    pub(super) fn check_absent(&self) -> Result<(), CliError> {
        let given = [
            ("--ray-address", self.ray_address.is_some()),
            ("--ray-workers", self.ray_workers.is_some()),
            ("--ray-remote-args", self.ray_remote_args.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((flag, _)) => Err(CliError::usage(format!(
                "`{flag}` is of a Ray cluster, and this server does its jobs without one"
            ))
            .help("add `--executor ray`, or leave it out")),
        }
    }

    /// Refuses what cannot be right, and a Python that could do no job.
    pub(super) fn check(&self, demo: bool, compute: Compute) -> Result<(), CliError> {
        if demo {
            return Err(CliError::usage(
                "`--demo` serves a registry that is gone with it, which no cluster reaches",
            )
            .help("leave out `--executor ray`, or serve a registry of your own"));
        }
        if compute != Compute::default() {
            return Err(
                CliError::usage("`--device` is of networks that this program runs")
                    .help("with `--executor ray`, tasks ask for GPUs: `--ray-remote-args '{\"num_gpus\": 1}'`"),
            );
        }
        let version = env!("CARGO_PKG_VERSION");
        let python = self.python.display();
        let install = format!(
            "install it there: `{python} -m pip install 'disinherit[ray]=={version}'`, or name another Python with `--python`"
        );
        let said = self.versions()?;
        if !said.status.success() {
            let words = String::from_utf8_lossy(&said.stderr);
            let why = words.trim().lines().last().unwrap_or("it says nothing");
            return Err(
                CliError::new(format!("`{python}` cannot do jobs on Ray: {why}")).help(install),
            );
        }
        let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        match said["disinherit"].as_str() {
            Some(own) if own == version => Ok(()),
            own => Err(CliError::new(format!(
                "`{python}` has disinherit {}, and this is {version}",
                own.unwrap_or("of an unknown version")
            ))
            .help(install)),
        }
    }

    fn versions(&self) -> Result<Output, CliError> {
        let mut command = Command::new(&self.python);
        let said = command.args(WORKER).args(["--check", "--json"]).output();
        said.map_err(|error| {
            let python = self.python.display();
            CliError::new(format!(
                "cannot start `{python}`, which does jobs on Ray: {error}"
            ))
            .help("name a Python that has `disinherit[ray]` with `--python`")
        })
    }

    /// What the server starts.
    pub(super) fn program(
        &self,
        registry: &Registry,
        (data, verdict): (&DataArgs, &VerdictArgs),
        patience: u64,
    ) -> Result<WorkerProgram, CliError> {
        let mut arguments = Arguments(WORKER.map(OsString::from).into());
        arguments.flag("--json").flag("--lifeline");
        let patience = patience as f64 / 1000.0;
        arguments.with("--patience", Some(patience));
        // As much as this program itself logs.
        let level = match tracing::enabled!(tracing::Level::INFO) {
            true => "info",
            false => "warning",
        };
        arguments.with("--log", Some(level));
        arguments.with("--data", data.data.as_ref());
        let size = data.size.map(|(height, width)| format!("{height}x{width}"));
        arguments.with("--size", size);
        let tokenizer = data.tokenizer.as_ref();
        arguments.with("--tokenizer", tokenizer.map(|path| path.display()));
        arguments.with("--at-most", Some(verdict.at_most));
        if verdict.deep {
            arguments.flag("--deep");
        }
        arguments.with("--require", verdict.required());
        arguments.with("--address", self.ray_address.as_ref());
        arguments.with("--workers", self.ray_workers);
        let asked = self.ray_remote_args.clone();
        arguments.with("--remote-args", asked.map(Value::Object));
        Ok(WorkerProgram {
            program: self.python.clone(),
            arguments: arguments.0,
            // Not an argument: those can be read by everybody on the machine.
            environment: vec![("DISINHERIT_REGISTRY".into(), place(registry)?)],
            has_data: data.data.is_some(),
        })
    }
}

/// Where a process finds the registry that this one has found.
fn place(registry: &Registry) -> Result<OsString, CliError> {
    match registry.path() {
        None => Ok(registry.address().into()),
        Some(path) => Ok(path
            .canonicalize()
            .map_err(CliError::file("find", path))?
            .into()),
    }
}

/// Arguments of a program.
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, name: &str) -> &mut Self {
        self.0.push(name.into());
        self
    }

    /// A flag with its value, where it has one; together, so that no value is taken for a flag.
    fn with(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(format!("{name}={}", value.to_string()).into());
        }
    }
}
