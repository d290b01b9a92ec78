//! Page limits: what an untrusted Parquet file may make the reader do.
//!
//! A page says how large it becomes, and the reader takes that much memory before it looks at the
//! page. A dictionary says a value once and a few bits repeat it for every row. So both are
//! bounded by what the file itself weighs, before anything is decoded.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use bytesize::ByteSize;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use crate::error::DataError;

/// No page of a data set is larger; writers aim at 1 MiB.
const LARGEST_PAGE: u64 = 256 << 20;

/// What a batch may hold if every row had the largest value that a page can hold.
const LARGEST_BATCH: u64 = 256 << 20;

/// The most rows that are decoded at once.
const ROWS: u64 = 1024;

/// Headers of pages are smaller, statistics and all.
const LARGEST_HEADER: u64 = 16 << 20;

/// The number of rows to decode at once, so that memory stays bounded.
///
/// # Errors
/// [`DataError::Parquet`] when a page of the file claims more than it may.
pub(crate) fn rows_at_once(path: &Path, metadata: &ParquetMetaData) -> Result<usize, DataError> {
    let refuse = |reason: String| DataError::Parquet {
        path: path.to_owned(),
        reason,
    };
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let length = file.metadata().map_err(DataError::io(path))?.len();
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    if rows > length {
        return Err(refuse(format!(
            "it claims {rows} rows, more than it has bytes"
        )));
    }
    let mut largest = 0;
    for chunk in metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
    {
        largest = largest.max(largest_page(&mut file, length, chunk).map_err(&refuse)?);
    }
    Ok((LARGEST_BATCH / largest.max(1)).clamp(1, ROWS) as usize)
}

/// The size of the largest page of a column.
fn largest_page(file: &mut File, length: u64, chunk: &ColumnChunkMetaData) -> Result<u64, String> {
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or(chunk.data_page_offset());
    // `byte_range` of the library panics where these are negative.
    let range = u64::try_from(start)
        .ok()
        .zip(u64::try_from(chunk.compressed_size()).ok());
    let (mut at, end) = range
        .and_then(|(at, bytes)| Some((at, at.checked_add(bytes)?)))
        .filter(|(_, end)| *end <= length)
        .ok_or("a column claims to lie beyond the end of the file")?;
    let mut largest = 0;
    while at < end {
        let header = (|| {
            file.seek(SeekFrom::Start(at))?;
            let bytes = file.by_ref().take((end - at).min(LARGEST_HEADER));
            PageHeader::read(&mut BufReader::with_capacity(4096, bytes))
        })();
        let header = header.map_err(|error| format!("a page has no header: {error}"))?;
        if header.becomes > LARGEST_PAGE {
            return Err(format!(
                "a page of {} claims to become {} (at most {} is read); write it again with \
                 smaller pages if it can be trusted",
                ByteSize(header.takes),
                ByteSize(header.becomes),
                ByteSize(LARGEST_PAGE),
            ));
        }
        if chunk.compression() == Compression::UNCOMPRESSED && header.becomes > header.takes {
            return Err("a page that is not compressed claims to be larger than it is".into());
        }
        largest = largest.max(header.becomes);
        at = at.saturating_add(header.length + header.takes);
    }
    Ok(largest)
}

/// What a page says of itself.
struct PageHeader {
    /// Bytes of the header.
    length: u64,
    /// Bytes of the page in the file.
    takes: u64,
    /// Bytes of the page once decoded.
    becomes: u64,
}

impl PageHeader {
    /// Reads a header (Thrift's compact protocol, fields 2 and 3 of `PageHeader` in
    /// `parquet.thrift`). The `parquet` crate keeps its own reader of headers to itself.
    fn read(input: &mut dyn Read) -> Result<Self, std::io::Error> {
        let mut reader = Compact { input, length: 0 };
        let (mut takes, mut becomes) = (None, None);
        let mut field = 0;
        while let Some(kind) = reader.field(&mut field)? {
            match (field, kind) {
                (2, INTEGER) => becomes = Some(reader.integer()?),
                (3, INTEGER) => takes = Some(reader.integer()?),
                (_, kind) => reader.skip(kind, 0)?,
            }
        }
        let size = |value: Option<i64>| {
            value
                .and_then(|value| u64::try_from(value).ok())
                .ok_or_else(|| damaged("it does not say how large the page is"))
        };
        Ok(Self {
            length: reader.length,
            takes: size(takes)?,
            becomes: size(becomes)?,
        })
    }
}

/// The compact protocol's number of a 32-bit integer.
const INTEGER: u8 = 5;

/// Headers nest three deep.
const DEEPEST: usize = 16;

fn damaged(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

struct Compact<'a> {
    input: &'a mut dyn Read,
    length: u64,
}

impl Compact<'_> {
    fn byte(&mut self) -> Result<u8, std::io::Error> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        self.length += 1;
        Ok(byte[0])
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Result<u64, std::io::Error> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(damaged("a number is too long"))
    }

    fn integer(&mut self) -> Result<i64, std::io::Error> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// The next field's type; nothing at the end of a struct.
    fn field(&mut self, id: &mut i64) -> Result<Option<u8>, std::io::Error> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => self.integer()?,
            further => id.wrapping_add(i64::from(further)),
        };
        Ok(Some(byte & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), std::io::Error> {
        if depth > DEEPEST {
            return Err(damaged("it is nested too deep"));
        }
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => {
                self.number()?;
            }
            7 => self.pass(8)?,
            8 => {
                let length = self.number()?;
                self.pass(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let count = match byte >> 4 {
                    15 => self.number()?,
                    few => u64::from(few),
                };
                for _ in 0..count {
                    match byte & 0x0f {
                        // Truth values have a byte of their own in lists.
                        1 | 2 => self.pass(1)?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            12 => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return Err(damaged("it has a field of an unknown type")),
        }
        Ok(())
    }

    fn pass(&mut self, bytes: u64) -> Result<(), std::io::Error> {
        let passed = std::io::copy(&mut self.input.take(bytes), &mut std::io::sink())?;
        self.length += passed;
        if passed == bytes {
            Ok(())
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn headers_are_read_whatever_else_is_in_them() {
        // type 0, becomes 1000, takes 100, a struct with a truth value and a list of two strings.
        let bytes = [
            0x15, 0x00, 0x15, 0xd0, 0x0f, 0x15, 0xc8, 0x01, 0x2c, 0x11, 0x19, 0x28, 1, b'a', 0, 0,
            0,
        ];
        let header = PageHeader::read(&mut bytes.as_slice()).unwrap();
        assert_eq!((header.becomes, header.takes), (1000, 100));
        assert_eq!(header.length, bytes.len() as u64);
        for cut in 0..bytes.len() {
            assert!(PageHeader::read(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        let mut nested = vec![0x1c; 100];
        nested.extend([0; 101]);
        let refused = PageHeader::read(&mut nested.as_slice()).err().unwrap();
        assert!(refused.to_string().contains("too deep"), "{refused}");
    }
}
