//! `reproduce`: the paper's experiments.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use clap::{Args, ValueEnum};
use disinherit::data::Splits;
use disinherit::evaluation::{Depth, Judgement, Verdicts};
use disinherit::registry::{Registry, RegistryError};
use disinherit::umig::Forget;
use disinherit_lab::{
    ForgetRecipe, MethodKind, Recipe, Study, StudyOptions, Variant, mean, run_study,
};
use serde_json::json;

use crate::args::recipe::RecipeArgs;
use crate::args::request::forget_classes;
use crate::args::unlearning::UnlearningArgs;
use crate::args::values::shadows;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};
use crate::{files, recipes, table};

/// Repeat one of the paper's experiments: grow what is missing, run the methods, measure, write
/// results.json, results.csv and report.html.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit reproduce fl
  disinherit reproduce tl --recipe tl-cifar10 --data cifar10/ --methods all --seeds 1,2,3
  disinherit reproduce samples --methods matching,fiun,retrain --shadows 16")]
pub(crate) struct ReproduceArgs {
    /// The experiment.
    experiment: Experiment,
    /// Another recipe for it: a TOML file, or the name of a built-in one (`disinherit recipes`);
    /// the experiment's recipe on the embedded digits when not given.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<String>,
    #[command(flatten)]
    settings: RecipeArgs,
    /// Replaces the recipe's class to forget: class=NAME[,NAME].
    #[arg(long, value_name = "WHAT")]
    forget: Option<String>,
    /// The methods to compare, or `all`; `fiun+features` goes to the features (`fiun+features+cards`
    /// without data, from FIM cards), `fiun` to the outputs, `fiun+all` dampens every layer, `fiun+raw`
    /// compares FIMs as they are. When not given,
    /// fiun+features,fiun,fiun+all,retrain,fine-tune,distill,gradient-ascent,ssd,mask for classes, and for
    /// samples and sources matching,fiun,retrain,fine-tune,random-labels,neg-grad-plus,scrub,sal-un,lfssd.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    methods: Vec<Choice>,
    #[command(flatten)]
    unlearning: UnlearningArgs,
    /// The seeds; the recipe's own when not given.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Leave out relearning, the verdict that trains.
    #[arg(long)]
    no_relearning: bool,
    /// Grow N more networks of the recipe with other training seeds, run the methods on each, and see sample
    /// by sample how far models are told from retrained ones by them (U-LiRA, KLOM). Each costs what the
    /// study's own network and its methods cost. At least 2; with 5 and more, retrained models are compared
    /// among themselves too.
    #[arg(long, value_name = "N", value_parser = shadows, conflicts_with = "trained")]
    shadows: Option<usize>,
    /// The folder for models, results.json, results.csv and report.html. A run that was stopped
    /// goes on where it was.
    #[arg(long, default_value = "reproduction", value_name = "DIR")]
    out: PathBuf,
}

/// The paper's experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Experiment {
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
    /// A person's samples.
    Samples,
    /// A source: one client of ten.
    Client,
}

/// The experiment's recipe on the embedded digits.
fn default_recipe(experiment: Experiment) -> &'static str {
    match experiment {
        Experiment::Fl => "fl-digits",
        Experiment::Ddpl => "ddpl-digits",
        Experiment::Il => "il-digits",
        Experiment::Tl => "tl-digits",
        Experiment::Multi => "multi-digits",
        Experiment::Depth => "depth-digits",
        Experiment::Samples => "samples-digits",
        Experiment::Client => "client-digits",
    }
}

/// What `--methods` takes: one method, or all of them.
#[derive(Debug, Clone, Copy)]
enum Choice {
    All,
    One(Variant),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            name => name.parse().map(Self::One),
        }
    }
}

/// The methods that are chosen, each once; all are those that serve the request.
fn variants(choices: &[Choice], forget: &Forget) -> Vec<Variant> {
    let mut list: Vec<Variant> = Vec::new();
    for choice in choices {
        match choice {
            Choice::All => {
                let serving = MethodKind::all().filter(|method| method.serves(forget));
                list.extend(serving.map(Variant::from));
            }
            Choice::One(variant) => list.push(*variant),
        }
    }
    let mut seen = BTreeSet::new();
    list.retain(|variant| seen.insert(*variant));
    list
}

/// What is compared where no methods are named.
const FOR_CLASSES: &str =
    "fiun+features,fiun,fiun+all,retrain,fine-tune,distill,gradient-ascent,ssd,mask";
