//! Lists of samples that are kept outside of the graph, and what a request asks of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use umig::{
    Forget, KeptSamples, Model, ModelId, Request, RequestError, SampleError, SampleIndex,
    SampleSet, Training, Umig,
};

/// A list in memory; nothing for one that was purged.
#[derive(Debug)]
struct Index(Option<BTreeSet<String>>);

impl SampleIndex for Index {
    fn which(&self, ids: &[&str]) -> Result<Vec<bool>, SampleError> {
        let gone = || SampleError::Gone { list: "l".into() };
        let known = self.0.as_ref().ok_or_else(gone)?;
        Ok(ids.iter().map(|id| known.contains(*id)).collect())
    }

    fn ids(&self) -> Result<Option<Vec<String>>, SampleError> {
        Ok(self.0.as_ref().map(|ids| ids.iter().cloned().collect()))
    }

    fn is_purged(&self) -> bool {
        self.0.is_none()
    }
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

fn kept(ids: &[&str]) -> SampleSet {
    let index = Arc::new(Index(Some(set(ids))));
    SampleSet::Kept(KeptSamples::new("l", ids.len() as u64, false).with_index(index))
}

fn purged() -> SampleSet {
    SampleSet::Kept(KeptSamples::new("l", 3, false).with_index(Arc::new(Index(None))))
}

fn model(samples: SampleSet) -> Model {
    let mut training = Training::new("photos", ["cat"]);
    training.samples = samples;
    Model::new(ModelId::new("m", 1).unwrap(), 1).trained_on(training)
}

fn samples(ids: &[&str]) -> Request {
    Request::new(Forget::Samples(set(ids)))
}

#[test]
fn a_list_answers_as_if_its_ids_were_in_the_graph() {
    let ids = ["a", "b", "c"];
    let inside = model(SampleSet::Listed(set(&ids)));
    let outside = model(kept(&ids));
    for asked in [&["a"][..], &["x"], &["b", "x"], &["a", "b", "c"]] {
        let request = samples(asked);
        assert_eq!(request.concerns(&inside), request.concerns(&outside));
        assert_eq!(request.empties(&inside), request.empties(&outside));
    }
    let forget = Forget::Samples(set(&["b", "x"]));
    let rest = forget.remainder(&outside.training[0]).unwrap().unwrap();
    assert_eq!(
        rest.samples.which(&["a", "b", "c"]),
        Ok(vec![true, false, true])
    );
    let SampleSet::Kept(left) = &rest.samples else {
        panic!("{rest:?}");
    };
    assert_eq!((left.count(), left.taken_out()), (2, &set(&["b"])));
    assert_eq!(left.ids().unwrap().unwrap(), ["a", "c"]);
    // What was taken out is taken out once, and the last one leaves nothing.
    assert_eq!(forget.remainder(&rest).unwrap().unwrap(), rest);
    let all = Forget::Samples(set(&["a", "c"]));
    assert_eq!(all.remainder(&rest), Ok(None));
}

#[test]
fn a_list_that_was_purged_rules_nothing_out() {
    let gone = purged();
    assert!(!gone.is_listed() && gone.is_gone().unwrap());
    assert_eq!(gone.which(&["a", "b"]), Ok(vec![true, true]));
    assert_eq!(samples(&["a"]).concerns(&model(gone)), Ok(true));
    assert!(kept(&["a"]).is_listed() && !kept(&["a"]).is_gone().unwrap());
}

#[test]
fn a_graph_from_a_file_names_its_lists_and_cannot_ask_them() {
    let mut graph = Umig::new();
    graph.add(model(kept(&["a", "b"])), []).unwrap();
    let text = serde_json::to_string(&graph).unwrap();
    assert!(
        text.contains(r#""samples":{"kept":{"list":"l","count":2}}"#),
        "{text}"
    );
    let again: Umig = serde_json::from_str(&text).unwrap();
    assert!(again.models().eq(graph.models()));
    let refused = again.scope(&samples(&["a"])).unwrap_err();
    assert!(
        matches!(&refused, RequestError::Samples(SampleError::Detached { list }) if list == "l"),
        "{refused}"
    );
    // Of a list that was not written yet there is no text that would be right.
    let rest = samples(&["a"])
        .forget
        .remainder(&model(kept(&["a", "b"])).training[0]);
    assert!(serde_json::to_string(&rest.unwrap()).is_err());
}
