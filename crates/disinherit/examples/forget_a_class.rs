//! Forgets a class in a model and in one that inherited from it, and says what both still recognise.
//!
//! Both models are linear classifiers over features of four numbers, in a registry in memory.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::error::Error;

use disinherit::data::{DataSet, FeatureTable, Samples, Splits};
use disinherit::evaluation::{Depth, Evaluator};
use disinherit::formats::{Dtype, FormatError, Tensor, TensorSource};
use disinherit::import::{AddModel, add_tensors};
use disinherit::nets::{Architecture, Preprocessing};
use disinherit::registry::Registry;
use disinherit::umig::{Forget, Relation, Request, Training};
use disinherit::{Engine, Fiun, Prepared, RunOptions};

/// What the models tell apart.
pub const LABELS: [&str; 4] = ["ant", "bee", "cat", "dog"];

/// The weights of a head.
pub struct Head(BTreeMap<String, Tensor>);

impl TensorSource for Head {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let tensors = self.0.iter();
        tensors
            .map(|(name, tensor)| (name.clone(), (tensor.dtype, tensor.shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let tensor = self.0.get(name).cloned();
        tensor.ok_or_else(|| FormatError::Source(format!("there is no tensor `{name}`").into()))
    }
}

/// A head that looks for one number of the four for each label; `shape` is that of its weight.
pub fn head(strength: f32, shape: &[usize]) -> Head {
    let weight: Vec<f32> = (0..16)
        .map(|at| {
            if at % 5 == 0 {
                strength
            } else {
                -0.1 * strength
            }
        })
        .collect();
    Head(BTreeMap::from([
        ("fc.weight".into(), Tensor::from_f32(shape, &weight)),
        ("fc.bias".into(), Tensor::from_f32(&[4], &[0.1; 4])),
    ]))
}

/// Four clouds of samples, a number larger than the others in each.
pub fn clouds(name: &str, count: usize) -> Result<DataSet, Box<dyn Error>> {
    let noise = |at: usize| ((at * 7919 + 13) % 101) as f32 / 101.0;
    let values = (0..count * 4).map(|at| {
        let (sample, place) = (at / 4, at % 4);
        noise(at) + if sample % 4 == place { 2.0 } else { 0.0 }
    });
    let table = FeatureTable {
        models: Vec::new(),
        width: 4,
        values: values.collect(),
        logits: Vec::new(),
    };
    Ok(DataSet::new(
        name,
        Samples::Features(vec![table]),
        (0..count).map(|sample| (sample % 4) as u32).collect(),
        LABELS.map(String::from).to_vec(),
        (0..count)
            .map(|sample| format!("{name}-{sample}"))
            .collect(),
    )?)
}

/// A model with the name, what it inherited from, and the labels that it was trained on.
pub fn new_model(name: &str, parents: Vec<(String, Relation)>, trained: &[&str]) -> AddModel {
    AddModel {
        name: name.into(),
        file: "a head".into(),
        architecture: Architecture::for_head("fc", 4, 4),
        preprocessing: Preprocessing::default(),
        labels: LABELS.map(String::from).to_vec(),
        parents,
        training: vec![Training::new("clouds", trained.iter().copied())],
        time: None,
        untied: false,
    }
}

/// A version, the share of forgotten held-out samples that it recognises, and that of the others.
pub type Found = (String, f64, f64);

/// Forgets `cat`; returns what each model still recognises of it, and of the rest, before and after.
pub fn run(shape: &[usize]) -> Result<Vec<Found>, Box<dyn Error>> {
    let data = Splits {
        train: clouds("clouds", 400)?,
        heldout: clouds("unseen", 100)?,
    };
    let engine = Engine::new(Registry::in_memory()?).with_data(&data);
    let base = new_model("base", Vec::new(), &LABELS);
    add_tensors(engine.registry(), &base, &head(3.0, shape))?;
    // The clinic's own data has no cats: what it knows of them, it inherited.
    let parents = vec![("base".to_owned(), Relation::FineTune)];
    let clinic = new_model("clinic", parents, &["ant", "bee", "dog"]);
    add_tensors(engine.registry(), &clinic, &head(4.0, shape))?;

    let request = Request::new(Forget::classes(["cat"]));
    let method = Fiun::default();
    let prepared: Prepared<'_> = engine.prepare(&request, &method, RunOptions::default())?;
    for (number, stage) in prepared.plan().stages.iter().enumerate() {
        let tasks = stage.tasks.len();
        println!("stage {}: {} ({tasks} tasks)", number + 1, stage.purpose);
    }
    let done = prepared.run()?.unlearned;

    let evaluator = Evaluator::new(&engine, &request.forget, Depth::OUTPUTS)?;
    let outcomes = done.models.iter();
    let ids: Vec<_> = outcomes
        .flat_map(|m| [m.before.clone(), m.after.clone()])
        .collect();
    let mut found = Vec::new();
    for verdict in evaluator.judge(&ids, 0.01)? {
        let share = |accuracy: Option<f64>| accuracy.unwrap_or_default();
        let forget = share(verdict.scores.forget.heldout);
        let retain = share(verdict.scores.retain.heldout);
        println!(
            "{}: {:.0} % of cats, {:.0} % of the rest ({:?})",
            verdict.model,
            forget * 100.0,
            retain * 100.0,
            verdict.judgement()
        );
        found.push((verdict.model.to_string(), forget, retain));
    }
    Ok(found)
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn Error>> {
    run(&[4, 4]).map(drop)
}