const FOR_SAMPLES: &str =
    "matching,fiun,retrain,fine-tune,random-labels,neg-grad-plus,scrub,sal-un,lfssd";

impl ReproduceArgs {
    /// Refuses shadow networks that there is nothing to compare with.
    fn check(&self) -> Result<(), CliError> {
        let retrains = |choice: &Choice| match choice {
            Choice::All => true,
            Choice::One(variant) => variant.method == MethodKind::Retrain,
        };
        if self.shadows.is_none() || self.methods.is_empty() || self.methods.iter().any(retrains) {
            return Ok(());
        }
        let why = "`--shadows` compares with retrained models, and `--methods` leaves them out";
        Err(CliError::usage(why).help("add `retrain` to `--methods`"))
    }

    /// The methods that are asked for, or else those that suit what is forgotten.
    fn methods(&self, forget: &Forget) -> Result<Vec<Choice>, CliError> {
        if !self.methods.is_empty() {
            return Ok(self.methods.clone());
        }
        let list = match forget {
            Forget::Classes(_) => FOR_CLASSES,
            Forget::Samples(_) | Forget::Source(_) => FOR_SAMPLES,
        };
        list.split(',')
            .map(|name| name.parse().map_err(CliError::usage))
            .collect()
    }
}

fn recipe(args: &ReproduceArgs) -> Result<Recipe, CliError> {
    let name = args.recipe.as_deref();
    let name = name.unwrap_or(default_recipe(args.experiment));
    let mut recipe = recipes::load_with(name, &args.settings)?;
    if let Some(text) = &args.forget {
        recipe.forget = ForgetRecipe {
            classes: forget_classes(text)?,
            from: recipe.forget.from,
            ..ForgetRecipe::default()
        };
    }
    Ok(recipe)
}

pub(super) fn run(context: &Context, args: &ReproduceArgs) -> Result<Outcome, CliError> {
    let start = Instant::now();
    args.check()?;
    let recipe = recipe(args)?;
    let splits = recipes::open_data(&recipe)?;
    // Before the folder is marked as this recipe's.
    disinherit_lab::check_recipe(&recipe, &splits.train)?;
    files::make_folder(&args.out)?;
    let seeds = match &args.seeds[..] {
        [] => vec![recipe.seed],
        seeds => seeds.to_vec(),
    };
    let mut studies = Vec::new();
    for seed in seeds {
        let recipe = Recipe {
            seed,
            ..recipe.clone()
        };
        studies.push(study(context, args, &recipe, &splits)?);
    }
    let written = write(&args.out, &studies)?;
    if context.json {
        output::json(&json!({"studies": studies, "files": written}))?;
        return Ok(Outcome::Done);
    }
    print(&studies);
    outln!(
        "wrote {} ({:.1} s in all)",
        written.join(", "),
        start.elapsed().as_secs_f64()
    );
    Ok(Outcome::Done)
}

/// The study of one seed, in a folder of its own.
fn study(
    context: &Context,
    args: &ReproduceArgs,
    recipe: &Recipe,
    splits: &Splits,
) -> Result<Study, CliError> {
    let place = args.out.join(format!("seed-{}", recipe.seed));
    files::make_folder(&place)?;
    check_same(&place, recipe)?;
    let registry = match Registry::open(&place) {
        Err(RegistryError::NoRegistry(_)) => Registry::create(&place)?,
        other => other?,
    };
    let forget = disinherit_lab::forget(recipe, &splits.train)?;
    let options = StudyOptions {
        fiun: args.unlearning.options(),
        jobs: args.unlearning.jobs,
        variants: variants(&args.methods(&forget)?, &forget),
        depth: Depth {
            attacks: true,
            relearning: !args.no_relearning,
        },
        publish: None,
        keep: Some(place),
        shadows: args.shadows.unwrap_or(0),
    };
    if let Some(count) = args.shadows {
        let models = recipe.models.len();
        let methods = options.variants.len();
        output::complain(format_args!(
            "seed {}: {count} shadow networks of {models} models are grown too, and {methods} methods run on \
             each; what is finished is kept\n",
            recipe.seed
        ));
    }
    let study = run_study(&context.engine(registry, None), recipe, splits, &options)?;
    Ok(study)
}

