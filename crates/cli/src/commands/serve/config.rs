//! The configuration of `serve`: flags, before the environment, before a file, before what is usual.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use toml::de::DeTable;
use toml::{Table, Value};

use crate::error::CliError;
use crate::files;

/// The command that is configured.
const NAME: &str = "serve";

/// Flags that are no settings of a server.
const NO_SETTINGS: [&str; 7] = [
    "config",
    "print-config",
    "demo",
    "json",
    "quiet",
    "help",
    "version",
];

/// What every variable of the environment begins with.
const PREFIX: &str = "DISINHERIT_SERVE_";

/// Reads the command line, and what `serve` finds in its environment and its file.
///
/// # Errors
/// Where the file cannot be read or has what no flag takes. A command line that is wrong ends the process, as
/// clap does it.
pub(crate) fn matches(top: Command) -> Result<ArgMatches, CliError> {
    let top = top.mut_subcommand(NAME, with_environment);
    let matches = top.clone().get_matches();
    let file = matches
        .subcommand_matches(NAME)
        .and_then(|serve| serve.get_one::<PathBuf>("config"));
    match file {
        Some(file) => ConfigFile::read(file, &top)?.below(top),
        None => Ok(matches),
    }
}

fn with_environment(serve: Command) -> Command {
    serve.mut_args(|arg| match arg.get_long() {
        Some(long) if long == "config" || !NO_SETTINGS.contains(&long) => {
            let name = format!("{PREFIX}{}", long.to_uppercase().replace('-', "_"));
            arg.env(name).hide_env(true)
        }
        _ => arg,
    })
}

/// The settings among the flags of commands.
fn settings(commands: [&Command; 2]) -> Vec<Arg> {
    let all = commands.into_iter().flat_map(Command::get_arguments);
    let is_setting = |arg: &&Arg| {
        arg.get_long()
            .is_some_and(|long| !NO_SETTINGS.contains(&long))
    };
    all.filter(is_setting).cloned().collect()
}

/// A value of the file, as flags take it.
struct Entry {
    key: String,
    values: Vec<String>,
    line: usize,
}

/// A file that was read.
struct ConfigFile {
    path: PathBuf,
    entries: Vec<Entry>,
}

impl ConfigFile {
    fn read(path: &Path, top: &Command) -> Result<Self, CliError> {
        let text = files::read_text(path)?;
        let wrong = |error: toml::de::Error| {
            CliError::usage(format!("cannot read {}: {error}", path.display()))
        };
        let table: Table = toml::from_str(&text).map_err(wrong)?;
        let spanned = DeTable::parse(&text).map_err(wrong)?;
        let line = |key: &str| {
            let found = spanned
                .get_ref()
                .iter()
                .find(|(name, _)| name.get_ref() == key);
            let start = found.map_or(0, |(name, _)| name.span().start);
            text.bytes()
                .take(start)
                .filter(|byte| *byte == b'\n')
                .count()
                + 1
        };
        let serve = top.find_subcommand(NAME).unwrap_or(top);
        let known: Vec<String> = settings([serve, top])
            .iter()
            .filter_map(|arg| arg.get_long().map(str::to_owned))
            .collect();
        let mut entries = Vec::new();
        for (key, value) in &table {
            let (line, at) = (line(key), path.display());
            if !known.contains(key) {
                let error =
                    CliError::usage(format!("{at}, line {line}: there is no setting `{key}`"));
                return Err(error.help(nearest(key, &known)));
            }
            let values = as_text(value).ok_or_else(|| {
                CliError::usage(format!(
                    "{at}, line {line}: `{key}` cannot be {}",
                    value.type_str()
                ))
            })?;
            let key = key.clone();
            entries.push(Entry { key, values, line });
        }
        let path = path.to_owned();
        Ok(Self { path, entries })
    }

