//! An Indexed Job of Kubernetes and the job that publishes after it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{Programs, by_one_machine, digests, root, texts, told};

use crate::common::Place;

/// A document of `deploy/kubernetes`.
fn manifest(name: &str) -> Value {
    let file = root().join("deploy/kubernetes").join(name);
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A container of a job, as the cluster would start it: its command line with `$(NAME)` replaced, and its environment.
struct Container {
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl Container {
    /// The only container of a job, for a request.
    fn of(job: &Value, request: &[(&str, &str)]) -> Self {
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        let given = manifest("request.yaml")["data"].clone();
        let mut environment: BTreeMap<String, String> = serde_json::from_value(given).unwrap();
        let request = request.iter();
        environment.extend(request.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for variable in container["env"].as_array().into_iter().flatten() {
            let text = |key: &str| variable[key].as_str().unwrap().to_owned();
            environment.insert(text("name"), text("value"));
        }
        let whole = [texts(&container["command"]), texts(&container["args"])].concat();
        let replaced = whole.into_iter().map(|argument| {
            environment.iter().fold(argument, |text, (name, value)| {
                text.replace(&format!("$({name})"), value)
            })
        });
        Self {
            arguments: replaced.collect(),
            environment,
        }
    }

    fn command(&self, programs: &Programs, place: &Place) -> Command {
        let mut command = programs.command(&self.arguments[0], place);
        let own = self.environment.iter();
        command
            .args(&self.arguments[1..])
            .envs(own.filter(|(name, _)| !name.starts_with("DISINHERIT_")));
        command
    }
}

#[test]
fn an_indexed_job_of_kubernetes_makes_what_one_machine_makes() {
    let grown = Place::grown();
    let wanted = by_one_machine(&grown);
    let many = grown.copy();
    let programs = Programs::new(&[]);
    // The request's bound is not in the manifests: these models know little, and it is added here.
    let request = [("FORGET", "class=3"), ("DATA", "digits")];
    let bound = ["--accept-loss", "0.1"];
    let shards = manifest("shards.yaml");
    let container = Container::of(&shards, &request);
    let completions = shards["spec"]["completions"].as_u64().unwrap();
    assert_eq!(shards["spec"]["completionMode"], "Indexed");
    assert_eq!(container.environment["SHARDS"], completions.to_string());
    let pods: Vec<_> = (0..completions)
        .map(|index| {
            let mut pod = container.command(&programs, &many);
            pod.args(bound)
                .env("JOB_COMPLETION_INDEX", index.to_string());
            pod.stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            pod.spawn().unwrap()
        })
        .collect();
    let mut models = 0;
    for pod in pods {
        let done: Value = serde_json::from_str(&told(&pod.wait_with_output().unwrap())).unwrap();
        models += done["shard"]["models"].as_array().unwrap().len();
    }
    assert_eq!(models, wanted.len() - digests(&grown).len());
    assert_eq!(digests(&many), digests(&grown), "shards publish nothing");
    let publish = Container::of(&manifest("publish.yaml"), &request);
    told(
        &publish
            .command(&programs, &many)
            .args(bound)
            .output()
            .unwrap(),
    );
    assert_eq!(digests(&many), wanted);
}

#[test]
fn both_jobs_of_kubernetes_ask_for_the_same() {
    let [shards, publish] = ["shards.yaml", "publish.yaml"].map(manifest);
    let pod = |job: &Value| job["spec"]["template"]["spec"].clone();
    let without_command = |job: &Value| {
        let mut pod = pod(job);
        for key in ["command", "env"] {
            pod["containers"][0].as_object_mut().unwrap().remove(key);
        }
        pod
    };
    assert_eq!(without_command(&shards), without_command(&publish));
    assert_eq!(pod(&shards)["securityContext"]["runAsNonRoot"], true);
    for job in [&shards, &publish] {
        assert_eq!(
            job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"],
            "models"
        );
    }
}

/// `kubectl`, as far as `run.sh` needs it: every job completes, but the one that is named.
const KUBECTL: &str = r#"#!/usr/bin/env bash
echo "$*" >> "$JOBS/calls"
if [[ "$*" == wait* ]]; then
    if [[ "$*" == *"$FAILS"* ]]; then [[ "$*" == *condition=failed* ]]; else [[ "$*" == *condition=complete* ]]; fi
fi
"#;

#[test]
fn the_publishing_job_waits_for_the_shards() {
    let place = Place::new();
    let calls = |fails: &str| {
        let programs = Programs::new(&[("kubectl", KUBECTL)]);
        let run = root().join("deploy/kubernetes/run.sh");
        let output = programs
            .command(run, &place)
            .env("FAILS", fails)
            .args(["--namespace", "models"])
            .output()
            .unwrap();
        let calls = fs::read_to_string(programs.jobs().join("calls")).unwrap();
        assert!(
            calls
                .lines()
                .all(|call| call.ends_with("--namespace models")),
            "{calls}"
        );
        let at = |what: &str| calls.lines().position(|call| call.contains(what));
        (
            output.status.success(),
            at("shards.yaml"),
            at("complete"),
            at("publish.yaml"),
        )
    };
    let (done, shards, complete, publish) = calls("none of them");
    assert!(done && shards.is_some() && shards < complete && complete < publish);
    let (done, shards, _, publish) = calls("job/disinherit-shards");
    assert!(!done && shards.is_some() && publish.is_none());
}
