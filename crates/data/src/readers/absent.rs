//! What stands where a reader was left out of the build: a refusal that says so.

#[cfg(not(feature = "images"))]
pub(crate) mod image_folder {
    use std::path::Path;

    use crate::error::DataError;
    use crate::options::OpenOptions;
    use crate::set::DataSet;

    pub(crate) fn read(
        _: &str,
        root: &Path,
        _: &str,
        _: &OpenOptions,
    ) -> Result<DataSet, DataError> {
        Err(DataError::unsupported(root, "images"))
    }
}

#[cfg(not(feature = "parquet"))]
pub(crate) mod parquet {
    use std::path::{Path, PathBuf};

    use crate::error::DataError;
    use crate::options::OpenOptions;
    use crate::splits::Splits;

    pub(crate) fn read(
        name: &str,
        train: &[PathBuf],
        _: &[PathBuf],
        _: &OpenOptions,
    ) -> Result<Splits, DataError> {
        let path = train.first().map_or(Path::new(name), PathBuf::as_path);
        Err(DataError::unsupported(path, "Parquet files"))
    }
}
