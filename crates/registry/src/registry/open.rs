//! How a registry comes to be: made, opened, found.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use disinherit_formats::write_file;

use crate::catalog::contract::Catalog;
use crate::catalog::sql::pool::SqlCatalog;
use crate::crash;
use crate::error::RegistryError;
use crate::objects::blobs::Blobs;
use crate::place::apart::Apart;
use crate::place::location::{Location, without_password};
use crate::place::lock::Lock;
use crate::place::marker::{FOLDER, FORMAT, MARKER, Marker, find_marker, folder_of, write_marker};
use crate::place::storage::{Patience, Storage};
use crate::registry::Registry;

impl Registry {
    /// Makes a registry in `folder/.disinherit`.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] when there is one already, or [`RegistryError::Io`].
    pub fn create(folder: &Path) -> Result<Self, RegistryError> {
        Self::create_with(&Location::Folder(folder.to_owned()), None)
    }

    /// Makes a registry in a folder's `.disinherit` or on shared storage. The catalog is a file in
    /// the folder, or in a PostgreSQL database (`postgres://user@host/database`), which shared storage
    /// must have. Its address is written down without the password, which is taken from the
    /// environment (`PGPASSWORD`) when the registry is opened.
    ///
    /// # Errors
    /// [`RegistryError::Exists`] when there is one already, or what making it says.
    pub fn create_with(location: &Location, catalog: Option<&str>) -> Result<Self, RegistryError> {
        let marker = Marker::new(catalog.map(without_password).transpose()?);
        match location {
            Location::Folder(folder) => {
                let path = folder.join(FOLDER);
                if path.join(MARKER).exists() {
                    return Err(RegistryError::Exists(path));
                }
                let objects = path.join("objects");
                std::fs::create_dir_all(&objects).map_err(RegistryError::io("make", &objects))?;
                // The catalog first, the marker last: without the marker there is no registry yet.
                let registry = Self::in_folder(&path, catalog)?;
                crash::point("create before marker");
                write_file(&path.join(MARKER), &marker.to_bytes()?)?;
                Ok(registry)
            }
            Location::Storage { url, settings } => {
                let catalog =
                    catalog.ok_or_else(|| RegistryError::NeedsCatalog(url.to_string()))?;
                let there = runtime()?.block_on(find_marker(url, settings))?;
                if there.is_some() {
                    return Err(RegistryError::Exists(url.as_str().into()));
                }
                let storage = Storage::open(url, settings, Patience::Long)?;
                let registry = Self::on_storage(storage.clone(), catalog)?;
                registry.runtime.block_on(write_marker(&storage, &marker))?;
                Ok(registry)
            }
        }
    }

