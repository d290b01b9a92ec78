//! The composition of containers that is a desk: its files, and its commands as processes of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use disinherit_testkit::{Postgres, S3, skipped};
use serde_json::Value;

use super::{Programs, root, texts, told};

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
