//! What is known of a model's network.

use std::path::Path;

use clap::Args;
use disinherit::data::{ImageShape, VOCABULARY};
use disinherit::import::NewNetwork;
use disinherit::nets::{Kind, Preprocessing};

use super::values::shape;
use crate::error::CliError;
use crate::files;

#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// The network: small-cnn, alexnet, alexnet-32, resnet-18, resnet-18-32, resnet-20, resnet-8,
    /// densenet-161, vgg-16 or vit-b-32 for images; lstm, gated-cnn, bert-tiny or bert-base for text;
    /// head for any other network: only its last linear layer is known. Read from `config.json` where
    /// there is one; head otherwise.
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<Kind>,
    /// The head of any other network: the name of its last linear layer; found when not given.
    #[arg(long, value_name = "LAYER")]
    pub(crate) head: Option<String>,
    /// Label names of the head's rows, in order: a,b,c or @FILE with one name a line. Read from
    /// `config.json` (`id2label`) where there is one.
    #[arg(long, value_name = "LIST")]
    pub(crate) labels: Option<String>,
    /// Different tokens that a network for text reads, token 0 (padding) included.
    #[arg(long, value_name = "N", default_value_t = VOCABULARY)]
    pub(crate) vocabulary: usize,
    /// Tokens of a text that such a network reads.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) length: usize,
    /// The shape of its images: channels x height x width.
    #[arg(long, value_name = "CxHxW", default_value = "3x32x32", value_parser = shape)]
    pub(crate) input: [usize; 3],
    /// The mean of each channel, after division by 255.
    #[arg(long, value_delimiter = ',', default_value = "0.5")]
    pub(crate) mean: Vec<f32>,
    /// The standard deviation of each channel, after division by 255.
    #[arg(long, value_delimiter = ',', default_value = "0.5")]
    pub(crate) std: Vec<f32>,
    /// The head has weights of its own, even though another tensor has the same values.
    #[arg(long)]
    pub(crate) untied: bool,
}

impl NetworkArgs {
    /// The network as the engine takes it.
    pub(crate) fn network(&self) -> Result<NewNetwork, CliError> {
        let [channels, height, width] = self.input;
        Ok(NewNetwork {
            kind: self.architecture,
            head: self.head.clone(),
            labels: self.labels.as_deref().map(names).transpose()?,
            images: Some(ImageShape {
                channels,
                height,
                width,
            }),
            vocabulary: self.vocabulary,
            length: self.length,
            untied: self.untied,
        })
    }

    /// How a network of this family reads its samples.
    pub(crate) fn preprocessing(&self, kind: Kind) -> Preprocessing {
        Preprocessing {
            mean: self.mean.clone(),
            std: self.std.clone(),
            // The other families have the length in their architecture.
            length: (kind == Kind::Head).then_some(self.length),
        }
    }
}

/// Names from `a,b,c` or from the lines of `@FILE`.
pub(super) fn names(text: &str) -> Result<Vec<String>, CliError> {
    let list: Vec<String> = match text.strip_prefix('@') {
        None => text.split(',').map(|name| name.trim().to_owned()).collect(),
        Some(file) => files::read_lines(Path::new(file))?,
    };
    match list.iter().find(|name| name.is_empty()) {
        Some(_) => Err(CliError::usage("a label name is empty")),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn label_names_come_from_a_list_or_a_file() {
        assert_eq!(names("cat, dog").unwrap(), ["cat", "dog"]);
        assert!(names("cat,,dog").is_err());
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("labels.txt");
        std::fs::write(&file, "cat\n\n dog \n").unwrap();
        assert_eq!(
            names(&format!("@{}", file.display())).unwrap(),
            ["cat", "dog"]
        );
        assert!(names("@/nowhere/labels.txt").is_err());
    }
}
