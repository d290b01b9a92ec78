//! A PostgreSQL server in a temporary folder, reached through a socket there or a port of this machine.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The account that the server runs under when the tests run as root, which it refuses.
const ACCOUNT: &str = "postgres";

/// A running server; it ends when this goes.
pub struct Postgres {
    server: Child,
    folder: TempDir,
    /// Where it listens besides its socket.
    port: u16,
}

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Errors
    /// Why there is none: PostgreSQL is not installed, or does not start.
    pub fn start() -> Result<Self, String> {
        let programs = programs().ok_or("PostgreSQL is not installed (no `initdb`)")?;
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        if as_root() {
            run(Command::new("chown").arg(ACCOUNT).arg(folder.path()))?;
        }
        run(command(programs.join("initdb").as_os_str())
            .args(["-U", "tester", "-A", "trust", "--no-sync", "-D"])
            .arg(folder.path().join("data")))?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.map_err(|error| error.to_string())?.port();
        let server = serve(folder.path(), port)?;
        Ok(Self {
            server,
            folder,
            port,
        })
    }

    /// The address of its database, through the socket.
    pub fn address(&self) -> String {
        format!(
            "postgres://tester@localhost/postgres?host={}&port={}",
            self.folder.path().display(),
            self.port
        )
    }

    /// The address of its database through a port: its own ([`Postgres::port`]), or that of a proxy in front of it.
    pub fn address_at(&self, port: SocketAddr) -> String {
        format!("postgres://tester@{port}/postgres")
    }

    /// A program of PostgreSQL's that calls servers, such as `pg_dump`.
    ///
    /// # Errors
    /// That it is not there.
    pub fn client(name: &str) -> Result<Command, String> {
        let mut folders = folders();
        let program = folders.find_map(|folder| {
            let program = folder.join(name);
            program.exists().then_some(program)
        });
        program
            .map(Command::new)
            .ok_or_else(|| format!("there is no `{name}`"))
    }

    /// Where it listens.
    pub fn port(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends the server at once, without waiting for anybody, as a crash would, and starts it again after a pause.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn restart(&mut self, pause: Duration) -> Result<(), String> {
        self.stop(Signal::QUIT);
        std::thread::sleep(pause);
        self.server = serve(self.folder.path(), self.port)?;
        Ok(())
    }

    fn stop(&mut self, signal: Signal) {
        // `postmaster.pid` names the server itself, the child may be who started it.
        let file = self.folder.path().join("data/postmaster.pid");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let number = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        if let Some(server) = number.and_then(Pid::from_raw) {
            let _ = kill_process(server, signal);
        }
        let _ = self.server.wait();
    }
}

/// Starts the server of a folder.
fn serve(folder: &Path, port: u16) -> Result<Child, String> {
    let programs = programs().ok_or("PostgreSQL is not installed (no `postgres`)")?;
    let server = command(programs.join("postgres").as_os_str())
        .args(["-F", "-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
        .arg(folder)
        .arg("-D")
        .arg(folder.join("data"))
        .spawn()
        .map_err(|error| error.to_string())?;
    let socket = folder.join(format!(".s.PGSQL.{port}"));
    for _ in 0..200 {
        if socket.exists() {
            // The socket is there a little before the server answers.
            std::thread::sleep(Duration::from_millis(300));
            return Ok(server);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err("PostgreSQL does not start".into())
}

fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program of the server's, under the account that it runs under.
fn command(program: &OsStr) -> Command {
    let mut command = if as_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", ACCOUNT, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).current_dir("/");
    command
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(Signal::INT);
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{command:?} ended with {status}"))
}

/// The folder of the server's programs.
fn programs() -> Option<PathBuf> {
    folders().find(|folder| {
        let has = |name: &str| folder.join(name).exists();
        has("initdb") && has("postgres")
    })
}

/// Where PostgreSQL's programs may be: in the search path, or where Debian puts them.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = debian.flatten().map(|version| version.path().join("bin"));
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    path.into_iter().chain(debian)
}
