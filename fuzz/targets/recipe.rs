//! Recipes.
#![no_main]

use disinherit_lab::Recipe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(recipe) = Recipe::parse(text) {
        // What was believed can be believed again.
        assert!(recipe.check().is_ok());
        for model in &recipe.models {
            let _ = model.relation();
        }
    }
});
