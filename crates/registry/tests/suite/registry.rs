//! What a damaged registry, checkpoint or card must say.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use disinherit_formats::{Tensor, read_checkpoint, write_checkpoint};
use disinherit_registry::conformance::{card, id, new_model, publication, tensors};
use disinherit_registry::{Digest, FisherCard, Hint, OperationId, Registry, RegistryError};
use fiun::{FisherTensor, LayerFisher, Matrix};

/// The files of all objects.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let root = folder.join(".disinherit/objects");
    let folders = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    folders
        .flat_map(|f| fs::read_dir(f).unwrap().map(|e| e.unwrap().path()))
        .collect()
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    let model = new_model(&registry, "base@1", 1.0, &[]);
    let digest = model.row.manifest;
    registry
        .publish(&publication(vec![model], &[], "first"))
        .unwrap();
    let manifest = registry.manifest(digest).unwrap();
    for path in objects(folder.path()) {
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert!(matches!(registry.manifest(digest), Err(RegistryError::Damaged(d)) if d == digest));
    assert!(matches!(
        registry.tensors(&manifest),
        Err(RegistryError::Damaged(_))
    ));
    // Storing the same model again repairs what is damaged, or was cut short.
    let some = objects(folder.path());
    fs::write(&some[0], "").unwrap();
    let again = new_model(&registry, "base@1", 1.0, &[]);
    assert_eq!(again.row.manifest, digest);
    assert!(
        registry
            .tensors(&registry.manifest(digest).unwrap())
            .is_ok()
    );
    objects(folder.path())
        .iter()
        .for_each(|path| fs::remove_file(path).unwrap());
    assert!(matches!(
        registry.manifest(digest),
        Err(RegistryError::Missing(_))
    ));
}

#[test]
fn other_registries_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let none = Registry::open(folder.path()).err().unwrap();
    assert!(matches!(none, RegistryError::NoRegistry(_)));
    drop(Registry::create(folder.path()).unwrap());
    let marker = folder.path().join(".disinherit/registry.json");
    fs::write(&marker, r#"{"format": 99, "tool": "disinherit 9.0.0"}"#).unwrap();
    let newer = Registry::open(folder.path()).err().unwrap();
    assert!(
        newer.to_string().contains("format 99") && newer.hint() == Some(Hint::UseNewerVersion),
        "{newer}"
    );
    fs::write(&marker, "{").unwrap();
    assert!(matches!(
        Registry::open(folder.path()),
        Err(RegistryError::Document { .. })
    ));
}

#[test]
fn checkpoints_are_checked_before_they_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    write_checkpoint(&file, &tensors(1.0), HashMap::new()).unwrap();
    assert_eq!(read_checkpoint(&file).unwrap(), tensors(1.0));
    let whole = fs::read(&file).unwrap();
    let refuse = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        let error = read_checkpoint(&file).unwrap_err();
        assert!(
            matches!(error, disinherit_formats::FormatError::Checkpoint { .. }),
            "{error}"
        );
        assert!(error.to_string().contains("model.safetensors"), "{error}");
    };
    for length in [0, 4, 8, 20, whole.len() - 1] {
        refuse(&whole[..length]);
    }
    // A header that claims more than the file has.
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refuse(&lying);
    let text = String::from_utf8_lossy(&whole).replace("[2,2]", "[9,9]");
    refuse(text.as_bytes());
}

