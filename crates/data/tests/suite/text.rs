//! Texts from Parquet, cut into tokens.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use disinherit_data::{DataError, OpenOptions, Samples, Splits, open};
use parquet::arrow::ArrowWriter;

fn write(path: &Path, rows: &[(&str, i64)]) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("label", DataType::Int64, false),
    ]));
    let texts = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let labels = Int64Array::from_iter_values(rows.iter().map(|row| row.1));
    let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(texts), Arc::new(labels)];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(folder: &Path, options: &OpenOptions) -> Result<Splits, DataError> {
    write(
        &folder.join("train.parquet"),
        &[("The cat, the CAT!", 0), ("a dog", 1), ("", 1)],
    );
    write(
        &folder.join("test.parquet"),
        &[("a cát and a zebra", 0), ("dog", 1)],
    );
    open(&folder.to_string_lossy(), options)
}

#[test]
fn words_are_numbered_by_how_often_they_occur() {
    let folder = tempfile::tempdir().unwrap();
    let splits = read(folder.path(), &OpenOptions::default()).unwrap();
    // 0 padding, 1 unknown; cat and the twice, in the alphabet's order; the others once.
    let tokens = |set: &disinherit_data::DataSet| match set.samples() {
        Samples::Tokens {
            vocabulary,
            sequences,
        } => (*vocabulary, sequences.clone()),
        _ => unreachable!(),
    };
    let (vocabulary, train) = tokens(&splits.train);
    assert_eq!(vocabulary, 8, "pad, unknown, cat, the, !, `,`, a, dog");
    assert_eq!(train, [vec![3, 2, 5, 3, 2, 4], vec![6, 7], vec![]]);
    let (same, heldout) = tokens(&splits.heldout);
    assert_eq!(same, vocabulary);
    assert_eq!(
        heldout,
        [vec![6, 2, 1, 6, 1], vec![7]],
        "accents are dropped, new words unknown"
    );
    assert_eq!(splits.train.tokens(1), Some(&[6, 7][..]));
    let few = OpenOptions {
        vocabulary: 3,
        ..OpenOptions::default()
    };
    let (vocabulary, train) = tokens(&read(folder.path(), &few).unwrap().train);
    assert_eq!((vocabulary, train[0].clone()), (3, vec![1, 2, 1, 1, 2, 1]));
}

#[test]
fn a_tokenizer_of_ones_own_is_used_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenizer.json");
    let json = |first: &str| {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
            "normalizer":{{"type":"Lowercase"}},"pre_tokenizer":{{"type":"Whitespace"}},
            "post_processor":null,"decoder":null,"model":{{"type":"WordLevel",
            "vocab":{{"{first}":0,"[UNK]":1,"dog":2,"a":3}},"unk_token":"[UNK]"}}}}"#
        )
    };
    let options = OpenOptions {
        tokenizer: Some(file.clone()),
        ..OpenOptions::default()
    };
    fs::write(&file, json("[PAD]")).unwrap();
    let splits = read(folder.path(), &options).unwrap();
    assert_eq!(splits.train.tokens(1), Some(&[3, 2][..]));
    for (text, reason) in [(json("the"), "padding"), ("{".to_owned(), "tokenizer.json")] {
        fs::write(&file, text).unwrap();
        let refused = read(folder.path(), &options).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}
