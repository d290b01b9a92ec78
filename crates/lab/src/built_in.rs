//! The recipes that come with the program.

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../recipes/", $name, ".toml")))),*]
    };
}

/// The built-in recipes: their names, and their text, which [`Recipe::parse`](crate::Recipe::parse) reads.
pub const BUILT_IN: &[(&str, &str)] = built_in![
    "fl-digits",
    "fl-digits-noniid",
    "fl-digits-residual",
    "ddpl-digits",
    "il-digits",
    "tl-digits",
    "tl-digits-residual",
    "multi-digits",
    "depth-digits",
    "samples-digits",
    "client-digits",
    "samples-cifar10",
    "samples-cifar10-resnet20",
    "samples-cifar10-resnet18",
    "client-cifar10",
    "fl-cifar10",
    "fl-cifar10-alexnet",
    "fl-cifar10-resnet20",
    "ddpl-cifar10",
    "il-cifar10",
    "tl-cifar10",
    "tl-cifar10-resnet20",
    "multi-cifar10",
    "fl-caltech101",
    "ddpl-caltech101",
    "il-caltech101",
    "tl-caltech101",
    "fl-newsgroups-lstm",
    "fl-newsgroups-gated-cnn",
    "fl-newsgroups-bert-tiny",
];

/// The text of a built-in recipe.
pub fn built_in(name: &str) -> Option<&'static str> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use super::*;
    use crate::Recipe;

    #[test]
    fn every_recipe_of_the_folder_is_built_in_and_can_be_read() {
        for (name, text) in BUILT_IN {
            assert_eq!(Recipe::parse(text).unwrap().name, *name);
        }
        assert!(built_in("fl-digits").is_some() && built_in("none").is_none());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), BUILT_IN.len());
    }
}
