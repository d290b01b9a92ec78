//! What models were trained on.

use std::path::PathBuf;

use clap::Args;
use disinherit::import::TrainedOn;
use disinherit::umig::{SampleSet, Training};

use super::network::names;
use crate::error::CliError;
use crate::files;

#[derive(Debug, Args)]
pub(crate) struct TrainedArgs {
    /// The data set that it was trained on itself; once for each source of its data.
    #[arg(long, value_name = "NAME")]
    pub(crate) trained_on: Vec<String>,
    /// The labels that occurred in that training; all labels when not given.
    #[arg(long, value_name = "LIST", requires = "trained_on")]
    pub(crate) trained_labels: Option<String>,
    /// A file with the ids of the samples of that training, one a line; once for each
    /// `--trained-on`.
    #[arg(long, value_name = "FILE", requires = "trained_on")]
    pub(crate) trained_samples: Vec<PathBuf>,
    /// Who supplied that data; once for each `--trained-on`.
    #[arg(long, value_name = "NAME", requires = "trained_on")]
    pub(crate) source: Vec<String>,
}

impl TrainedArgs {
    /// The data sets as the engine takes them.
    pub(crate) fn trained_on(&self) -> Result<Vec<TrainedOn>, CliError> {
        let labels = self.trained_labels.as_deref().map(names).transpose()?;
        let count = self.trained_on.len();
        for (flag, given) in [
            ("--trained-samples", self.trained_samples.len()),
            ("--source", self.source.len()),
        ] {
            if given != 0 && given != count {
                return Err(CliError::usage(format!(
                    "{flag} is given {given} times, --trained-on {count} times"
                ))
                .help("give it once for each --trained-on, in the same order, or not at all"));
            }
        }
        let of = |(number, data): (usize, &String)| {
            let samples = match self.trained_samples.get(number) {
                Some(file) => SampleSet::Listed(files::read_lines(file)?.into_iter().collect()),
                None => SampleSet::Unknown,
            };
            Ok(TrainedOn {
                data: data.clone(),
                labels: labels.clone(),
                samples,
                source: self.source.get(number).cloned(),
            })
        };
        self.trained_on.iter().enumerate().map(of).collect()
    }

    /// The provenance of a model with these labels.
    pub(crate) fn training(&self, labels: &[String]) -> Result<Vec<Training>, CliError> {
        let sets = self.trained_on()?;
        let training = sets.iter().map(|set| set.training(labels));
        Ok(training.collect::<Result<_, _>>()?)
    }
}
