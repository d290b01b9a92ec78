//! Flags for bringing models and taking them away.

use std::path::PathBuf;

use clap::Args;

use super::values::{shape, timestamp};
use super::{CardArgs, DataArgs};

/// What is known of a model's network.
#[derive(Debug, Args)]
pub(crate) struct NetworkArgs {
    /// The network: small-cnn, alexnet, alexnet-32, resnet-18, densenet-161, vgg-16 or vit-b-32 for
    /// images; lstm, gated-cnn, bert-tiny or bert-base for text; head for any other, of which only
    /// the last linear layer is known. Told by `config.json` where there is one; head otherwise.
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
    /// The head of any other network: the name of its last linear layer; found when not given.
    #[arg(long, value_name = "LAYER")]
    pub(crate) head: Option<String>,
    /// Label names of the head's rows, in order: a,b,c or @FILE with one name a line. Told by
    /// `config.json` (`id2label`) where there is one.
    #[arg(long, value_name = "LIST")]
    pub(crate) labels: Option<String>,
    /// Different tokens that a network for text reads, token 0 (padding) included.
    #[arg(long, value_name = "N", default_value_t = disinherit_data::VOCABULARY)]
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

/// What a model was trained on.
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

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// A safetensors file, a PyTorch state dict (.pt, .pth; nothing in it is run), or a folder with
    /// one, in shards or whole.
    pub(crate) file: PathBuf,
    /// The model's name; adding the same name again makes a new version.
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// A parent, with how the model came from it: NAME[:RELATION[=WEIGHT]]. Relations:
    /// fine_tune (default), federated_average, distributed_average, incremental, transfer,
    /// distilled, merged, quantised, adapter.
    #[arg(long = "parent", value_name = "PARENT")]
    pub(crate) parents: Vec<String>,
    /// Tensors that stayed frozen in a transfer, by name.
    #[arg(long, value_name = "TENSOR", value_delimiter = ',')]
    pub(crate) frozen: Vec<String>,
    #[command(flatten)]
    pub(crate) trained: TrainedArgs,
    /// When it was made (RFC 3339); now when not given.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(crate) time: Option<u64>,
    /// Where the data that it was trained on is: its FIM card is computed and kept.
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) fisher: CardArgs,
    /// Compute no FIM card.
    #[arg(long)]
    pub(crate) no_fisher: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Files, model folders, or folders with any number of both below them.
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Propose parents from the weights where no model card names any: shared tensors, and how far
    /// the others are apart. Each proposal is shown with its confidence.
    #[arg(long)]
    pub(crate) infer_parents: bool,
    /// Leave out proposals of less confidence than this, 0 to 1.
    #[arg(
        long,
        value_name = "X",
        default_value_t = 0.3,
        requires = "infer_parents"
    )]
    pub(crate) confidence: f64,
    /// Add what is shown without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) trained: TrainedArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// `name` (the current version) or `name@version`.
    pub(crate) model: String,
    /// The file or folder to write.
    pub(crate) file: PathBuf,
    /// Write one safetensors file, whatever form the model came in.
    #[arg(long)]
    pub(crate) safetensors: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
}