    /// Reads the command line again, with the file's values where neither a flag nor the environment has one.
    fn below(&self, top: Command) -> Result<ArgMatches, CliError> {
        let usual = |arg: Arg| {
            let entry = arg
                .get_long()
                .and_then(|long| self.entries.iter().find(|entry| entry.key == long));
            match entry {
                Some(entry) => arg.default_values(entry.values.clone()),
                None => arg,
            }
        };
        let layered = top
            .mut_args(usual)
            .mut_subcommand(NAME, |serve| serve.mut_args(usual));
        layered
            .try_get_matches()
            .map_err(|error| self.explained(&error))
    }

    /// What the file has that a flag does not take. The command line itself was read before.
    fn explained(&self, error: &clap::Error) -> CliError {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            _ => String::new(),
        };
        let (flag, value) = (
            text(ContextKind::InvalidArg),
            text(ContextKind::InvalidValue),
        );
        let key = flag
            .trim_start_matches("--")
            .split([' ', '['])
            .next()
            .unwrap_or_default();
        let at = self.path.display();
        let Some(entry) = self.entries.iter().find(|entry| entry.key == key) else {
            return CliError::usage(format!("{at}: {error}"));
        };
        let line = entry.line;
        let why = match (
            std::error::Error::source(error),
            error.get(ContextKind::ValidValue),
        ) {
            (Some(source), _) => source.to_string(),
            (None, Some(ContextValue::Strings(valid))) => {
                format!("it is one of {}", valid.join(", "))
            }
            _ => "it cannot be read".to_owned(),
        };
        CliError::usage(format!(
            "{at}, line {line}: `{key}` cannot be `{value}`: {why}"
        ))
    }
}

fn nearest(key: &str, known: &[String]) -> String {
    let plain = key.replace('_', "-");
    let close = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&plain, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3));
    match close {
        Some((_, name)) => format!("is `{name}` meant?"),
        None => "settings are called as the flags of `disinherit serve --help`".to_owned(),
    }
}

/// A value as flags take it; a table as pairs.
fn as_text(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(said) => Some(said.to_string()),
        _ => None,
    };
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        Value::Table(pairs) => pairs
            .iter()
            .map(|(name, value)| Some(format!("{name}={}", one(value)?)))
            .collect(),
        value => one(value).map(|text| vec![text]),
    }
}

/// What the flags of the command were given, by the environment and the file too.
#[derive(Debug, Clone)]
pub(super) struct Effective(BTreeMap<String, Vec<String>>);

impl Effective {
    fn from_matches(matches: &ArgMatches) -> Self {
        let values = matches.ids().filter_map(|id| {
            let raw = matches.try_get_raw(id.as_str()).ok().flatten()?;
            let values = raw.map(|text| text.to_string_lossy().into_owned());
            Some((id.to_string(), values.collect()))
        });
        Self(values.collect())
    }

    /// All settings of commands with their values, as a file that `--config` reads.
    pub(super) fn text(&self, commands: [&Command; 2]) -> String {
        let lines = settings(commands).into_iter().map(|arg| {
            let long = arg.get_long().unwrap_or_default();
            let Some(values) = self.0.get(arg.get_id().as_str()) else {
                return format!("# {long} is not set\n");
            };
            let values: Vec<Value> = values.iter().map(|text| as_value(text)).collect();
            let value = match (arg.get_value_delimiter(), values.as_slice()) {
                (None, [value]) => value.clone(),
                _ => Value::Array(values),
            };
            format!("{long} = {value}\n")
        });
        lines.collect()
    }
}

/// A number or a switch as such, everything else as text.
fn as_value(text: &str) -> Value {
    if let Ok(said) = text.parse() {
        return Value::Boolean(said);
    }
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Integer(number),
        _ => Value::String(text.to_owned()),
    }
}

impl FromArgMatches for Effective {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::from_matches(matches))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_matches(matches);
        Ok(())
    }
}

/// It has no flags of its own: it looks at those of the command.
impl Args for Effective {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
