//! The operation log as OpenLineage events (<https://openlineage.io>): one run for each operation, with versions of
//! models as data sets.
//!
//! A version is the data set `name@version`; a symlink says which model it is a version of. What a request replaced
//! is read, the new version is written with the state change `OVERWRITE`; a version that is new otherwise is a
//! `CREATE`, one that was retired an `ALTER`, and one whose weights were deleted a `DROP`.

use std::collections::BTreeSet;

use disinherit::certificate::timestamp;
use disinherit::registry::{OperationRecord, OperationRow};
use disinherit::umig::{ModelId, Umig};
use serde_json::{Value, json};

use crate::uuid::uuid;

const PRODUCER: &str = "https://github.com/disinherit/disinherit";
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const RUN_FACET: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet";
/// What a data set that was trained on belongs to.
const DATA: &str = "data";

/// The events of some operations, in their order; `namespace` is that of jobs and models.
pub fn lineage_events(log: &[OperationRow], graph: &Umig, namespace: &str) -> Vec<Value> {
    let events = log.iter().map(|row| event(row, graph, namespace));
    events.collect()
}

fn event(row: &OperationRow, graph: &Umig, namespace: &str) -> Value {
    let record = row.record().ok();
    let (inputs, outputs) = data_sets(row, record.as_ref(), graph, namespace);
    json!({
        "eventTime": timestamp(row.time),
        "eventType": "COMPLETE",
        "producer": PRODUCER,
        "schemaURL": EVENT,
        "run": {
            "runId": uuid(&row.hash),
            "facets": {"disinherit_operation": operation(row, record.as_ref())},
        },
        "job": {
            "namespace": namespace,
            "name": row.command,
            "facets": {"jobType": facet("2-0-4", "JobType", "Job", json!({
                "processingType": "BATCH",
                "integration": "DISINHERIT",
                "jobType": "JOB",
            }))},
        },
        "inputs": inputs,
        "outputs": outputs,
    })
}

fn facet(version: &str, name: &str, of: &str, mut content: Value) -> Value {
    let name = format!("{name}{of}Facet");
    content["_producer"] = PRODUCER.into();
    content["_schemaURL"] =
        format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}").into();
    content
}

/// What of an operation no facet of OpenLineage has a place for.
fn operation(row: &OperationRow, record: Option<&OperationRecord>) -> Value {
    let mut facet = json!({
        "_producer": PRODUCER,
        "_schemaURL": RUN_FACET,
        "operation": row.id.get(),
        "actor": row.actor,
        "hash": row.hash,
    });
    match record {
        Some(OperationRecord::Unlearn(request)) => {
            facet["request"] = request.id.to_string().into();
            facet["forget"] = request.request.forget.to_string().into();
            facet["method"] = request.method.to_string().into();
        }
        Some(OperationRecord::Purge(purge)) => facet["reason"] = purge.reason.clone().into(),
        Some(OperationRecord::Undo(undo)) => facet["undoes"] = undo.undoes.get().into(),
        _ => {}
    }
    facet
}

/// What an operation read, and what it wrote.
fn data_sets(
    row: &OperationRow,
    record: Option<&OperationRecord>,
    graph: &Umig,
    namespace: &str,
) -> (Vec<Value>, Vec<Value>) {
    let made = &row.made;
    let version = |id: &ModelId| data_set(id, namespace, None);
    let changed = |id: &ModelId, change| data_set(id, namespace, Some(change));
    let mut inputs: BTreeSet<&ModelId> = BTreeSet::new();
    let mut trained: BTreeSet<&str> = BTreeSet::new();
    let mut outputs = Vec::new();
    let replacing = matches!(record, Some(OperationRecord::Unlearn(_)));
    for (id, _) in &made.models {
        inputs.extend(graph.parents(id).into_iter().map(|(parent, _)| parent));
        // A version that a request made was trained on nothing more.
        if let Some(model) = graph.get(id).filter(|_| !replacing) {
            trained.extend(model.training.iter().map(|training| training.data.as_str()));
        }
        outputs.push(changed(id, if replacing { "OVERWRITE" } else { "CREATE" }));
    }
    match record {
        Some(OperationRecord::Unlearn(request)) => {
            inputs.extend(request.replaced());
            outputs.extend(
                request
                    .retired
                    .iter()
                    .map(|gone| changed(&gone.model, "ALTER")),
            );
        }
        Some(OperationRecord::Fisher(card)) => drop(inputs.insert(&card.model)),
        Some(OperationRecord::FisherImport(card)) => drop(inputs.insert(&card.model)),
        _ => {}
    }
    outputs.extend(made.restored.iter().map(|id| changed(id, "OVERWRITE")));
    for id in made.removed.iter().chain(&made.purged) {
        outputs.push(changed(id, "DROP"));
    }
    let data = |name: &&str| json!({"namespace": DATA, "name": name});
    let mut read: Vec<Value> = inputs.into_iter().map(version).collect();
    read.extend(trained.iter().map(data));
    (read, outputs)
}

fn data_set(id: &ModelId, namespace: &str, change: Option<&str>) -> Value {
    let identifier = json!({"namespace": namespace, "name": id.name(), "type": "MODEL"});
    let mut facets = json!({
        "version": facet("1-0-1", "DatasetVersion", "Dataset", json!({
            "datasetVersion": id.version().to_string(),
        })),
        "symlinks": facet("1-0-1", "Symlinks", "Dataset", json!({"identifiers": [identifier]})),
    });
    if let Some(change) = change {
        let content = json!({"lifecycleStateChange": change});
        facets["lifecycleStateChange"] = facet("1-0-1", "LifecycleStateChange", "Dataset", content);
    }
    json!({"namespace": namespace, "name": id.to_string(), "facets": facets})
}
