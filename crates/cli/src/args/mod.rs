//! The flags: one definition each.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use disinherit::{Layers, Method, SettingsPatch};

mod keeping;
mod models;
mod values;

pub(crate) use self::keeping::{CertifyArgs, ListArgs, PurgeArgs, StateArg};
pub(crate) use self::models::{AddArgs, ExportArgs, ImportArgs, NetworkArgs, TrainedArgs};
use self::values::{alpha, precision, size};

/// Make a model, and every model that inherited from it, forget.
///
/// A registry keeps models, who inherited from whom, and what each was trained on. When a class, a
/// source or some samples must be forgotten, `unlearn` mends every affected model in parallel, from
/// the Fisher information of the forget data on the first model alone (FIUn, arXiv:2408.08493).
#[derive(Debug, Parser)]
#[command(
    name = "disinherit",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,

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

    /// Where networks run: cpu, flex (burn's CPU engine), and, if built in, libtorch, cuda or wgpu.
    #[arg(long, global = true, default_value = "cpu", value_name = "DEVICE")]
    pub(crate) device: String,

    /// The bound of the registry's cache of features, such as 500MiB; 0 for none.
    #[arg(long, global = true, default_value = "2GiB", value_name = "SIZE")]
    pub(crate) feature_cache: ByteSize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an empty registry.
    Init {
        /// Where: a folder (here when not given), or s3://bucket/path.
        place: Option<String>,
        /// A database for the catalog instead of a file: postgres://user@host/database. The password
        /// is taken from PGPASSWORD and written down nowhere.
        #[arg(long, value_name = "URL")]
        catalog: Option<String>,
    },
    /// Add a model: a safetensors file, a PyTorch state dict, or a folder as on the Hugging Face Hub.
    Add(Box<AddArgs>),
    /// Add many models at once: files, folders, or a whole tree of them. Who inherited from whom is
    /// taken from their model cards, shown, and added once you agree.
    Import(Box<ImportArgs>),
    /// Train an inheritance network from a recipe. A run that was stopped goes on where it was.
    Grow(GrowArgs),
    /// Compute and keep FIM cards, so that classes can be forgotten later without data.
    Fisher(FisherArgs),
    /// Draw the inheritance graph.
    Graph(GraphArgs),
    /// List the models, newest last.
    Log {
        /// List what was done instead.
        #[arg(long)]
        operations: bool,
    },
    /// List models by name, page by page.
    List(ListArgs),
    /// Show a model (network, labels, provenance, parents, children), or an operation by its number.
    Show {
        /// `name` (the current version), `name@version`, or an operation's number.
        what: String,
    },
    /// Take an operation back: what it made goes, what it replaced is current again.
    Undo {
        /// The operation's number (`log --operations`).
        operation: i64,
    },
    /// Delete for good what superseded versions remember: weights, FIM cards, cached features.
    Purge(PurgeArgs),
    /// Say how long superseded versions are kept before `purge --due` deletes them.
    Retention {
        /// How long, such as 30d; `forever` for no end. Shown when not given.
        keep: Option<String>,
    },
    /// Remove what was never published, and what a kill left.
    Gc {
        /// Say what would go, and remove nothing.
        #[arg(long)]
        dry_run: bool,
        /// Drop finished tasks of requests that were stopped, too, instead of keeping them a week.
        #[arg(long)]
        drafts: bool,
    },
    /// Check everything: objects, tensors, cards, the graph, the log. Exits with 1 if something is
    /// wrong.
    Fsck {
        /// Make good what can be: fetch objects from another registry, take out unreadable cards.
        #[arg(long)]
        repair: bool,
        /// A registry that may have what is damaged here.
        #[arg(long, value_name = "PLACE", requires = "repair")]
        from: Option<String>,
    },
    /// Make a key to sign certificates with: FILE (keep it secret) and FILE.pub (give it away).
    Key {
        /// The file to write.
        file: PathBuf,
    },
    /// Certify what a request did, signed; `verify --certificate` checks it without the registry.
    Certify(Box<CertifyArgs>),
    /// Say whom a request would touch, the work it means, and what data it needs.
    Plan(PlanArgs),
    /// Forget: mend the initial models and all that inherited from them.
    Unlearn(Box<UnlearnArgs>),
    /// Measure whether models have forgotten, on training and held-out data.
    Verify(VerifyArgs),
    /// Write a model in the form that it came in: same files, same names, same types.
    Export(ExportArgs),
    /// Write the page of a request: what it did, and with data, how well the models have forgotten.
    Report(ReportArgs),
    /// Repeat one of the paper's experiments: grow what is missing, run the methods, measure,
    /// write results.json, results.csv and report.html.
    Reproduce(Box<ReproduceArgs>),
    /// List the methods that `unlearn --method` and `reproduce` know.
    Methods,
    /// List the built-in recipes, or show one.
    Recipes {
        /// The recipe to show.
        name: Option<String>,
    },
    /// The main job on embedded data: grow a small network, forget a class everywhere, compare
    /// with retraining, write a page.
    Demo(DemoArgs),
}

