//! What a list says of itself before any of its entries is read: how many there are, in which blocks, and
//! a filter over them.

use crate::digest::Digest;
use crate::samples::filter::Filter;
use crate::samples::key::SampleKey;

/// What a list begins with: what it is, and its version.
const MAGIC: &[u8; 8] = b"samples\x01";

/// A block of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) digest: Digest,
    pub(crate) count: u64,
    /// Its first entry.
    pub(crate) first: Vec<u8>,
}

/// A list of samples, without its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Whether the entries are marks, under a key that the registry has, and not ids.
    pub(crate) hashed: bool,
    /// What the key is recognised by.
    pub(crate) check: [u8; 8],
    pub(crate) count: u64,
    /// In the order of their entries.
    pub(crate) blocks: Vec<BlockRef>,
    /// Over the marks of all entries.
    pub(crate) filter: Filter,
}

impl Index {
    /// The objects that the list points at.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Digest> + '_ {
        self.blocks.iter().map(|block| block.digest)
    }

    /// Whether the list was made with this key.
    pub(crate) fn fits(&self, key: &SampleKey) -> bool {
        self.check == key.check()
    }

    /// The block that has an entry, if any does.
    pub(crate) fn block_of(&self, entry: &[u8]) -> Option<usize> {
        let after = self.blocks.partition_point(|b| b.first.as_slice() <= entry);
        after.checked_sub(1)
    }

    /// The list as it is stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(u8::from(self.hashed));
        bytes.extend_from_slice(&self.check);
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        for block in &self.blocks {
            bytes.extend_from_slice(block.digest.as_bytes());
            bytes.extend_from_slice(&block.count.to_le_bytes());
            bytes.extend_from_slice(&(block.first.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&block.first);
        }
        for word in self.filter.words() {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a list; what is wrong with it where that fails.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it does not begin as a list of samples does")?;
        let [form] = take(&mut rest)?;
        let hashed = match form {
            0 => false,
            1 => true,
            other => return Err(format!("its form is {other}; known are 0 and 1")),
        };
        let check = take(&mut rest)?;
        let count = u64::from_le_bytes(take(&mut rest)?);
        let blocks = u32::from_le_bytes(take(&mut rest)?);
        let blocks = (0..blocks)
            .map(|_| block(&mut rest))
            .collect::<Result<Vec<_>, String>>()?;
        let sum = blocks
            .iter()
            .try_fold(0u64, |sum, block| sum.checked_add(block.count));
        if sum != Some(count) {
            return Err(format!("it has {count} entries, its blocks have others"));
        }
        if !blocks.is_sorted_by(|a, b| a.first < b.first) {
            return Err("its blocks are out of order".into());
        }
        let words = Filter::words_for(count);
        if rest.len() as u64 != words.saturating_mul(8) {
            return Err(format!(
                "its filter has {} bytes, {count} entries need {words} words of 8",
                rest.len()
            ));
        }
        let (words, _) = rest.as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        Ok(Self {
            hashed,
            check,
            count,
            blocks,
            filter: Filter::from_words(words.collect()),
        })
    }
}

fn block(rest: &mut &[u8]) -> Result<BlockRef, String> {
    let digest = Digest::from_bytes(take(rest)?);
    let count = u64::from_le_bytes(take(rest)?);
    let length = usize::from(u16::from_le_bytes(take(rest)?));
    let (first, after) = rest.split_at_checked(length).ok_or("it is cut short")?;
    *rest = after;
    Ok(BlockRef {
        digest,
        count,
        first: first.to_vec(),
    })
}

/// Takes the first bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, after) = rest.split_first_chunk().ok_or("it is cut short")?;
    *rest = after;
    Ok(*taken)
}
