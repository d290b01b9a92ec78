//! Arrows between crates: `cli, server, python -> audit -> report, desk -> lab -> disinherit -> registry, nets ->
//! formats, data, umig, fiun`. Tests may know everybody.

use crate::finding::{Finding, Rule};
use crate::workspace::Package;

/// The floors of the house, the lowest first. A package may need those on lower floors.
const FLOORS: &[&[&str]] = &[
    &[
        "disinherit-formats",
        "disinherit-data",
        "umig",
        "fiun",
        "disinherit-testkit",
        "disinherit-unified",
        "xtask",
    ],
    &["disinherit-registry", "disinherit-nets"],
    &["disinherit"],
    &["disinherit-lab"],
    &["disinherit-report", "disinherit-desk"],
    &["disinherit-audit"],
    &["disinherit-server"],
    &["disinherit-cli", "disinherit-python", "benches"],
];

/// What front ends may need.
const DOORS: &[&str] = &[
    "disinherit",
    "disinherit-lab",
    "disinherit-report",
    "disinherit-desk",
    "disinherit-audit",
    // The command line starts it.
    "disinherit-server",
];

/// Those on the top floor that come in by the doors only.
const FRONT_ENDS: &[&str] = &["disinherit-cli", "disinherit-server", "disinherit-python"];

/// For tests and benchmarks only.
const TESTKIT: &str = "disinherit-testkit";

/// What measures.
const BENCHES: &str = "benches";

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

/// Whether a package is made of functions whose signatures another language dictates.
pub(super) fn is_bindings(package: &Package) -> bool {
    package.name == "disinherit-python"
}

/// What a package needs and should not; `manifest` is the text of its `Cargo.toml`.
pub(super) fn check(package: &Package, manifest: &str) -> Vec<Finding> {
    let finding = |line, message, help: &str| Finding {
        rule: Rule::Arrow,
        file: package.manifest.clone(),
        line,
        message,
        help: help.to_owned(),
    };
    let name = &package.name[..];
    let Some(own) = floor(name) else {
        return vec![finding(
            1,
            format!("`{name}` has no place in the house"),
            "give it a floor in xtask/src/modules/arrows.rs and a row in docs/design.md",
        )];
    };
    let mut found = Vec::new();
    for need in &package.needs {
        let line = line_of(manifest, need);
        if need == TESTKIT && name != BENCHES {
            let message = format!("`{name}` needs `{need}` outside of its tests");
            found.push(finding(line, message, "move it to [dev-dependencies]"));
        } else if FRONT_ENDS.contains(&name) && !DOORS.contains(&&need[..]) {
            found.push(finding(
                line,
                format!("the front end `{name}` needs `{need}`"),
                "come in by a door: let `disinherit`, `disinherit-lab`, `disinherit-report`, `disinherit-desk` or \
                 `disinherit-audit` give what is needed",
            ));
        } else if floor(need).is_none_or(|floor| floor >= own) {
            let up = floor(need).is_some_and(|floor| floor == own);
            let where_to = if up { "beside" } else { "above" };
            found.push(finding(
                line,
                format!("`{name}` needs `{need}`, which is {where_to} it"),
                "move what is needed to a lower crate, or what needs it to a higher one",
            ));
        }
    }
    found
}

/// Where a manifest names a dependency.
fn line_of(manifest: &str, need: &str) -> usize {
    let names = |line: &str| {
        let rest = line.strip_prefix(need);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    manifest.lines().position(names).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str]) -> Package {
        Package {
            name: name.into(),
            manifest: "Cargo.toml".into(),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            roots: Vec::new(),
        }
    }

    fn messages(name: &str, needs: &[&str]) -> Vec<String> {
        let found = check(&package(name, needs), "").into_iter();
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn down_is_allowed() {
        for (name, needs) in [
            ("disinherit-cli", &["disinherit", "disinherit-report"][..]),
            ("disinherit-registry", &["disinherit-formats", "umig"]),
            ("disinherit-lab", &["disinherit", "disinherit-nets"]),
            ("benches", &["fiun", "disinherit-nets"]),
        ] {
            assert_eq!(messages(name, needs), Vec::<String>::new());
        }
    }

    #[test]
    fn up_sideways_and_by_the_window_are_told() {
        for (name, need, words) in [
            ("fiun", "disinherit", "above it"),
            ("disinherit-nets", "disinherit-registry", "beside it"),
            ("disinherit-cli", "fiun", "the front end"),
            ("disinherit", "disinherit-testkit", "outside of its tests"),
        ] {
            let told = messages(name, &[need]);
            assert!(told[0].contains(words) && told.len() == 1, "{told:?}");
        }
        assert!(messages("stranger", &[])[0].contains("no place"));
    }

    #[test]
    fn the_line_is_that_of_the_dependency() {
        let manifest = "[dependencies]\nfiun-more = \"1\"\nfiun.workspace = true\n";
        let found = check(&package("umig", &["fiun"]), manifest);
        assert_eq!(found[0].line, 3);
    }
}