#[test]
fn cards_that_do_not_fit_are_refused() {
    let good = card(Digest::from_content(b"model"), "digest of data");
    let bytes = good.to_bytes().unwrap();
    assert_eq!(FisherCard::from_bytes(&bytes).unwrap(), good);
    assert!(FisherCard::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    let replaced = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + from.len()].copy_from_slice(to);
        FisherCard::from_bytes(&changed).unwrap_err().to_string()
    };
    assert!(replaced(b"fim-card/2", b"fim-card/9").contains("fim-card/9"));
    assert!(replaced(b"empirical", b"imperical").contains("imperical"));
    // Three names for two classes, two names for three rows.
    let message = replaced(br#"[\"cat\",\"dog\"]"#, br#"[\"aa\",\"do\",1]"#);
    assert!(message.contains("cannot be read"), "{message}");
    let message = replaced(br#"[\"cat\",\"dog\"]"#, br#"[\"c\",\"\",\"\"]"#);
    assert!(message.contains("expected ["), "{message}");
    // The largest value of a row turned negative.
    let top = good.fisher.total.bias.values()[0];
    let message = replaced(&top.to_le_bytes(), &(-top).to_le_bytes());
    assert!(message.contains("at least 0"), "{message}");
}

#[test]
fn cards_of_the_first_format_are_read() {
    let good = card(Digest::from_content(b"model"), "digest of data");
    let floats = |shape: &[usize], values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Tensor::from_f32(shape, &values)
    };
    let all = |fisher: &FisherTensor| fisher.entries().collect::<Vec<f64>>();
    let total = &good.fisher.total;
    let classes = |of: &dyn Fn(&LayerFisher) -> Vec<f64>| {
        good.fisher
            .per_class
            .iter()
            .flat_map(of)
            .collect::<Vec<f64>>()
    };
    let tensors = [
        ("weight", floats(&[2, 2], &all(&total.weight))),
        ("bias", floats(&[2], &all(&total.bias))),
        (
            "class.weight",
            floats(&[2, 2, 2], &classes(&|c| all(&c.weight))),
        ),
        ("class.bias", floats(&[2, 2], &classes(&|c| all(&c.bias)))),
    ];
    let model = good.header.model.to_string();
    let metadata = [
        ("format", "fim-card/1"),
        ("model", &model),
        ("data", "digest of data"),
        ("head", "fc"),
        ("estimator", "empirical"),
        ("outputs", r#"["cat","dog"]"#),
        ("classes", r#"["cat","dog"]"#),
        ("counts", "[2,1]"),
        ("tool", "disinherit 0.1.0"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("card");
    write_checkpoint(
        &file,
        &tensors
            .map(|(name, tensor)| (name.to_owned(), tensor))
            .into(),
        metadata.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    )
    .unwrap();
    let read = FisherCard::from_bytes(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(read.header.time, 0);
    assert!(read.inner.is_empty());
    for (a, b) in all(&read.fisher.total.weight)
        .iter()
        .zip(all(&total.weight))
    {
        assert!((a - b).abs() <= 1e-7 * b);
    }
}

#[test]
fn the_feature_cache_is_bounded_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    assert!(Registry::in_memory().unwrap().feature_cache(1).is_none());
    let features = |value: f32| Matrix::new(100, 10, vec![value; 1000]).unwrap();
    let key = |n: u8| Digest::from_content(&[n]);
    // Two entries fit, with their headers; three do not.
    let cache = registry.feature_cache(11_000).unwrap();
    assert!(cache.get("cat", key(0)).is_none());
    for n in 0..2 {
        cache.put("cat", key(n), &features(f32::from(n))).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(cache.get("cat", key(0)).unwrap(), features(0.0));
    std::thread::sleep(std::time::Duration::from_millis(20));
    cache.put("dog", key(2), &features(2.0)).unwrap();
    assert!(cache.get("cat", key(1)).is_none(), "used least recently");
    assert!(cache.get("cat", key(0)).is_some());
    assert!(cache.get("dog", key(0)).is_none(), "of another label");

    // What is damaged is as good as gone.
    let path = folder.path().join(".disinherit/cache");
    for entry in fs::read_dir(&path).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() - 200;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    assert!(cache.get("cat", key(0)).is_none() && cache.get("dog", key(2)).is_none());

    // A file's time is no finer than the system's clock ticks.
    std::thread::sleep(std::time::Duration::from_millis(20));
    cache.put("cat", key(0), &features(0.0)).unwrap();
    cache.put("dog", key(2), &features(2.0)).unwrap();
    assert_eq!(cache.forget(Some(&["cat".into()])).unwrap(), 1);
    assert!(cache.get("cat", key(0)).is_none() && cache.get("dog", key(2)).is_some());
    assert_eq!(cache.forget(None).unwrap(), 1);
    // Nothing larger than the cache is kept.
    let small = registry.feature_cache(100).unwrap();
    small.put("cat", key(0), &features(0.0)).unwrap();
    assert!(small.get("cat", key(0)).is_none());
}

/// A registry as the first versions made it: fewer columns, no chain, format 1.
#[test]
fn registries_of_the_first_format_are_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join(".disinherit");
    fs::create_dir_all(inside.join("objects")).unwrap();
    let marker = inside.join("registry.json");
    fs::write(&marker, r#"{"format": 1, "tool": "disinherit 0.1.0"}"#).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(inside.join("catalog.sqlite"))
            .create_if_missing(true);
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
        let all = sqlx::migrate::Migrator::new(folder).await.unwrap();
        let mut first = sqlx::migrate::Migrator::DEFAULT;
        first.migrations = all.migrations[..1].to_vec().into();
        first.run(&pool).await.unwrap();
        for command in ["add", "grow"] {
            sqlx::query(
                "INSERT INTO operations (time, command, detail) VALUES (7, ?, '{\"a\": 1}')",
            )
            .bind(command)
            .execute(&pool)
            .await
            .unwrap();
        }
        pool.close().await;
    });
    let registry = Registry::open(folder.path()).unwrap();
    let model = new_model(&registry, "base@1", 1.0, &[]);
    let number = registry.publish(&publication(vec![model], &[], "new"));
    assert_eq!(number.unwrap(), OperationId::new(3));
    let log = registry.operations().unwrap();
    assert_eq!(disinherit_registry::check_chain(&log), [""; 0]);
    assert_eq!(log[1].previous, log[0].hash);
    assert_eq!(log[2].previous, log[1].hash);
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
    let refused = registry.undo(OperationId::new(1)).unwrap_err().to_string();
    assert!(refused.contains("older than that"), "{refused}");
    drop(registry);
    let newest = format!("\"format\": {}", disinherit_registry::FORMAT);
    assert!(fs::read_to_string(&marker).unwrap().contains(&newest));
}

/// What a request that was stopped has kept of a version goes when the version is purged.
#[test]
fn a_purge_takes_drafts_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::create(folder.path()).unwrap();
    let base = new_model(&registry, "base@1", 1.0, &[]);
    let digest = base.row.manifest;
    registry
        .publish(&publication(vec![base], &[], "first"))
        .unwrap();
    let child = new_model(&registry, "child@1", 2.0, &["base@1"]);
    registry
        .publish(&publication(vec![child], &["base@1"], "second"))
        .unwrap();
    let row = registry.put_card(&card(digest, "digest of data")).unwrap();
    let draft = disinherit_registry::Draft {
        task: "card".into(),
        value: "{}".into(),
        blobs: vec![row.blob],
    };
    registry.keep_drafts("stopped", &[draft]).unwrap();
    let purged = registry
        .purge(&disinherit_registry::Purge {
            models: vec![id("base@1")],
            reason: "request 7".into(),
            erasure: None,
            dry_run: false,
        })
        .unwrap();
    assert!(!registry.has(row.blob).unwrap());
    assert_eq!(registry.all_drafts().unwrap(), []);
    assert_eq!(purged.shared, 1);
    let left = registry.collect_garbage(true, false).unwrap();
    assert_eq!(left.objects, 0, "nothing of it is left to collect");
    let health = registry.check(false, None, &mut |_, _| {}).unwrap();
    assert_eq!(health.damages, []);
}
