//! A project with functions, made by `ferry init`, and `ferry dev` as its developer runs it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::Child,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

use crate::{command::Ferry, http, process, wait};

/// A project.
#[derive(Clone, Debug)]
pub struct DevProject {
    /// Its developer; commands run in the folder above the project's.
    pub ferry: Ferry,
    root: PathBuf,
}

/// A running `ferry dev`; it is killed when dropped.
#[derive(Debug)]
pub struct DevProcess {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Where its hub listens.
    pub address: SocketAddr,
    /// What `.ferry/dev.json` says.
    pub ready: Value,
}

impl DevProject {
    /// A project of the plain template without its packages.
    ///
    /// # Panics
    /// If `ferry init` fails.
    #[must_use]
    pub fn new(binary: &str) -> Self {
        // No hub is meant: `ferry dev` brings its own.
        let ferry = Ferry::new(binary, "");
        ferry.ok(&["init", "app", "--yes", "--template", "plain", "--no-install"]);
        let root = ferry.file("app");
        Self { ferry, root }
    }

    /// A folder of this name, in which there is no project yet.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn of(ferry: &Ferry, name: &str) -> Self {
        let root = ferry.file(name);
        fs::create_dir_all(&root).expect("a folder can be made");
        Self { ferry: ferry.clone(), root }
    }

    /// Its folder.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// A file below `ferry/`.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join("ferry").join(path)
    }

    /// The text of a file below `ferry/`.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file below `ferry/` as editors do: another one first, which takes its place.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let (file, new) = (self.file(path), self.file(&format!("{path}.tmp~")));
        fs::create_dir_all(file.parent().expect("BUG: it lies in a folder")).expect("a folder can be made");
        fs::write(&new, text).expect("a file can be written");
        fs::rename(&new, &file).expect("a file can be renamed");
    }

    /// Starts `ferry dev` at a free port and waits until its hub serves.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn dev(&self, arguments: &[&str]) -> DevProcess {
        let all: Vec<&str> = ["dev", "app", "--port", "0"].iter().chain(arguments).copied().collect();
        let mut child = self.ferry.spawn(&all);
        let log = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().expect("BUG: stdout is piped"), &log);
        follow(child.stderr.take().expect("BUG: stderr is piped"), &log);
        let path = self.root.join(".ferry/dev.json");
        let pid = child.id();
        let ready = wait::until("ferry dev's start", || {
            let ended = child.try_wait().expect("our own child can be waited for");
            assert!(ended.is_none(), "ferry dev ended: {ended:?}\n{}", text(&log));
            let found: Value = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
            // One that was killed left its file.
            (found["pid"] == pid).then_some(found)
        });
        let url = ready["url"].as_str().expect("it has a URL");
        let address = url.trim_start_matches("http://").parse().expect("the URL is an address");
        DevProcess { child, log, address, ready }
    }
}

fn follow(output: impl Read + Send + 'static, log: &Arc<Mutex<String>>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let mut text = log.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
}

fn text(log: &Mutex<String>) -> String {
    log.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl DevProcess {
    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// Forgets what it wrote so far.
    pub fn clear_log(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until it has written `wanted`; gives all that it wrote.
    ///
    /// # Panics
    /// If it does not, with what it wrote instead.
    pub fn shows(&self, wanted: &str) -> String {
        let found = wait::within(wait::LIMIT, || Some(self.log()).filter(|log| log.contains(wanted)));
        found.unwrap_or_else(|| panic!("ferry dev does not show {wanted:?}:\n{}", self.log()))
    }

    /// Calls a function as a page does.
    ///
    /// # Panics
    /// If the hub does not answer.
    #[must_use]
    pub fn call(&self, function: &str, args: &Value) -> http::Response {
        let key = self.ready["key"].as_str().expect("it has a key");
        let headers = [("Ferry-Key", key), ("Content-Type", "application/json")];
        let path = format!("/rpc/{function}");
        http::send(self.address, "POST", &path, &headers, args.to_string().as_bytes())
            .expect("the hub answers")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ctrl-C; gives the exit code.
    ///
    /// # Panics
    /// If it does not end.
    pub fn interrupt(&mut self) -> Option<i32> {
        process::interrupt(&self.child);
        wait::until("the end of ferry dev", || {
            self.child.try_wait().expect("our own child can be waited for")
        })
        .code()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }
}

impl Drop for DevProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
