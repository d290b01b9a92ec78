//! Readers, splits and partitions.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow_schema::{DataType, Field, Fields, Schema};
use disinherit_data::{
    DataError, DataSet, ImageShape, OpenOptions, Partition, Samples, open, partition,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};

fn png(shade: u8, side: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(side, side, |x, y| image::Rgb([shade, x as u8, y as u8]));
    let mut bytes = Vec::new();
    image
        .write_to(
            &mut std::io::Cursor::new(&mut bytes),
            image::ImageFormat::Png,
        )
        .unwrap();
    bytes
}

fn write_parquet(path: &Path, rows: &[(u8, i64, Option<&str>)]) {
    let images: Vec<Vec<u8>> = rows.iter().map(|(shade, _, _)| png(*shade, 4)).collect();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_iter_values(&images));
    let paths: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|(_, _, p)| *p)));
    let fields = Fields::from(vec![
        Field::new("bytes", DataType::Binary, true),
        Field::new("path", DataType::Utf8, true),
    ]);
    let images: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![bytes, paths], None));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.1)));
    let names = r#"{"info":{"features":{"label":{"names":["cat","dog"],"_type":"ClassLabel"}}}}"#;
    let schema = Schema::new(vec![
        Field::new("image", DataType::Struct(fields), true),
        Field::new("label", DataType::Int64, true),
    ])
    .with_metadata(std::collections::HashMap::from([(
        "huggingface".to_owned(),
        names.to_owned(),
    )]));
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![images, labels]).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), Arc::new(schema), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(path: &Path) -> Result<disinherit_data::Splits, DataError> {
    open(&path.to_string_lossy(), &OpenOptions::default())
}

#[test]
fn digits_are_there_and_their_split_is_fixed() {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.len() + splits.heldout.len(), 1797);
    assert_eq!(splits.train.label_names().len(), 10);
    for (train, held) in splits.train.counts().iter().zip(splits.heldout.counts()) {
        let share = held as f64 / (train + held) as f64;
        assert!((0.19..0.22).contains(&share), "{share}");
    }
    let again = open("digits", &OpenOptions::default()).unwrap();
    assert_eq!(splits.train.digest(), again.train.digest());
    let held: std::collections::HashSet<_> = splits.heldout.ids().iter().collect();
    assert!(splits.train.ids().iter().all(|id| !held.contains(id)));
}

#[test]
fn hub_parquet_is_read_with_names_and_paths() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..10).map(|i| (i as u8, i % 2, None)).collect();
    write_parquet(&folder.path().join("train-00000-of-00001.parquet"), &rows);
    write_parquet(
        &folder.path().join("test.parquet"),
        &[(7, 1, Some("dog/7.png"))],
    );
    let splits = read(folder.path()).unwrap();
    assert_eq!(splits.train.len(), 10);
    assert_eq!(splits.train.label_names(), ["cat", "dog"]);
    assert_eq!(splits.train.ids()[3], "train-00000-of-00001/000003");
    assert_eq!(splits.heldout.ids(), ["test/dog/7.png"]);
    let (shape, pixels) = splits.heldout.image(0).unwrap();
    assert_eq!(shape.to_string(), "3x4x4");
    assert!(pixels[..16].iter().all(|red| *red == 7));
    assert_eq!(pixels[16..20], [0, 1, 2, 3], "the green plane runs along x");
}

#[test]
fn image_folders_are_read_and_scaled() {
    let folder = tempfile::tempdir().unwrap();
    for (label, side) in [("cat", 4), ("dog", 6)] {
        fs::create_dir(folder.path().join(label)).unwrap();
        for n in 0..5 {
            fs::write(
                folder.path().join(label).join(format!("{n}.png")),
                png(n, side),
            )
            .unwrap();
        }
    }
    let refused = read(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("give a size"), "{refused}");
    let options = OpenOptions {
        size: Some((5, 5)),
        ..OpenOptions::default()
    };
    let splits = open(&folder.path().to_string_lossy(), &options).unwrap();
    assert_eq!(splits.train.len() + splits.heldout.len(), 10);
    assert_eq!(splits.train.label_names(), ["cat", "dog"]);
    assert!(splits.train.ids().iter().any(|id| id.starts_with("cat/")));
}

#[test]
fn damaged_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read(&folder.path().join("nowhere"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("nowhere"), "{missing}");
    let empty = read(folder.path()).unwrap_err().to_string();
    assert!(empty.contains("holds no data set"), "{empty}");

    let file = folder.path().join("train.parquet");
    write_parquet(&file, &[(1, 0, None), (2, 1, None)]);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let torn = read(&file).unwrap_err().to_string();
    assert!(torn.contains("train.parquet"), "{torn}");
    write_parquet(&file, &[(1, -1, None)]);
    let label = read(&file).unwrap_err().to_string();
    assert!(label.contains("-1 is out of range"), "{label}");
    write_parquet(&file, &[(1, 2, None)]);
    let label = read(&file).unwrap_err().to_string();
    assert!(label.contains("label 2"), "{label}");

    let class = folder.path().join("images").join("cat");
    fs::create_dir_all(&class).unwrap();
    fs::write(class.join("a.png"), b"not an image").unwrap();
    let image = read(&folder.path().join("images")).unwrap_err().to_string();
    assert!(image.contains("cat/a.png"), "{image}");
}

