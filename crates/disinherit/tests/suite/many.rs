//! Requests over more models than stay open.

use std::collections::BTreeMap;

use disinherit::data::Splits;
use disinherit::import::add_tensors;
use disinherit::registry::{Digest, Registry};
use disinherit::umig::{Forget, Relation, Request};
use disinherit::{Engine, Fiun, RunOptions};

use crate::forget_a_class::{LABELS, clouds, head, new_model};

/// As many as stay open, with their initial model.
const OPEN: usize = 1024;

/// Forgets `cat` in a base and in so many models that inherited from it; the new versions of the first few.
fn edited(splits: &Splits, inherited: usize) -> BTreeMap<String, Digest> {
    let engine = Engine::new(Registry::in_memory().unwrap()).with_data(splits);
    let base = new_model("base", Vec::new(), &LABELS);
    add_tensors(engine.registry(), &base, &head(3.0, &[4, 4])).unwrap();
    for number in 0..inherited {
        let parents = vec![("base".to_owned(), Relation::FineTune)];
        let mut model = new_model(&format!("m{number}"), parents, &["ant", "bee", "dog"]);
        if number == 1 {
            // Kept as what it differs in from the base it would have the base's labels.
            model.labels.reverse();
        }
        let weights = head(3.0 + (number % 5) as f32 / 4.0, &[4, 4]);
        add_tensors(engine.registry(), &model, &weights).unwrap();
    }
    let request = Request::new(Forget::classes(["cat"]));
    let method = Fiun::default();
    let prepared = engine.prepare(&request, &method, RunOptions::default());
    let done = prepared.unwrap().run().unwrap().unlearned;
    assert_eq!(done.models.len(), inherited + 1);
    let first = |name: &str| ["base", "m0", "m1", "m2", "m3"].contains(&name);
    let digests = engine.registry().digests().unwrap().into_iter();
    digests
        .filter(|(id, _)| id.version() == 2 && first(id.name()))
        .map(|(id, digest)| (id.to_string(), digest))
        .collect()
}

#[test]
fn models_that_were_closed_meanwhile_are_edited_as_those_that_stay_open() {
    let splits = Splits {
        train: clouds("clouds", 40).unwrap(),
        heldout: clouds("unseen", 20).unwrap(),
    };
    let few = edited(&splits, 4);
    assert_eq!(few.len(), 5);
    assert_eq!(edited(&splits, OPEN + 6), few);
}
