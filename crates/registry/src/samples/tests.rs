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
            let longer = [&entry[..], b"!"].concat();
            prop_assert_eq!(read.has(&longer), found.contains(&longer));
        }
        let (own, other) = match hashed {
            true => (key(), SampleKey::public()),
            false => (SampleKey::public(), key()),
        };
        prop_assert!(index.fits(&own) && !index.fits(&other));
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

/// What is on disk must be found in every version: marks, and the bits of the filter.
#[test]
fn marks_and_filters_stay_as_they_are() {
    let ids: BTreeSet<String> = (0..5).map(|n| format!("photos/{n:04}")).collect();
    let filter = |hashed: bool| {
        let (store, list) = store(&ids, hashed);
        Index::read(&store[&list]).unwrap().filter.words().to_vec()
    };
    assert_eq!(
        filter(false),
        [0x32a2_7a81_049e_49bc, 0x96a0_0081_82a2_2ee2]
    );
    assert_eq!(filter(true), [0x5084_2955_5f77_2488, 0x4060_8857_489e_8428]);
    let first = [
        59, 70, 53, 102, 145, 220, 228, 76, 199, 253, 205, 110, 111, 195, 20, 252,
    ];
    assert_eq!(entries(&ids, true).into_keys().next(), Some(first.to_vec()));
}

/// A list and its block as the first version wrote them.
const LIST: &str = "73616d706c657301009a53d2435d9cdb85050000000000000001000000b438db4c82a1fcc3b20b4711ad32eb85\
    fa1a1e1c171498bc33faab9879ff440405000000000000000b0070686f746f732f30303030bc499e04817aa232e22ea2828100a096";
const BLOCK: &str = "73616d706c656201190000000000000028b52ffd2019c90000000b70686f746f732f303030300a01310a01320a\
    01330a0134";

#[test]
fn lists_of_before_are_read() {
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = (0..hex.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let index = Index::read(&bytes(LIST)).unwrap();
    assert_eq!(
        (index.count, index.hashed, index.blocks.len()),
        (5, false, 1)
    );
    assert!(index.fits(&SampleKey::public()));
    let block = bytes(BLOCK);
    assert_eq!(Digest::from_content(&block), index.blocks[0].digest);
    let block = Block::read(&block, 5).unwrap();
    for n in 0..5 {
        let id = format!("photos/{n:04}").into_bytes();
        assert!(index.filter.may_have(&SampleKey::public().mark(&id)));
        assert!(block.has(&id));
    }
}
