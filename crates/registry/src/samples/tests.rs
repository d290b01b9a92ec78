//! The form of lists, whatever the ids are.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::btree_set;
use proptest::prelude::*;

use crate::digest::Digest;
use crate::samples::block::Block;
use crate::samples::builder::Builder;
use crate::samples::index::Index;
use crate::samples::key::SampleKey;

type Store = BTreeMap<Digest, Vec<u8>>;

fn key() -> SampleKey {
    SampleKey::from_hex(&"5".repeat(64)).unwrap()
}

/// What stands for each id, in order, with its mark.
fn entries(ids: &BTreeSet<String>, hashed: bool) -> BTreeMap<Vec<u8>, [u8; 16]> {
    let key = if hashed { key() } else { SampleKey::public() };
    let entry = |id: &String| {
        let mark = key.mark(id.as_bytes());
        match hashed {
            true => (mark.to_vec(), mark),
            false => (id.clone().into_bytes(), mark),
        }
    };
    ids.iter().map(entry).collect()
}

fn store(ids: &BTreeSet<String>, hashed: bool) -> (Store, Digest) {
    let mut store = Store::new();
    let put = &mut |bytes: Vec<u8>| {
        let digest = Digest::from_content(&bytes);
        store.insert(digest, bytes);
        Ok(digest)
    };
    let key = hashed.then(key);
    let mut builder = Builder::new(ids.len() as u64, key.as_ref(), put);
    for (entry, mark) in entries(ids, hashed) {
        builder.push(&entry, &mark).unwrap();
    }
    let list = builder.finish().unwrap();
    (store, list)
}

fn ids() -> impl Strategy<Value = BTreeSet<String>> {
    let any = btree_set(".{0,12}", 0..40);
    let alike = btree_set("clinic-[0-3]/patient-0{3}[0-9]{1,3}/scan", 0..200);
    prop_oneof![any, alike]
}

proptest! {
    #[test]
    fn a_list_gives_back_what_it_was_made_of(ids in ids(), hashed: bool) {
        let (store, list) = store(&ids, hashed);
        let index = Index::read(&store[&list]).unwrap();
        prop_assert_eq!(index.to_bytes(), store[&list].clone());
        prop_assert_eq!((index.count, index.hashed), (ids.len() as u64, hashed));
        let expected = entries(&ids, hashed);
        let mut found = Vec::new();
        for block in &index.blocks {
            let read = Block::read(&store[&block.digest], block.count).unwrap();
            prop_assert_eq!(read.entries().next(), Some(&block.first[..]));
            found.extend(read.entries().map(<[u8]>::to_vec));
        }
        prop_assert!(found.iter().eq(expected.keys()));
        for (entry, mark) in &expected {
            prop_assert!(index.filter.may_have(mark));
            let block = &index.blocks[index.block_of(entry).unwrap()];
            let read = Block::read(&store[&block.digest], block.count).unwrap();
            prop_assert!(read.has(entry));
            prop_assert!(!read.has(&[&entry[..], b"!"].concat()));
        }
        prop_assert!(index.fits(&if hashed { key() } else { SampleKey::public() }));
    }

    #[test]
    fn bytes_that_are_cut_or_changed_are_refused_or_read_as_something_else(
        ids in ids(), hashed: bool, at: prop::sample::Index, bit in 0u8..8
    ) {
        let (store, list) = store(&ids, hashed);
        let bytes = &store[&list];
        let cut = at.index(bytes.len());
        prop_assert!(Index::read(&bytes[..cut]).is_err());
        let mut changed = bytes.clone();
        changed[cut] ^= 1 << bit;
        if let Ok(other) = Index::read(&changed) {
            prop_assert_eq!(other.to_bytes(), changed);
        }
        for block in Index::read(bytes).unwrap().blocks {
            let bytes = &store[&block.digest];
            let cut = at.index(bytes.len());
            prop_assert!(Block::read(&bytes[..cut], block.count).is_err());
            prop_assert!(Block::read(bytes, block.count + 1).is_err());
            let mut changed = bytes.clone();
            changed[cut] ^= 1 << bit;
            // Whatever comes out is in order, so that looking entries up ends.
            if let Ok(other) = Block::read(&changed, block.count) {
                prop_assert!(other.entries().is_sorted_by(|a, b| a < b));
            }
        }
    }
}

/// Enough ids for several blocks.
fn many() -> BTreeSet<String> {
    (0..200_000).map(|n| format!("person-{n:07}")).collect()
}

#[test]
fn lists_that_differ_in_one_id_share_most_of_their_blocks() {
    let mut ids = many();
    let (before, first) = store(&ids, false);
    let blocks = Index::read(&before[&first]).unwrap().blocks.len();
    assert!((3..20).contains(&blocks), "{blocks} blocks");
    ids.remove("person-0100000");
    let (after, second) = store(&ids, false);
    let new = after.keys().filter(|digest| !before.contains_key(digest));
    assert_eq!(new.count(), 2, "the list itself and one block");
    // What was taken out is no longer there, and nothing else is missing.
    let index = Index::read(&after[&second]).unwrap();
    assert_eq!(index.count, ids.len() as u64);
}

#[test]
fn ids_take_a_few_bytes_each() {
    let ids = many();
    let bytes = |hashed: bool| {
        let (store, list) = store(&ids, hashed);
        let all: usize = store.values().map(Vec::len).sum();
        (all - store[&list].len()) as f64 / ids.len() as f64
    };
    let (clear, hashed) = (bytes(false), bytes(true));
    assert!(clear < 2.0, "{clear} bytes for each id in clear");
    assert!(hashed < 18.0, "{hashed} bytes for each hashed id");
}

/// The form is on disk: the same ids have the same bytes in every version.
#[test]
fn the_form_stays_as_it_is() {
    let ids: BTreeSet<String> = (0..5).map(|n| format!("photos/{n:04}")).collect();
    let (_, clear) = store(&ids, false);
    let (_, hashed) = store(&ids, true);
    let filter = |hashed: bool| {
        let (store, list) = store(&ids, hashed);
        Index::read(&store[&list]).unwrap().filter.words().to_vec()
    };
    assert_eq!(
        (
            filter(false),
            filter(true),
            entries(&ids, true).into_keys().next()
        ),
        (Vec::new(), Vec::new(), None),
        "{clear} {hashed}"
    );
}
