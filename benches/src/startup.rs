//! How long a person waits for an answer: whole processes, measured from outside.

use std::error::Error;

use disinherit_registry::{NewModel, Registry};
use umig::{ModelId, Relation};

use crate::line::Line;
use crate::{peer, program, scale};

/// Models of the registry.
const MODELS: usize = 100_000;

/// Versions that one operation replaces.
const REPLACED: usize = 10_000;

/// How often each process is started; the shortest time counts.
const ROUNDS: usize = 15;

/// Seconds that a page of `list` may take.
const PAGE: f64 = 0.050;

/// Seconds that `import disinherit` may take.
const IMPORT: f64 = 0.150;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let program = program::disinherit()?;
    let folder = tempfile::tempdir()?;
    {
        let registry = Registry::create(folder.path())?;
        scale::fill(&registry, MODELS)?;
        replace(&registry)?;
    }
    let list = |arguments: &[&str]| {
        let mut all = vec!["list", "--registry"];
        let place = folder.path().to_string_lossy();
        all.push(&place);
        all.extend(arguments);
        program::seconds(program.as_os_str(), &all, ROUNDS)
    };
    let version = program::seconds(program.as_os_str(), &["--version"], ROUNDS)?;
    let mut lines = vec![Line::milliseconds(
        "disinherit --version",
        version,
        None,
        "-",
    )];
    let what = |what: &str| format!("disinherit list, {what} of {MODELS} models");
    for (name, arguments) in [
        ("the first page of 100", &[][..]),
        ("a page of superseded ones", &["--state", "superseded"]),
        ("100 by prefix", &["model-0999"]),
    ] {
        let page = list(arguments)?;
        lines.push(Line::milliseconds(
            &what(name),
            page,
            Some(PAGE),
            "the bound",
        ));
    }
    let all = list(&["--limit", "100000"])?;
    lines.push(Line::milliseconds(&what("all lines"), all, None, "-"));
    lines.extend(python());
    Ok(lines)
}

/// Later versions of many models, as a large request publishes them: one entry of the log with a line for each.
fn replace(registry: &Registry) -> Result<(), Box<dyn Error>> {
    let rows = registry.models()?.into_iter().take(REPLACED);
    let mut superseded = Vec::with_capacity(REPLACED);
    let mut models = Vec::with_capacity(REPLACED);
    for mut row in rows {
        let before = row.vertex.id.clone();
        row.vertex.id = ModelId::new(before.name(), 2)?;
        let from = Relation::UnlearnedFrom {
            request: "request-0".into(),
        };
        models.push(NewModel {
            row,
            parents: vec![(before.clone(), from)],
        });
        superseded.push(before);
    }
    let mut publication = scale::publication(models);
    publication.superseded = superseded;
    registry.publish(&publication)?;
    Ok(())
}

/// The Python package, where the interpreter has it, and the interpreter without it.
fn python() -> Option<Line> {
    let interpreter = peer::interpreter();
    let import = ["-c", "import disinherit"];
    let import = program::seconds(interpreter.as_ref(), &import, ROUNDS).ok()?;
    Some(Line::milliseconds(
        "import disinherit",
        import,
        Some(IMPORT),
        "the bound",
    ))
}
