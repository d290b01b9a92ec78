//! A PostgreSQL server in a temporary folder, reached through a socket there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The account that the server runs under when the tests run as root, which it refuses.
const ACCOUNT: &str = "postgres";

/// A running server; it ends when this goes.
pub struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Errors
    /// Why there is none: PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, String> {
        let programs = programs().ok_or("PostgreSQL is not installed (no `initdb`)")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let as_root = rustix::process::geteuid().is_root();
        let command = |program: &OsStr| {
            let mut command = if as_root {
                let mut command = Command::new("runuser");
                command.args(["-u", ACCOUNT, "--"]).arg(program);
                command
            } else {
                Command::new(program)
            };
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(Stdio::null()).current_dir("/");
            command
        };
        if as_root {
            run(Command::new("chown").arg(ACCOUNT).arg(folder.path()))?;
        }
        let data = folder.path().join("data");
        run(command(programs.join("initdb").as_os_str())
            .args(["-U", "tester", "-A", "trust", "--no-sync", "-D"])
            .arg(&data))?;
        let server = command(programs.join("postgres").as_os_str())
            .args(["-F", "-h", "", "-k"])
            .arg(folder.path())
            .arg("-D")
            .arg(&data)
            .spawn()
            .map_err(|error| error.to_string())?;
        let postgres = Self { server, folder };
        let socket = postgres.folder.path().join(".s.PGSQL.5432");
        for _ in 0..200 {
            if socket.exists() {
                // The socket is there a little before the server answers.
                std::thread::sleep(Duration::from_millis(300));
                return Ok(postgres);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("PostgreSQL does not start".into())
    }

    /// The address of its database.
    pub fn address(&self) -> String {
        format!(
            "postgres://tester@localhost/postgres?host={}",
            self.folder.path().display()
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // `postmaster.pid` names the server itself, the child may be who started it.
        let file = self.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let number = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        if let Some(server) = number.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(server, rustix::process::Signal::INT);
        }
        let _ = self.server.wait();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}"))
}

/// The folder of the server's programs: in the search path, or where Debian puts them.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    std::env::split_paths(&path).chain(debian).find(|folder| {
        let has = |name: &str| Path::new(folder).join(name).exists();
        has("initdb") && has("postgres")
    })
}
