//! An S3-compatible server over a temporary folder, in this process.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const KEY: &str = "tester";
const SECRET: &str = "tester-secret";
const BUCKET: &str = "models";

/// A running server with one empty bucket; it ends when this goes.
pub struct S3 {
    address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl S3 {
    /// Starts a server.
    ///
    /// # Errors
    /// Why there is none.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        std::fs::create_dir(folder.path().join(BUCKET)).map_err(|error| error.to_string())?;
        Self::over(folder)
    }

    /// Another server, with what this one has at this moment, each object by itself: as `aws s3 sync` copies a bucket.
    ///
    /// # Errors
    /// Why there is none.
    pub fn copy(&self) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        copy(self.folder.path(), folder.path()).map_err(|error| error.to_string())?;
        Self::over(folder)
    }

    fn over(folder: TempDir) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let files = s3s_fs::FileSystem::new(folder.path()).map_err(|e| format!("{e:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let runtime = Runtime::new().map_err(|e| text(&e))?;
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .map_err(|e| text(&e))?;
        let address = listener.local_addr().map_err(|e| text(&e))?;
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Ok(Self {
            address,
            folder,
            _runtime: runtime,
        })
    }

    /// The address of the bucket.
    pub fn address(&self) -> String {
        format!("s3://{BUCKET}")
    }

    /// The folder that has the bucket's objects as files, under their keys.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    /// The file of an object in the bucket.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(name)
    }

    /// Where it listens.
    pub fn port(&self) -> SocketAddr {
        self.address
    }

    /// What the environment must say for the bucket to be found and opened.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        self.environment_at(self.address)
    }

    /// The same for the port of a proxy in front of the server.
    pub fn environment_at(&self, port: SocketAddr) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT", format!("http://{port}")),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
        ]
    }
}

/// Copies the files below a folder; one that is gone by then was not yet an object.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        let copied = match path.is_dir() {
            true => copy(&path, &target),
            false => std::fs::copy(&path, &target).map(drop),
        };
        match copied {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