/// Where data comes from.
#[derive(Debug, Args, Clone)]
pub(crate) struct DataArgs {
    /// `digits` (embedded), a .parquet file of images or texts, a folder with train*.parquet and
    /// test*.parquet, or a folder of images with one sub-folder for each label.
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<String>,
    /// Scale images to this height and width.
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub(crate) size: Option<(usize, usize)>,
    /// The tokenizer of texts, a `tokenizer.json`; when not given, the words of the training data
    /// are numbered by how often they occur.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
}

/// What replaces a recipe's settings.
#[derive(Debug, Args, Clone)]
pub(crate) struct RecipeArgs {
    /// The data; the recipe's own when not given.
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Replaces the recipe's network.
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<String>,
    /// Replaces the recipe's number of epochs.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Replaces the recipe's learning rate.
    #[arg(long, value_name = "X")]
    pub(crate) learning_rate: Option<f64>,
    /// Use at most this many training samples.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Replaces the recipe's seed.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct GrowArgs {
    /// A TOML file, or the name of a built-in recipe (`disinherit recipes` lists them).
    pub(crate) recipe: String,
    #[command(flatten)]
    pub(crate) settings: RecipeArgs,
    /// The layers whose Fisher information the cards keep: head, all, or patterns of tensor names
    /// with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    /// Compute no FIM cards.
    #[arg(long)]
    pub(crate) no_fisher: bool,
}

/// How Fisher information is computed.
#[derive(Debug, Args, Clone)]
pub(crate) struct EstimatorArgs {
    /// `empirical` (the mean of squared per-sample gradients), `true[:SEED]` (the same with labels
    /// drawn from the model's own prediction) or `batch:N` (squared gradients of batch means, as
    /// public SSD-style code computes them).
    #[arg(long, default_value = "empirical")]
    pub(crate) estimator: fiun::Estimator,
    /// Use at most this many of a model's own training samples.
    #[arg(long, value_name = "N")]
    pub(crate) max_samples: Option<usize>,
    /// Use as many samples as leave at most this share of selection decisions open; `auto` for
    /// 0.001.
    #[arg(long, value_name = "SHARE", value_parser = precision)]
    pub(crate) precision: Option<f64>,
    /// What the Fisher information of inner layers may use, such as 2GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
}