/// Refuses to mix results of different recipes in one folder.
fn check_same(place: &Path, recipe: &Recipe) -> Result<(), CliError> {
    let path = place.join("recipe.json");
    let text = serde_json::to_vec_pretty(recipe)?;
    let same = |known: &[u8]| -> Option<bool> {
        let parse = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
        let (mut known, mut now) = (parse(known)?, parse(&text)?);
        for recipe in [&mut known, &mut now] {
            // Words change nothing that is measured.
            recipe.as_object_mut()?.remove("description");
        }
        Some(known == now)
    };
    match std::fs::read(&path) {
        Ok(known) if same(&known) == Some(true) => Ok(()),
        Ok(_) => Err(CliError::new(format!(
            "{} holds results of another recipe or other settings",
            place.display()
        ))
        .help("give another folder with `--out`")),
        Err(_) => files::write(&path, &text),
    }
}

fn write(out: &Path, studies: &[Study]) -> Result<Vec<String>, CliError> {
    let files = [
        ("results.json", serde_json::to_string_pretty(studies)?),
        ("results.csv", disinherit_report::csv(studies)?),
        ("report.html", disinherit_report::page(studies)?),
    ];
    let mut written = Vec::new();
    for (name, text) in files {
        let path = out.join(name);
        files::write(&path, text)?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

fn print(studies: &[Study]) {
    let Some(first) = studies.first() else {
        return;
    };
    outln!("{}, forgetting {}", first.title, first.forget);
    outln!("means over touched models and seeds; accuracy in %");
    let rows = first
        .results
        .iter()
        .map(|result| row(studies, result.variant))
        .collect();
    let header = [
        "method",
        "forgotten in",
        "forget, train",
        "held out",
        "worst",
        "retain, train",
        "held out",
        "probe",
        "relearning",
        "area",
        "fitted",
        "wall s",
        "cpu s",
    ];
    table::print(&header, rows, 2);
    if let Some(table) = disinherit_report::shadow_table(studies) {
        outln!(
            "over {} networks of other training seeds, against retrained models; attacks in %, KLOM in nats; \
             `retrain` is retrained models among themselves",
            table.networks
        );
        table::print(&table.header, table.rows, 1);
    }
    for result in first.results.iter() {
        if let Some(why) = &result.failed {
            warning!("{} failed: {why}", result.variant);
        }
    }
}

fn row(studies: &[Study], variant: Variant) -> Vec<String> {
    let results = || studies.iter().filter_map(|study| study.result(variant));
    let share = |pick: fn(&Verdicts) -> Option<f64>| {
        output::percent(mean(results().filter_map(|r| r.mean(pick))))
    };
    let worst = results()
        .flat_map(|r| r.models.iter())
        .filter_map(|m| m.verdicts.scores.forget.heldout)
        .reduce(f64::max);
    let judged = studies.iter().filter_map(|study| {
        let result = study.result(variant)?;
        Some(study.judged(result).judgement)
    });
    let least = judged.reduce(Judgement::at_most);
    let reset = |v: &Verdicts| Some(v.measured().reset?.mean);
    let number = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.2}"));
    vec![
        variant.to_string(),
        least.map_or("-".into(), |judgement| judgement.to_string()),
        share(|v| v.scores.forget.train),
        share(|v| v.scores.forget.heldout),
        output::percent(worst),
        share(|v| v.scores.retain.train),
        share(|v| v.scores.retain.heldout),
        share(|v| v.probe),
        number(mean(results().filter_map(|r| r.mean(reset)))),
        share(|v| Some(v.measured().area?.mean)),
        share(|v| Some(v.measured().fitted?.mean)),
        number(mean(results().map(|r| r.cost.seconds))),
        number(mean(results().filter_map(|r| r.cost.processor_seconds))),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn methods_are_chosen_once_each() {
        let choices = ["fiun+all", "all", "fiun"].map(|text| text.parse().unwrap());
        let classes = Forget::classes(["3"]);
        let list = variants(&choices, &classes);
        // All but matching, which serves no classes; and `fiun+all`.
        assert_eq!(list.len(), MethodKind::all().count());
        let samples = Forget::Source("client-1".into());
        let list_of_samples = variants(&choices, &samples);
        assert!(list_of_samples.contains(&MethodKind::Matching.into()));
        assert!(!list_of_samples.contains(&MethodKind::Mask.into()));
        assert_eq!(list[0].to_string(), "fiun+all");
        assert!("magic".parse::<Choice>().is_err());
    }
}