/// Writes texts that are all the same.
fn write_same_text(path: &Path, text: &str, rows: usize, dictionary: bool) {
    let values = StringArray::from(vec![text]);
    let keys = Int32Array::from(vec![0; rows]);
    let texts: ArrayRef = Arc::new(DictionaryArray::new(keys, Arc::new(values)));
    let labels: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..rows as i64).map(|r| r % 2),
    ));
    let batch = RecordBatch::try_from_iter([("text", texts), ("label", labels)]).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(1 << 30)
        .set_data_page_size_limit(1 << 30)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn files_that_unpack_to_far_more_than_they_are_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.parquet");
    let refused = || read(&file).unwrap_err().to_string();

    write_same_text(&file, &"a".repeat(300 << 20), 1, false);
    assert!(fs::metadata(&file).unwrap().len() < 1 << 20);
    assert!(refused().contains("claims to become"), "{}", refused());

    write_same_text(&file, "a", 100_000, true);
    assert!(
        refused().contains("more than it has bytes"),
        "{}",
        refused()
    );

    // Three megabytes that do not compress, said once and repeated in every row.
    let mut state = 1_u32;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'a' + (state % 26) as u8)
    };
    let long: String = (0..3 << 20).map(|_| letter()).collect();
    write_same_text(&file, &long, 5_000, true);
    assert!(fs::metadata(&file).unwrap().len() < 4 << 20);
    assert!(
        refused().contains("its rows become more than"),
        "{}",
        refused()
    );

    // A label asks for as many names as it is large.
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 4_000_000_000]));
    let batch = RecordBatch::try_from_iter([("text", texts), ("label", labels)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(refused().contains("the label 4000000000"), "{}", refused());

    write_same_text(&file, "a short text", 100, true);
    assert_eq!(
        read(&file).unwrap().train.len() + read(&file).unwrap().heldout.len(),
        100
    );
}

#[test]
fn contradictions_are_refused() {
    let shape = ImageShape {
        channels: 1,
        height: 1,
        width: 2,
    };
    let make = |pixels: usize, labels: Vec<u32>, ids: Vec<&str>| {
        DataSet::new(
            "t",
            Samples::Images {
                shape,
                pixels: vec![0; pixels],
            },
            labels,
            vec!["a".into(), "b".into()],
            ids.into_iter().map(str::to_owned).collect(),
        )
    };
    assert!(make(4, vec![0, 1], vec!["x", "y"]).is_ok());
    assert!(make(3, vec![0, 1], vec!["x", "y"]).is_err());
    assert!(make(4, vec![0, 2], vec!["x", "y"]).is_err());
    assert!(make(4, vec![0, 1], vec!["x", "x"]).is_err());
    assert!(make(4, vec![0, 1], vec!["x"]).is_err());
    let tokens = Samples::Tokens {
        vocabulary: 4,
        sequences: vec![vec![1, 2], vec![3]],
    };
    let names = vec!["a".to_owned()];
    let ids = vec!["x".to_owned(), "y".to_owned()];
    let set = DataSet::new("t", tokens, vec![0, 0], names, ids).unwrap();
    assert_eq!(
        set.select(&[1]).samples(),
        &Samples::Tokens {
            vocabulary: 4,
            sequences: vec![vec![3]],
        }
    );
}

#[test]
fn partitions_are_disjoint_complete_and_seeded() {
    let train = open("digits", &OpenOptions::default()).unwrap().train;
    let skewed = Partition::Dirichlet { concentration: 0.3 };
    for how in [Partition::Iid, skewed] {
        let shares = partition(&train, 4, how, 7).unwrap();
        let mut all: Vec<usize> = shares.concat();
        all.sort_unstable();
        assert_eq!(all, (0..train.len()).collect::<Vec<_>>());
        assert_eq!(shares, partition(&train, 4, how, 7).unwrap());
        assert_ne!(shares, partition(&train, 4, how, 8).unwrap());
    }
    let spread = |how| {
        let shares = partition(&train, 4, how, 7).unwrap();
        let sizes: Vec<u64> = shares.iter().map(|s| train.select(s).counts()[3]).collect();
        sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
    };
    assert!(spread(Partition::Iid) <= 1);
    assert!(spread(skewed) > 10);
    assert!(partition(&train, 0, Partition::Iid, 1).is_err());
    assert!(partition(&train, 2, Partition::Dirichlet { concentration: 0.0 }, 1).is_err());
}

#[test]
fn samples_keep_label_proportions() {
    let train = open("digits", &OpenOptions::default()).unwrap().train;
    let few = train.sample(100, 3);
    assert_eq!(few.len(), 100);
    assert!(
        few.counts().iter().all(|&count| (9..=11).contains(&count)),
        "{:?}",
        few.counts()
    );
    assert_eq!(train.sample(1_000_000, 3), train);
}

#[test]
fn every_beginning_of_a_deal_has_all_labels() {
    let splits = open("digits", &OpenOptions::default()).unwrap();
    let set = &splits.train;
    let order = set.deal(3);
    assert_eq!(order, set.deal(3));
    assert_ne!(order, set.deal(4));
    let mut all = order.clone();
    all.sort_unstable();
    assert_eq!(all, (0..set.len()).collect::<Vec<_>>());
    for count in [50, 200, 700] {
        let part = set.select(&order[..count]).counts();
        for (few, many) in part.iter().zip(set.counts()) {
            let share = many as f64 * count as f64 / set.len() as f64;
            assert!((*few as f64 - share).abs() <= 1.0, "{few} {share}");
        }
    }
}
