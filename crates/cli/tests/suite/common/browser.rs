//! A browser, and what drives it, where the machine has them.

use std::path::Path;
use std::process::Command;

/// Chromium, and a Python that drives it.
pub(crate) struct Browser {
    python: String,
    chromium: String,
}

impl Browser {
    /// The machine's own, or why there is none. `DISINHERIT_PYTHON` and `CHROMIUM` name others.
    pub(crate) fn find() -> Result<Self, String> {
        let python = std::env::var("DISINHERIT_PYTHON").unwrap_or_else(|_| "python3".into());
        let imports = "import axe_playwright_python, playwright";
        let has = Command::new(&python).args(["-c", imports]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            return Err(format!(
                "`{python}` has not both playwright and axe-playwright-python"
            ));
        }
        let chromium = chromium().ok_or("there is no Chromium")?;
        Ok(Self { python, chromium })
    }

    /// Runs a script of `tests/page`, which must end well, and returns what it says.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page");
        let output = Command::new(&self.python)
            .arg(folder.join(script))
            .args(arguments)
            .env("CHROMIUM", &self.chromium)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}{wrong}");
        said.trim().to_owned()
    }
}

fn chromium() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"].into_iter();
    let mut found = names.filter(|name| Command::new(name).arg("--version").output().is_ok());
    std::env::var("CHROMIUM").ok().or_else(|| {
        let name = found.next()?;
        let path = Command::new("which").arg(name).output().ok()?;
        Some(String::from_utf8(path.stdout).ok()?.trim().to_owned())
    })
}
