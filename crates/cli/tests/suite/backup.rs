//! Backup and restore as `docs/backup.md` says it, and the service's unit as it stands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use disinherit_testkit::{Postgres, S3, skipped};

use crate::common::{GROW, Place};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What the page has `sqlite3` do.
fn vacuum_into(from: &Path, to: &Path) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        use sqlx::{Connection, SqliteConnection};
        let url = format!("sqlite://{}", from.display());
        let mut catalog = SqliteConnection::connect(&url).await.unwrap();
        let text = format!("VACUUM INTO '{}'", to.display());
        sqlx::raw_sql(sqlx::AssertSqlSafe(text))
            .execute(&mut catalog)
            .await
            .unwrap();
    });
}

/// As `cp --recursive`, which goes on where a temporary file is gone that it was about to copy.
fn copy_objects(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_objects(&path, &target);
        } else if let Err(error) = fs::copy(&path, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// Catalog first, objects after it.
fn back_up(place: &Place) -> Place {
    let copy = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    let (from, to) = (place.path(".disinherit"), copy.path(".disinherit"));
    fs::create_dir_all(&to).unwrap();
    vacuum_into(&from.join("catalog.sqlite"), &to.join("catalog.sqlite"));
    fs::copy(from.join("registry.json"), to.join("registry.json")).unwrap();
    copy_objects(&from.join("objects"), &to.join("objects"));
    copy
}

#[test]
fn a_backup_that_is_taken_while_requests_run_is_whole() {
    let place = Place::grown();
    let unlearn = ["unlearn", "--data", "digits", "--accept-loss", "0.2"];
    let done = AtomicBool::new(false);
    let backups = std::thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let mut backups = vec![back_up(&place)];
            while !done.load(Ordering::Relaxed) {
                backups.push(back_up(&place));
            }
            backups.push(back_up(&place));
            backups
        });
        for class in ["class=3", "class=5"] {
            place
                .run(&[&unlearn[..], &["--forget", class]].concat())
                .success();
        }
        done.store(true, Ordering::Relaxed);
        taking.join().unwrap()
    });
    let counts: Vec<usize> = backups
        .iter()
        .map(|backup| {
            backup.run(&["fsck"]).success();
            backup.registry().operations().unwrap().len()
        })
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    assert_eq!(counts.last(), Some(&(counts[0] + 2)), "{counts:?}");
    // What was restored goes on.
    let last = backups.last().unwrap();
    last.run(&[&unlearn[..], &["--forget", "class=7"]].concat())
        .success();
}

/// A registry with its catalog in PostgreSQL and its objects in S3.
struct Shared {
    database: Postgres,
    storage: S3,
}

/// Why there is none.
type Missing = String;

impl Shared {
    fn grown() -> Result<Self, Missing> {
        let shared = Self {
            database: Postgres::start()?,
            storage: S3::start()?,
        };
        shared.text(&["init", "--catalog", &shared.database.address()]);
        shared.text(&GROW);
        Ok(shared)
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
            .envs(self.storage.environment())
            .env("DISINHERIT_ACTOR", "tester")
            .env("DISINHERIT_REGISTRY", REGISTRY)
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn operations(&self) -> usize {
        let log = self.text(&["log", "--operations", "--json"]);
        let log: serde_json::Value = serde_json::from_str(&log).unwrap();
        log.as_array().unwrap().len()
    }

    /// Catalog first, objects after it; restored at once, into another database and another bucket.
    fn back_up_and_restore(&self) -> Result<Self, Missing> {
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("catalog.dump");
        let dump = dump.to_str().unwrap();
        let from = self.database.address();
        ran(Postgres::client("pg_dump")?.args(["--format", "custom", "--file", dump, &from]));
        let storage = self.storage.copy()?;
        let database = Postgres::start()?;
        let to = database.address();
        ran(Postgres::client("pg_restore")?.args(["--no-owner", "--dbname", &to, dump]));
        // The registry names its catalog: it is at another address now.
        let marker = storage.file("team/registry.json");
        let text = fs::read_to_string(&marker).unwrap();
        let mut said: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(said["catalog"], from);
        said["catalog"] = to.into();
        fs::write(&marker, said.to_string()).unwrap();
        Ok(Self { database, storage })
    }
}

const REGISTRY: &str = "s3://models/team";

fn ran(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

#[test]
fn a_backup_of_postgres_and_s3_is_whole() {
    let shared = match Shared::grown() {
        Ok(shared) => shared,
        Err(why) => return skipped("a backup of PostgreSQL and S3", &why),
    };
    let unlearn = ["unlearn", "--data", "digits", "--accept-loss", "0.2"];
    let with = |class: &'static str| [&unlearn[..], &["--forget", class]].concat();
    let before = shared.operations();
    let done = AtomicBool::new(false);
    let during = std::thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let mut taken = vec![shared.back_up_and_restore().unwrap()];
            while !done.load(Ordering::Relaxed) && taken.len() < 2 {
                taken.push(shared.back_up_and_restore().unwrap());
            }
            taken
        });
        shared.text(&with("class=3"));
        done.store(true, Ordering::Relaxed);
        taking.join().unwrap()
    });
    for backup in during {
        backup.text(&["fsck"]);
        assert!((before..=before + 1).contains(&backup.operations()));
    }
    let last = shared.back_up_and_restore().unwrap();
    let log = ["log", "--operations", "--json"];
    assert_eq!(last.text(&log), shared.text(&log));
    last.text(&["fsck"]);
    // What was restored goes on, and leaves the one that it was copied from alone.
    last.text(&with("class=5"));
    last.text(&["fsck"]);
    assert_eq!(last.operations(), before + 2);
    assert_eq!(shared.operations(), before + 1);
}

#[test]
fn the_unit_and_its_settings_are_what_the_programs_take() {
    let service = root().join("deploy/service");
    let settings = service.join("serve.toml");
    let settings = settings.to_str().unwrap();
    let place = Place::new();
    let shown = place.text(&["serve", "--config", settings, "--print-config"]);
    assert!(
        shown.contains("registry = \"/var/lib/disinherit\""),
        "{shown}"
    );
    assert!(
        shown.contains("trusted-proxy = [\"127.0.0.1/32\"]"),
        "{shown}"
    );
    let unit = fs::read_to_string(service.join("disinherit.service")).unwrap();
    let program = assert_cmd::cargo::cargo_bin!("disinherit");
    let unit = unit.replace("/usr/local/bin/disinherit", program.to_str().unwrap());
    let copy = place.path("disinherit.service");
    fs::write(&copy, unit).unwrap();
    let checked = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&copy)
        .output();
    let Ok(checked) = checked else {
        return skipped("the unit of the service", "there is no `systemd-analyze`");
    };
    let told = String::from_utf8_lossy(&checked.stderr);
    let ours: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("disinherit.service"))
        .collect();
    assert!(ours.is_empty(), "{told}");
}
