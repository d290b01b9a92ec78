//! A registry that version 0.1.0 wrote, opened by today's service: a request goes its way there. In PostgreSQL the
//! catalog is at its first migration, with the same rows.

use std::fs;
use std::path::{Path, PathBuf};

use disinherit_registry::check_chain;
use disinherit_testkit::{Postgres, skipped};
use serde_json::{Value, json};
use sqlx::any::install_default_drivers;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyPool, AssertSqlSafe, Row, SqlStr, SqlitePool};

use crate::common::server::{FLAGS, Server, token};
use crate::common::{Place, copy_folder};

/// The catalog's tables as version 0.1.0 has them: what each row holds, and their order.
const TABLES: [(&str, &str, &str); 6] = [
    (
        "models",
        "name, version, manifest, vertex, superseded, purged, superseded_by",
        "position",
    ),
    ("edges", "child, parent, relation", "position"),
    ("cards", "model, estimator, blob", "position"),
    (
        "operations",
        "id, time, command, detail, actor, made, previous, hash",
        "id",
    ),
    ("drafts", "request, task, time, value, blobs", "task"),
    ("settings", "name, value", "name"),
];

const FIRST: &str = include_str!("../../../../registry/migrations/postgres/0001_catalog.sql");

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The registry of version 0.1.0 in a folder of its own.
fn old() -> Place {
    let place = Place {
        folder: tempfile::tempdir().unwrap(),
    };
    copy_folder(&golden().join("registry"), &place.path(".disinherit"));
    place
}

/// Moves the catalog of an old registry into PostgreSQL as its first migration has it.
async fn moved(place: &Place, address: &str) {
    install_default_drivers();
    let file = place.path(".disinherit/catalog.sqlite");
    let from = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file));
    let (from, to) = (
        from.await.unwrap(),
        AnyPool::connect(address).await.unwrap(),
    );
    let text = SqlStr::from_static(FIRST);
    let first = Migration::new(1, "catalog".into(), MigrationType::Simple, text, false);
    let migrator = Migrator::with_migrations(vec![first]);
    migrator.run(&to).await.unwrap();
    for (table, columns, order) in TABLES {
        let text = format!("SELECT {columns} FROM {table} ORDER BY {order}");
        let rows = sqlx::query(AssertSqlSafe(text))
            .fetch_all(&from)
            .await
            .unwrap();
        assert!(!rows.is_empty(), "{table}");
        let count = columns.split(',').count();
        let places: Vec<String> = (1..=count).map(|at| format!("${at}")).collect();
        let text = format!(
            "INSERT INTO {table} ({columns}) VALUES ({})",
            places.join(", ")
        );
        for row in rows {
            let mut insert = sqlx::query(AssertSqlSafe(text.clone()));
            for at in 0..count {
                insert = match row.try_get::<i64, _>(at) {
                    Ok(number) => insert.bind(number),
                    Err(_) => insert.bind(row.get::<String, _>(at)),
                };
            }
            insert.execute(&to).await.unwrap();
        }
    }
    from.close().await;
    to.close().await;
    fs::remove_file(file).unwrap();
    let marker = json!({"format": 2, "tool": "disinherit 0.1.0", "catalog": address});
    fs::write(place.path(".disinherit/registry.json"), marker.to_string()).unwrap();
}

fn goes_its_way(place: &Place) {
    place.run(&["key", "proof.pem"]).success();
    let server = Server::start(place, &FLAGS, None);
    let admin = token(place, "ann", "admin");
    let body = json!({"forget": {"classes": ["7"]}, "from": ["r1"]});
    let filed = server.post(&admin, "/api/v1/requests", &body);
    assert_eq!(filed.status, 201, "{}", filed.text);
    server.step(&admin, "plan", &json!({"accept_loss": 0.5}));
    server.step(&admin, "approve", &json!({}));
    for job in ["run", "verify"] {
        server.step(&admin, job, &json!({}));
        let ended = server.job(&admin);
        assert_eq!(ended["state"], "done", "{ended}");
    }
    for step in ["certify", "purge", "close"] {
        server.step(&admin, step, &json!({}));
    }
    let request = server.get(&admin, "/api/v1/requests/1").json();
    assert_eq!(request["state"], "closed");
    assert_eq!(
        server.get(&admin, "/api/v1/log").json()["altered"],
        json!([])
    );
    assert_eq!(server.get(&admin, "/requests/1/report").status, 200);
    assert!(server.stop());

    // The old entries are what they were, and the new ones follow them.
    let log = place.registry().operations().unwrap();
    let recorded = fs::read(golden().join("stored.json")).unwrap();
    let recorded: Value = serde_json::from_slice(&recorded).unwrap();
    let recorded = recorded["operations"].as_array().unwrap();
    let hashes = log.iter().map(|row| json!(row.hash));
    let old: Vec<Value> = hashes.take(recorded.len()).collect();
    let known: Vec<Value> = recorded.iter().map(|row| row[7].clone()).collect();
    assert_eq!(old, known);
    assert!(log.len() > recorded.len() + 6);
    assert_eq!(check_chain(&log), Vec::<String>::new());
    place.run(&["fsck"]).success();
}

#[test]
fn an_old_registry_is_served() {
    goes_its_way(&old());
}

#[test]
fn an_old_catalog_in_postgres_is_served() {
    let database = match Postgres::start() {
        Ok(database) => database,
        Err(why) => return skipped("an old catalog in PostgreSQL", &why),
    };
    let place = old();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(moved(&place, &database.address()));
    goes_its_way(&place);
}