/// What goes into a card.
#[derive(Debug, Args, Clone)]
pub(crate) struct CardArgs {
    /// The layers whose Fisher information the card keeps: head, all, or patterns of tensor names
    /// with commas between them. The head is always there.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    #[command(flatten)]
    pub(crate) estimator: EstimatorArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct FisherArgs {
    #[command(subcommand)]
    pub(crate) command: Option<FisherCommand>,
    /// Models; all current ones when none is named.
    pub(crate) models: Vec<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) card: CardArgs,
    /// Compute cards again that are there already.
    #[arg(long)]
    pub(crate) again: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FisherCommand {
    /// Add a card that was computed elsewhere, by someone who may not share the data.
    Import {
        /// The card, a safetensors file.
        file: PathBuf,
        /// The model that it must speak of; the one that it names when not given.
        #[arg(long)]
        model: Option<String>,
    },
    /// Write a model's card to a safetensors file.
    Export {
        /// `name` (the current version) or `name@version`.
        model: String,
        /// The file to write.
        file: PathBuf,
        /// Which card.
        #[arg(long, default_value = "empirical")]
        estimator: fiun::Estimator,
        /// Replace the file if it is there.
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GraphArgs {
    /// Graphviz.
    #[arg(long, conflicts_with = "mermaid")]
    pub(crate) dot: bool,
    /// Mermaid.
    #[arg(long)]
    pub(crate) mermaid: bool,
    /// Include superseded versions.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct RequestArgs {
    /// class=NAME[,NAME], source=NAME, or samples=FILE (one sample id a line).
    #[arg(long, value_name = "WHAT")]
    pub(crate) forget: String,
    /// The initial models; found by provenance when not given.
    #[arg(long, value_name = "MODEL", value_delimiter = ',')]
    pub(crate) from: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// The layers to edit: head, all, or patterns of tensor names with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    /// The estimator of the cards.
    #[arg(long, default_value = "empirical")]
    pub(crate) estimator: fiun::Estimator,
}

#[derive(Debug, Args, Clone)]
pub(crate) struct MethodArgs {
    /// The selection threshold: `auto` (per model, on data where there is some), `rule` (the
    /// data-free value), or a number.
    #[arg(long, default_value = "auto", value_parser = alpha)]
    pub(crate) alpha: disinherit::Alpha,
    /// The dampening constant; when not given, chosen together with alpha where alpha is searched,
    /// and 1 otherwise.
    #[arg(long, value_name = "X")]
    pub(crate) lambda: Option<f64>,
    /// Compare FIMs as they are, as the paper does, instead of on a common scale.
    #[arg(long)]
    pub(crate) raw: bool,
    /// The divisor of merged FIMs (MFIM).
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub(crate) merge_scale: f64,
    /// The layers to edit: head, all, or patterns of tensor names with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    pub(crate) layers: Layers,
    /// Models mended at the same time; one per core when 0.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) jobs: usize,
    /// What `--alpha auto` aims at: the accuracy on the forget data, 0 to 1. When not given, 0 for
    /// classes, and the accuracy on held-out samples of the same labels for samples and sources.
    #[arg(long, value_name = "X")]
    pub(crate) target_forget: Option<f64>,
    /// What `--alpha auto` allows: the loss of accuracy on the retained data, 0 to 1.
    #[arg(long, default_value_t = 0.01, value_name = "X")]
    pub(crate) target_loss: f64,
    /// Do nothing but dampen, as in the paper. Without it, what no alpha makes a model forget of a
    /// class is taken from its bias, or from its weights where there is none, with a warning.
    #[arg(long)]
    pub(crate) dampen_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UnlearnArgs {
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) estimator: EstimatorArgs,
    #[command(flatten)]
    pub(crate) dampening: MethodArgs,
    /// The method: fiun, or another one to compare it with (`disinherit methods` explains each).
    #[arg(long, default_value = "fiun", value_name = "NAME")]
    pub(crate) method: Method,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// For `--method retrain`: the recipe that says how the models are trained.
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: Option<String>,
    /// Compute everything, write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Hyperparameters of methods that train; the method's own defaults where not given.
#[derive(Debug, Args, Clone)]
pub(crate) struct SettingsArgs {
    /// Passes over the retained data.
    #[arg(long, value_name = "N", help_heading = "Methods that train")]
    pub(crate) epochs: Option<usize>,
    /// The learning rate.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) learning_rate: Option<f64>,
    /// Samples per step.
    #[arg(long, value_name = "N", help_heading = "Methods that train")]
    pub(crate) batch_size: Option<usize>,
    /// SGD's momentum.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) momentum: Option<f64>,
    /// The L2 penalty.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) weight_decay: Option<f64>,
    /// Gradients of a tensor longer than this are shortened to it.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) clip: Option<f32>,
    /// The temperature of distillation.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) temperature: Option<f64>,
    /// The weight of the forget data's term.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) forget_weight: Option<f64>,
    /// The share of parameters that SalUn may change.
    #[arg(long, value_name = "X", help_heading = "Methods that train")]
    pub(crate) saliency: Option<f64>,
}

impl SettingsArgs {
    /// What replaces a method's defaults.
    pub(crate) fn patch(&self) -> SettingsPatch {
        SettingsPatch {
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            batch_size: self.batch_size,
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            clip: self.clip,
            temperature: self.temperature,
            forget_weight: self.forget_weight,
            saliency: self.saliency,
        }
    }
}

/// The paper's experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Experiment {
    /// Federated learning.
    Fl,
    /// Distributed data-parallel learning.
    Ddpl,
    /// Incremental learning: heads that grow.
    Il,
    /// Transfer learning: frozen backbones.
    Tl,
    /// Several initial models with different classes: FIMs are merged (MFIM).
    Multi,
    /// A long chain.
    Depth,
}

#[derive(Debug, Args)]
pub(crate) struct ReproduceArgs {
    /// The experiment.
    pub(crate) experiment: Experiment,
    /// Another recipe for it: a TOML file, or the name of a built-in one (`disinherit recipes`);
    /// the experiment's recipe on the embedded digits when not given.
    #[arg(long, value_name = "RECIPE")]
    pub(crate) recipe: Option<String>,
    #[command(flatten)]
    pub(crate) settings: RecipeArgs,
    /// Replaces the recipe's class to forget: class=NAME[,NAME].
    #[arg(long, value_name = "WHAT")]
    pub(crate) forget: Option<String>,
    /// The methods to compare, or `all`; `fiun+all` edits every layer, `fiun+raw` compares FIMs as
    /// they are.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "fiun,fiun+all,retrain,fine-tune,distill,gradient-ascent,ssd,mask"
    )]
    pub(crate) methods: Vec<String>,
    #[command(flatten)]
    pub(crate) dampening: MethodArgs,
    /// The seeds; the recipe's own when not given.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) seeds: Vec<u64>,
    /// Leave out relearning, the verdict that trains.
    #[arg(long)]
    pub(crate) no_relearning: bool,
    /// The folder for models, results.json, results.csv and report.html. A run that was stopped
    /// goes on where it was.
    #[arg(long, default_value = "reproduction", value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The request's id, or its number in `disinherit log --operations`; the last one when not
    /// given.
    pub(crate) request: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Relearn too, the verdict that trains.
    #[arg(long)]
    pub(crate) relearning: bool,
    /// Where the page goes.
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Models; those of the last `unlearn` when none is named.
    pub(crate) models: Vec<String>,
    /// What should be forgotten; that of the last `unlearn` when not given.
    #[arg(long, value_name = "WHAT")]
    pub(crate) forget: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The largest accuracy on forgotten held-out data that passes, 0 to 1.
    #[arg(long, default_value_t = disinherit::FORGOTTEN, value_name = "X")]
    pub(crate) at_most: f64,
    /// Check this certificate instead; with `--registry`, also against the registry.
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The public key of whoever issued it.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A TOML file, or the name of a built-in recipe (`disinherit recipes` lists them).
    #[arg(long, default_value = "fl-digits")]
    pub(crate) recipe: String,
    #[command(flatten)]
    pub(crate) settings: RecipeArgs,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    /// Replaces the recipe's class to forget: class=NAME[,NAME].
    #[arg(long, value_name = "WHAT")]
    pub(crate) forget: Option<String>,
    /// Where the page goes.
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    pub(crate) report: PathBuf,
    /// Leave out retraining, the yardstick.
    #[arg(long)]
    pub(crate) no_retrain: bool,
}
