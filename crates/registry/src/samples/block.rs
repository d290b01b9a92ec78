//! A part of a list: neighbouring entries, each without the bytes that it shares with the one before,
//! compressed.

use std::cmp::Ordering;

/// What a block begins with: what it is, and its version.
const MAGIC: &[u8; 8] = b"sampleb\x01";

/// The compression level: higher ones take longer and gain little.
const LEVEL: i32 = 3;

/// The longest entry, in bytes.
pub(crate) const LONGEST: usize = u16::MAX as usize;

/// Bytes of entries from which on a block is full.
pub(crate) const FULL: usize = 16 << 20;

/// The most bytes that a block can have before it is compressed: a full one, one more entry, its lengths.
const MOST: usize = FULL + LONGEST + 8;

/// Entries on their way into a block.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    raw: Vec<u8>,
    last: Vec<u8>,
    /// The first entry.
    pub(crate) first: Vec<u8>,
    /// Entries so far.
    pub(crate) count: u64,
}

impl Writing {
    /// Adds an entry, which must be greater than the one before.
    pub(crate) fn push(&mut self, entry: &[u8]) {
        let shared = self
            .last
            .iter()
            .zip(entry)
            .take_while(|(a, b)| a == b)
            .count();
        put_number(&mut self.raw, shared);
        put_number(&mut self.raw, entry.len() - shared);
        self.raw.extend_from_slice(&entry[shared..]);
        if self.count == 0 {
            self.first = entry.to_vec();
        }
        self.last.truncate(shared);
        self.last.extend_from_slice(&entry[shared..]);
        self.count += 1;
    }

    /// Whether no more should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.raw.len() >= FULL
    }

    /// The block.
    pub(crate) fn finish(self) -> std::io::Result<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(self.raw.len() as u64).to_le_bytes());
        bytes.extend(zstd::bulk::compress(&self.raw, LEVEL)?);
        Ok(bytes)
    }
}

/// The entries of a block, in their order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    bytes: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<usize>,
}

impl Block {
    /// Reads a block of so many entries; what is wrong with it where that fails.
    pub(crate) fn read(bytes: &[u8], count: u64) -> Result<Self, String> {
        let rest = bytes
            .strip_prefix(MAGIC)
            .ok_or("it does not begin as a block of samples does")?;
        let (length, packed) = rest.split_first_chunk().ok_or("it is cut short")?;
        let length = u64::from_le_bytes(*length);
        if length > MOST as u64 {
            return Err(format!(
                "it says that it unpacks to {length} bytes; {MOST} is the most"
            ));
        }
        let raw = zstd::bulk::decompress(packed, length as usize)
            .map_err(|error| format!("it cannot be unpacked: {error}"))?;
        if raw.len() as u64 != length {
            return Err(format!(
                "it unpacks to {} bytes and says {length}",
                raw.len()
            ));
        }
        Self::unpack(&raw, count)
    }

    fn unpack(mut raw: &[u8], count: u64) -> Result<Self, String> {
        let mut block = Self {
            bytes: Vec::with_capacity(raw.len() * 2),
            ends: Vec::new(),
        };
        let (mut last, mut entry) = (Vec::new(), Vec::new());
        while !raw.is_empty() {
            let number = block.ends.len();
            let wrong = |what: &str| format!("entry {number} {what}");
            let mut next = || take_number(&mut raw).ok_or_else(|| wrong("has no length"));
            let (shared, own) = (next()?, next()?);
            if shared > last.len() || own > raw.len() || shared + own > LONGEST {
                return Err(wrong("is longer than what is there"));
            }
            let (new, after) = raw.split_at(own);
            raw = after;
            entry.clear();
            entry.extend_from_slice(&last[..shared]);
            entry.extend_from_slice(new);
            if number > 0 && entry <= last {
                return Err(wrong("is not greater than the one before"));
            }
            block.bytes.extend_from_slice(&entry);
            block.ends.push(block.bytes.len());
            std::mem::swap(&mut last, &mut entry);
        }
        match block.ends.len() as u64 {
            found if found == count => Ok(block),
            found => Err(format!(
                "it has {found} entries, by its list there are {count}"
            )),
        }
    }

    fn entry(&self, at: usize) -> &[u8] {
        let start = match at {
            0 => 0,
            _ => self.ends[at - 1],
        };
        &self.bytes[start..self.ends[at]]
    }

    /// All entries, in their order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.entry(at))
    }

    /// Whether it has an entry.
    pub(crate) fn has(&self, entry: &[u8]) -> bool {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.entry(middle).cmp(entry) {
                Ordering::Equal => return true,
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        false
    }
}

/// A number in groups of seven bits, the lowest first (LEB128).
fn put_number(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Takes such a number of at most three groups, which is enough for any length.
fn take_number(from: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for group in 0..3 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= usize::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
