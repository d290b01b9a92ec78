//! The form of a pack: many small objects in one file.
//!
//! A pack is a safetensors file of bytes. Its tensors are objects, named by their digests, and its own name is
//! the digest of the whole file. `docs/formats.md` has the form.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use disinherit_formats::{Dtype, preamble};
use safetensors::tensor::Metadata;

use crate::digest::Digest;

/// The form of packs that this version writes and reads.
const FORMAT: &str = "disinherit-pack/1";

/// The largest header that is read, as in the safetensors library.
const LARGEST_HEADER: u64 = 100_000_000;

/// The largest pack that is read: places in packs are kept in four bytes.
const LARGEST: u64 = u32::MAX as u64;

/// An object's place in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) digest: Digest,
    /// Where it begins in the file.
    pub(crate) offset: u32,
    /// Its bytes.
    pub(crate) length: u32,
}

impl Entry {
    /// Its bytes' places in the file.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.length)
    }
}

/// The bytes of a pack, and its objects in their order. An object that is named twice is there once.
///
/// # Errors
/// A sentence when they are too large for one pack.
pub(crate) fn write(objects: &[(Digest, &[u8])]) -> Result<(Vec<u8>, Vec<Entry>), String> {
    let mut seen = BTreeSet::new();
    let objects: Vec<&(Digest, &[u8])> = objects.iter().filter(|o| seen.insert(o.0)).collect();
    let named: Vec<(String, [usize; 1])> = objects
        .iter()
        .map(|(digest, bytes)| (digest.to_string(), [bytes.len()]))
        .collect();
    let about = HashMap::from([("format".to_owned(), FORMAT.to_owned())]);
    let tensors = named
        .iter()
        .map(|(name, shape)| (&name[..], Dtype::U8, &shape[..]));
    let mut whole = preamble(tensors, about)?;
    let mut entries = Vec::with_capacity(objects.len());
    for (digest, bytes) in objects {
        let place = (u32::try_from(whole.len()), u32::try_from(bytes.len()));
        let (Ok(offset), Ok(length)) = place else {
            return Err("it is larger than 4 GiB".into());
        };
        entries.push(Entry {
            digest: *digest,
            offset,
            length,
        });
        whole.extend_from_slice(bytes);
    }
    Ok((whole, entries))
}

/// The bytes that the header of a pack takes, its length in front of it included; `start` is how the pack begins,
/// and `size` all of its bytes.
///
/// # Errors
/// A sentence when it can be no pack.
pub(crate) fn header_length(start: &[u8], size: u64) -> Result<u64, String> {
    let Some(length) = start.first_chunk::<8>() else {
        return Err("it is too short for a header".into());
    };
    let length = u64::from_le_bytes(*length);
    if size > LARGEST {
        return Err("it is larger than 4 GiB".into());
    }
    if length > LARGEST_HEADER || length > size.saturating_sub(8) {
        return Err(format!(
            "its header claims {length} bytes, the file has {size}"
        ));
    }
    Ok(length + 8)
}

/// The objects of a pack, in the order of their bytes, from its header with its length in front.
///
/// # Errors
/// A sentence when it is no header of a pack.
pub(crate) fn read(header: &[u8]) -> Result<Vec<Entry>, String> {
    let text = header.get(8..).unwrap_or_default();
    let known: Metadata = serde_json::from_slice(text)
        .map_err(|error| format!("its header cannot be used: {error}"))?;
    let format = known
        .metadata()
        .as_ref()
        .and_then(|about| about.get("format"));
    if format.map(String::as_str) != Some(FORMAT) {
        return Err(format!(
            "it has the format `{}`, this version reads `{FORMAT}`",
            format.map_or("", String::as_str)
        ));
    }
    let mut entries = Vec::new();
    for (name, info) in known.tensors() {
        let digest = name
            .parse()
            .map_err(|_| format!("it has an object named `{name}`, which is no digest"))?;
        let (start, end) = info.data_offsets;
        let place = (
            start.checked_add(header.len()).map(u32::try_from),
            u32::try_from(end - start),
        );
        let (Some(Ok(offset)), Ok(length)) = place else {
            return Err(format!("its object {digest} lies beyond 4 GiB"));
        };
        entries.push(Entry {
            digest,
            offset,
            length,
        });
    }
    entries.sort_unstable_by_key(|entry| (entry.offset, entry.length, entry.digest));
    Ok(entries)
}

/// Reads bytes as the beginning of a pack, for fuzzing: it must not fail otherwise than with a reason.
#[cfg(feature = "fuzzing")]
pub fn read_pack(bytes: &[u8]) {
    if let Ok(length) = header_length(bytes, bytes.len() as u64) {
        let _ = read(&bytes[..length as usize]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn objects(contents: &[Vec<u8>]) -> Vec<(Digest, &[u8])> {
        let named = contents.iter();
        named
            .map(|bytes| (Digest::from_content(bytes), &bytes[..]))
            .collect()
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(contents: Vec<Vec<u8>>) {
            let objects = objects(&contents);
            let (whole, entries) = write(&objects).unwrap();
            let length = header_length(&whole, whole.len() as u64).unwrap() as usize;
            prop_assert_eq!(&read(&whole[..length]).unwrap(), &entries);
            for (digest, bytes) in objects {
                let entry = entries.iter().find(|entry| entry.digest == digest).unwrap();
                let range = entry.range();
                prop_assert_eq!(&whole[range.start as usize..range.end as usize], bytes);
            }
        }

        #[test]
        fn whatever_it_is_it_is_refused_with_a_reason(bytes: Vec<u8>) {
            if let Ok(length) = header_length(&bytes, bytes.len() as u64) {
                let _ = read(&bytes[..length as usize]);
            }
        }
    }

    #[test]
    fn other_tensors_are_no_packs() {
        let about = |format: &str| HashMap::from([("format".to_owned(), format.to_owned())]);
        let tensor = || [("weight", Dtype::U8, &[3][..])];
        let other = preamble(tensor(), about("pt")).unwrap();
        assert!(read(&other).unwrap_err().contains("`pt`"));
        let named = preamble(tensor(), about(FORMAT)).unwrap();
        assert!(read(&named).unwrap_err().contains("`weight`"));
        assert!(header_length(&named, 9).unwrap_err().contains("claims"));
        assert!(header_length(&named[..4], 4).is_err());
    }
}
