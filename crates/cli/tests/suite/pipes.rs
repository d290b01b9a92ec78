//! Readers that close the pipe early (`disinherit list | head -1`), and disks that are full.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::common::{Place, add};

fn place() -> Place {
    let place = Place::new();
    let file = place.checkpoint("base.safetensors", |_| {});
    let seen = ["--trained-on", "digits", "--trained-labels", "3,4"];
    place.run(&add(&file, "base", &seen)).success();
    for name in ["b", "c", "d"] {
        let more = [&seen[..], &["--parent", "base"]].concat();
        place.run(&add(&file, name, &more)).success();
    }
    place
}

fn command(place: &Place, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"));
    command
        .current_dir(place.folder.path())
        .env_remove("DISINHERIT_REGISTRY")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const PRINTING: [&[&str]; 14] = [
    &["list"],
    &["list", "--json"],
    &["log"],
    &["log", "--json"],
    &["log", "--operations"],
    &["graph"],
    &["graph", "--dot"],
    &["graph", "--json"],
    &["show", "base"],
    &["show", "1"],
    &["plan", "--forget", "class=3"],
    &["plan", "--forget", "class=3", "--json"],
    &["fsck"],
    &["recipes", "fl-digits"],
];

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let place = place();
    for arguments in PRINTING {
        // Closed before the first byte.
        let mut child = command(&place, arguments).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {errors}");
        assert_eq!(errors, "", "{arguments:?}");
        // Closed after the first line.
        let mut child = command(&place, arguments).spawn().unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        drop(reader);
        let done = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(line.ends_with('\n'), "{arguments:?}: {line}");
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {errors}");
        assert_eq!(errors, "", "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = place();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let done = command(&place, &["list", "--json"])
        .stdout(full)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(3), "{errors}");
    assert!(
        errors.starts_with("error: cannot write to standard output"),
        "{errors}"
    );
}

#[test]
fn the_log_is_silent_until_it_is_asked_for() {
    let place = place();
    let run = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = command(&place, arguments);
        command.env_remove("RUST_LOG").env_remove("DISINHERIT_LOG");
        command.envs(variable);
        let done = command.output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert_eq!(run(&["list"], None), "");
    for said in [
        run(&["list", "--log", "info"], None),
        run(&["list"], Some(("DISINHERIT_LOG", "disinherit=info"))),
        run(&["list"], Some(("RUST_LOG", "info"))),
    ] {
        for words in ["registry opened", "finished", "list", "seconds"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    let said = run(&["graph", "--log", "disinherit_registry=debug"], None);
    assert_eq!(said.matches("the graph was read").count(), 1, "{said}");
    assert_eq!(
        run(&["list", "--log", "off"], Some(("RUST_LOG", "info"))),
        ""
    );
}
