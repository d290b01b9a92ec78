//! Shadow networks: what they tell of methods, what they leave alone, and that they are taken up again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use disinherit::evaluation::{Depth, ShadowVerdict, Verdicts};
use disinherit::{Engine, FiunOptions};
use disinherit_lab::{MethodKind, Recipe, Study, StudyOptions, Variant, run_study};
use disinherit_registry::Registry;

use crate::common::digits;

const RECIPE: &str = r#"
name = "with-shadows"
seed = 1
[data]
source = "digits"
clients = 2
limit = 400
[forget]
classes = ["3"]
[network]
architecture = "small-cnn"
[training]
learning_rate = 0.05
momentum = 0.9
epochs = 10
batch_size = 16
[[model]]
name = "a"
client = 1
[[model]]
name = "b"
client = 2
parents = ["a"]
epochs = 5
"#;

const SHADOWS: usize = 7;

fn study(registry: &Arc<Registry>, keep: Option<&Path>, shadows: usize) -> Study {
    let options = StudyOptions {
        fiun: FiunOptions::default(),
        jobs: 0,
        variants: [MethodKind::Mask, MethodKind::Retrain]
            .map(Variant::from)
            .to_vec(),
        depth: Depth::OUTPUTS,
        publish: None,
        keep: keep.map(Into::into),
        shadows,
    };
    let recipe = Recipe::parse(RECIPE).unwrap();
    let engine = Engine::new(Arc::clone(registry));
    run_study(&engine, &recipe, &digits(), &options).unwrap()
}

/// The verdicts of all models, before and after each method.
fn verdicts(study: &Study) -> Vec<&Verdicts> {
    let before = study.models.iter().map(|model| &model.before);
    let after = study.results.iter().flat_map(|result| &result.models);
    before.chain(after.map(|model| &model.verdicts)).collect()
}

fn of(study: &Study, method: MethodKind) -> Vec<&ShadowVerdict> {
    let models = &study.result(method.into()).unwrap().models;
    let found = models.iter().map(|m| m.verdicts.shadows.as_ref().unwrap());
    found.collect()
}

/// The accuracy of the attack, and the divergence on forget samples.
fn figures(found: &ShadowVerdict) -> [f64; 2] {
    let forget = found.klom.unwrap().forget.unwrap();
    [found.attack.unwrap().accuracy.mean, forget.mean]
}

#[test]
fn what_was_not_forgotten_is_told_from_what_was_never_learnt() {
    let registry = Arc::new(Registry::in_memory().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let study_of = |shadows| study(&registry, Some(folder.path()), shadows);
    let without = study_of(0);
    assert!(verdicts(&without).iter().all(|v| v.shadows.is_none()));
    let log = registry.operations().unwrap().len();
    let found = study_of(SHADOWS);
    // The study's own registry knows nothing of the shadows.
    assert_eq!(registry.operations().unwrap().len(), log);
    assert_eq!(found.models.len(), 2);

    for (masked, retrained) in of(&found, MethodKind::Mask)
        .into_iter()
        .zip(of(&found, MethodKind::Retrain))
    {
        assert_eq!((masked.networks, retrained.networks), (8, 8));
        let ([told, apart], [guessed, floor]) = (figures(masked), figures(retrained));
        assert!(told > 0.95, "{masked:?}");
        assert!(guessed < 0.7, "{retrained:?}");
        assert!(apart > floor + 1.0, "{masked:?} {retrained:?}");
        // Masking leaves what is retained where it was.
        let retain = |found: &ShadowVerdict| found.klom.unwrap().heldout.unwrap().mean;
        assert!(retain(masked) < apart, "{masked:?}");
    }
    for model in &found.models {
        let [told, _] = figures(model.before.shadows.as_ref().unwrap());
        assert!(told > 0.95, "{model:?}");
    }

    // What is kept is not grown again, and what is missing is.
    let shadow = |number: usize| folder.path().join(format!("shadow-{number}"));
    fs::remove_dir_all(shadow(1).join(".disinherit")).unwrap();
    fs::remove_file(shadow(2).join("log-odds-mask.json")).unwrap();
    let again = study_of(SHADOWS);
    assert_eq!(verdicts(&again), verdicts(&found));
    assert!(!shadow(1).join(".disinherit").exists());
    assert!(shadow(2).join("log-odds-mask.json").exists());
    // Other seeds, other models, of the same samples.
    let said = |number| fs::read(shadow(number).join("log-odds-retrain.json")).unwrap();
    assert_ne!(said(1), said(2));
}

#[test]
fn without_a_folder_shadows_live_in_memory() {
    let registry = Arc::new(Registry::in_memory().unwrap());
    let found = study(&registry, None, 2);
    for verdict in of(&found, MethodKind::Mask) {
        assert!(
            verdict.attack.is_some() && verdict.klom.is_none(),
            "{verdict:?}"
        );
    }
    // Three networks have no two halves to compare.
    assert!(
        of(&found, MethodKind::Retrain)
            .iter()
            .all(|v| v.attack.is_none())
    );
    assert_eq!(registry.operations().unwrap().len(), 2);
}