    /// Opens the registry in `folder/.disinherit`, or in `folder` itself.
    ///
    /// # Errors
    /// [`RegistryError::NoRegistry`], [`RegistryError::Newer`], or what reading it says.
    pub fn open(folder: &Path) -> Result<Self, RegistryError> {
        let path = folder_of(folder);
        let file = path.join(MARKER);
        let text = match std::fs::read(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(RegistryError::NoRegistry(folder.to_owned()));
            }
            other => other.map_err(RegistryError::io("read", &file))?,
        };
        let marker = Marker::from_bytes(&text, &path.display().to_string())?;
        let registry = Self::in_folder(&path, marker.catalog.as_deref())?;
        if marker.format < FORMAT {
            // The catalog has just been brought up to date: a version that does not know it must
            // not open it any more.
            write_file(&file, &Marker::new(marker.catalog).to_bytes()?)?;
        }
        Ok(registry)
    }

    /// Opens the registry at a location.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_at(location: &Location) -> Result<Self, RegistryError> {
        let (url, settings) = match location {
            Location::Folder(folder) => return Self::open(folder),
            Location::Storage { url, settings } => (url, settings),
        };
        let marker = runtime()?.block_on(find_marker(url, settings))?;
        let marker = marker.ok_or_else(|| RegistryError::NoRegistry(url.as_str().into()))?;
        let format = marker.format;
        let catalog = marker.catalog.ok_or_else(|| RegistryError::Document {
            what: MARKER.into(),
            reason: "it does not say where the catalog is".into(),
        })?;
        let storage = Storage::open(url, settings, Patience::Long)?;
        let registry = Self::on_storage(storage.clone(), &catalog)?;
        if format < FORMAT {
            let marker = Marker::new(Some(catalog));
            // Who may not write the marker writes nothing that an earlier version does not know.
            let _ = registry.runtime.block_on(write_marker(&storage, &marker));
        }
        Ok(registry)
    }

    /// The nearest registry at or above `start`, as git finds its own.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn discover(start: &Path) -> Result<Self, RegistryError> {
        let full = start
            .canonicalize()
            .map_err(RegistryError::io("read", start))?;
        let found = full
            .ancestors()
            .find(|folder| folder.join(FOLDER).join(MARKER).exists());
        match found {
            Some(folder) => Self::open(folder),
            None => Err(RegistryError::NoRegistry(start.to_owned())),
        }
    }

    /// A registry in memory.
    ///
    /// # Errors
    /// [`RegistryError::Catalog`].
    pub fn in_memory() -> Result<Self, RegistryError> {
        let runtime = runtime()?;
        let catalog: Arc<dyn Catalog> = Arc::new(runtime.block_on(SqlCatalog::in_memory())?);
        let blobs = Blobs::in_memory();
        Ok(Self {
            path: None,
            address: "memory".into(),
            actor: String::new(),
            apart: Apart::new(None, &catalog, &runtime, "memory", &blobs),
            blobs,
            catalog,
            runtime,
            users: Arc::default(),
        })
    }

    /// A registry over blobs of the caller's making, with its catalog in memory or in a PostgreSQL
    /// database.
    ///
    /// # Errors
    /// [`RegistryError::Catalog`].
    pub fn over(blobs: Blobs, catalog: Option<&str>) -> Result<Self, RegistryError> {
        Self::at("memory", blobs, catalog)
    }

    /// A registry over blobs, with an address to be told by.
    fn at(address: &str, blobs: Blobs, catalog: Option<&str>) -> Result<Self, RegistryError> {
        let mut registry = Self::in_memory()?;
        if let Some(address) = catalog {
            let opened = registry
                .runtime
                .block_on(SqlCatalog::in_postgres(address))?;
            registry.catalog = Arc::new(opened);
        }
        registry.apart = Apart::new(None, &registry.catalog, &registry.runtime, address, &blobs);
        registry.blobs = blobs;
        registry.address = address.to_owned();
        Ok(registry)
    }

    fn in_folder(path: &Path, catalog: Option<&str>) -> Result<Self, RegistryError> {
        let runtime = runtime()?;
        let file = path.join("catalog.sqlite");
        let catalog = runtime.block_on(async {
            match catalog {
                Some(address) => SqlCatalog::in_postgres(address).await,
                None => SqlCatalog::in_file(&file).await,
            }
        })?;
        Ok(Self {
            blobs: Blobs::in_folder(&path.join("objects"))?,
            apart: Apart::Lock(Lock::new(path)),
            path: Some(path.to_owned()),
            address: path.display().to_string(),
            actor: String::new(),
            catalog: Arc::new(catalog),
            runtime,
            users: Arc::default(),
        })
    }

    fn on_storage(storage: Storage, catalog: &str) -> Result<Self, RegistryError> {
        let address = storage.site.location.clone();
        Self::at(&address, Blobs::on_storage(storage), Some(catalog))
    }
}

fn runtime() -> Result<Arc<Runtime>, RegistryError> {
    let built = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("registry")
        .enable_all()
        .build();
    built
        .map(Arc::new)
        .map_err(RegistryError::io("start threads for", "the registry"))
}
