//! A plan in parts by threads: what is in the way once is tried again, what is refused is not, and what is published is
//! what one run publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Mutex;

use disinherit::data::Splits;
use disinherit::import::add_tensors;
use disinherit::registry::{Digest, MethodName, Registry, RegistryError};
use disinherit::umig::dispatch::TaskResult;
use disinherit::umig::{Forget, ModelId, Relation, Request};
use disinherit::{Edit, Engine, EngineError, Evidence, Fiun, LoadedModel, Method, RunOptions};
use disinherit::{Work, cards::FisherOptions};

use crate::forget_a_class::{LABELS, clouds, head, new_model};

/// How an edit goes the first time.
#[derive(Debug, Clone, Copy)]
enum First {
    Busy,
    Panic,
    Refused,
}

/// FIUn on the outputs, for some of whose models the first attempt ends in another way.
struct Hindered {
    fiun: Fiun,
    first: Mutex<BTreeMap<String, First>>,
}

impl Method for Hindered {
    fn name(&self) -> MethodName {
        self.fiun.name()
    }

    fn settings(&self) -> Result<serde_json::Value, EngineError> {
        self.fiun.settings()
    }

    fn check(&self, forget: &Forget) -> Result<(), EngineError> {
        self.fiun.check(forget)
    }

    fn fisher(&self) -> Option<&FisherOptions> {
        self.fiun.fisher()
    }

    fn evidence(&self, work: &Work<'_>, model: &ModelId) -> Result<Option<Evidence>, EngineError> {
        self.fiun.evidence(work, model)
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        evidence: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let first = self.first.lock().unwrap().remove(model.id().name());
        match first {
            Some(First::Busy) => Err(RegistryError::Busy("storage".into()).into()),
            Some(First::Panic) => panic!("the worker of {} dies", model.id()),
            Some(First::Refused) => Err(EngineError::Setting("no".into())),
            None => self.fiun.edit(work, model, evidence),
        }
    }
}

fn splits() -> Splits {
    Splits {
        train: clouds("clouds", 400).unwrap(),
        heldout: clouds("unseen", 100).unwrap(),
    }
}

/// A base and five models that inherited from it.
fn grown(splits: &Splits) -> Engine<'_> {
    let engine = Engine::new(Registry::in_memory().unwrap()).with_data(splits);
    let base = new_model("base", Vec::new(), &LABELS);
    add_tensors(engine.registry(), &base, &head(3.0, &[4, 4])).unwrap();
    for number in 0..5 {
        let parents = vec![("base".to_owned(), Relation::FineTune)];
        let model = new_model(&format!("m{number}"), parents, &["ant", "bee", "dog"]);
        let weights = head(3.0 + number as f32 / 4.0, &[4, 4]);
        add_tensors(engine.registry(), &model, &weights).unwrap();
    }
    engine
}

fn digests(engine: &Engine<'_>) -> BTreeMap<String, Digest> {
    let rows = engine.registry().models().unwrap().into_iter();
    rows.map(|row| (row.vertex.id.to_string(), row.manifest))
        .collect()
}

/// Forgets `cat` by three threads, each part tried twice more at most; says which results were tried again.
fn by_threads(
    engine: &Engine<'_>,
    first: &[(&str, First)],
) -> (Result<(), EngineError>, BTreeMap<&'static str, usize>) {
    let first = first.iter().map(|(name, way)| ((*name).to_owned(), *way));
    let method = Hindered {
        fiun: Fiun::default(),
        first: Mutex::new(first.collect()),
    };
    let request = Request::new(Forget::classes(["cat"]));
    let prepared = engine
        .prepare(&request, &method, RunOptions::default())
        .unwrap();
    let mut heard = BTreeMap::new();
    let three = NonZeroUsize::new(3).unwrap();
    let done = prepared.run_by(three, 2, &mut |attempt, again| {
        let how = match &attempt.result {
            TaskResult::Success(_) => "success",
            TaskResult::Failed { .. } => "failed",
            TaskResult::WorkerDied(_) | TaskResult::WorkerUnavailable(_) => "died",
        };
        *heard.entry(how).or_default() += 1;
        assert_eq!(
            again,
            how != "success" && attempt.task.attempt < 3 && !is_refusal(&attempt.result)
        );
    });
    (done.map(drop), heard)
}

fn is_refusal<V>(result: &TaskResult<V, EngineError>) -> bool {
    matches!(result, TaskResult::Failed { is_final: true, .. })
}

#[test]
fn threads_make_what_one_run_makes_whatever_is_in_the_way_once() {
    let splits = splits();
    let one = grown(&splits);
    let before: BTreeSet<Digest> = digests(&one).into_values().collect();
    let method = Fiun::default();
    let request = Request::new(Forget::classes(["cat"]));
    let options = RunOptions::default();
    one.prepare(&request, &method, options)
        .unwrap()
        .run()
        .unwrap();
    let many = grown(&splits);
    let (done, heard) = by_threads(&many, &[("m1", First::Busy), ("m3", First::Panic)]);
    done.unwrap();
    assert_eq!(
        heard,
        BTreeMap::from([("success", 6), ("failed", 1), ("died", 1)])
    );
    assert_eq!(digests(&many), digests(&one));
    assert!(
        digests(&many)
            .into_values()
            .any(|digest| !before.contains(&digest))
    );
    assert_eq!(many.registry().all_drafts().unwrap(), []);
}

#[test]
fn a_refusal_publishes_nothing_and_keeps_what_was_finished() {
    let splits = splits();
    let engine = grown(&splits);
    let before = digests(&engine);
    let (done, heard) = by_threads(&engine, &[("m4", First::Refused)]);
    assert!(matches!(done, Err(EngineError::Setting(why)) if why == "no"));
    assert_eq!(heard.get("failed"), Some(&1), "{heard:?}");
    assert_eq!(digests(&engine), before);
    let (done, again) = by_threads(&engine, &[]);
    done.unwrap();
    assert_eq!(again, BTreeMap::from([("success", 6)]));
}
