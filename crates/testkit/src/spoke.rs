//! A spoke as its users run it: the real binary, over a store that survives restarts; and an app at its socket.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    hub::{Refused, clear_environment},
    process, wait,
};

/// How to start a spoke.
#[derive(Clone, Debug)]
pub struct SpokeOptions {
    binary: PathBuf,
    home: Arc<TempDir>,
    arguments: Vec<String>,
    token: Option<String>,
    environment: Vec<(String, String)>,
}

/// A running spoke; it is killed when dropped.
#[derive(Debug)]
pub struct Spoke {
    options: SpokeOptions,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl SpokeOptions {
    /// A spoke of `binary` with a folder of its own, without a hub.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            home: Arc::new(tempfile::tempdir().expect("a temporary folder")),
            arguments: Vec::new(),
            token: None,
            environment: Vec::new(),
        }
    }

    /// One more argument; in place of another one that says the same (`--interval=1h`).
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        let argument = argument.into();
        if let Some((name, _)) = argument.split_once('=') {
            self.arguments.retain(|known| known.split_once('=').is_none_or(|(known, _)| known != name));
        }
        self.arguments.push(argument);
        self
    }

    /// Syncs with the hub at `url`, showing it `token`.
    #[must_use]
    pub fn hub(mut self, url: &str, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self.arg(format!("--hub-url={url}"))
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same over another folder of its own, into which the store of this one was copied.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn copied(&self) -> Self {
        let copy = Self { home: Arc::new(tempfile::tempdir().expect("a temporary folder")), ..self.clone() };
        for entry in std::fs::read_dir(self.home.path()).expect("the folder is readable") {
            let from = entry.expect("the folder is readable").path();
            let name = from.file_name().expect("BUG: an entry has a name").to_string_lossy().into_owned();
            if name.starts_with("store.db") && !name.ends_with(".lock") && !name.ends_with(".sock") {
                std::fs::copy(&from, copy.home.path().join(name)).expect("the store can be copied");
            }
        }
        copy
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.home.path().join("store.db")
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.home.path().join("store.db.sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("spoke").arg("--store").arg(self.store()).args(&self.arguments);
        clear_environment(&mut command);
        command.env_remove("XDG_RUNTIME_DIR").env("FERRY_CONFIG_DIR", self.home.path());
        if let Some(token) = &self.token {
            command.env("FERRY_SYNC_TOKEN", token);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn start(&self) -> Spoke {
        self.try_start()
            .unwrap_or_else(|refused| panic!("the spoke ended with {:?}:\n{}", refused.code, refused.output))
    }

    /// Starts it and waits until it answers or has ended.
    ///
    /// # Errors
    /// When it ends by itself.
    ///
    /// # Panics
    /// If it does neither.
    pub fn try_start(&self) -> Result<Spoke, Refused> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("BUG: stdout is piped")),
            Box::new(child.stderr.take().expect("BUG: stderr is piped")),
        ];
        for output in outputs {
            let log = Arc::clone(&log);
            readers.push(thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let mut text = log.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&line);
                    text.push('\n');
                }
            }));
        }
        let text = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ended = wait::until("the spoke's start", || {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                return Some(Some(status));
            }
            text().contains("listens on").then_some(None)
        });
        let Some(status) = ended else {
            return Ok(Spoke { options: self.clone(), child, log });
        };
        for reader in readers {
            // It ends with the pipe.
            let _ = reader.join();
        }
        Err(Refused { code: status.code(), output: text() })
    }
}

impl Spoke {
    /// How it was started.
    #[must_use]
    pub const fn options(&self) -> &SpokeOptions {
        &self.options
    }

    /// Its store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.options.store()
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.options.socket()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection to its socket.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn connect(&self) -> SpokeApp {
        SpokeApp::connect(&self.socket())
    }

    /// One call over a connection of its own.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn try_call(&self, method: &str, params: &Value) -> Result<Value, Value> {
        self.connect().call(method, params)
    }

    /// One call that must succeed.
    ///
    /// # Panics
    /// If it is refused.
    pub fn call(&self, method: &str, params: &Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    /// Appends ops; gives their ids.
    ///
    /// # Panics
    /// If they are refused.
    pub fn append(&self, ops: &Value) -> Vec<String> {
        let written = self.call("op.append", &json!({ "ops": ops }));
        let ops = written["ops"].as_array().expect("ops were written");
        ops.iter().map(|op| op["id"].as_str().expect("an op has an id").to_owned()).collect()
    }

    /// Writes a scalar.
    pub fn set(&self, entity: &str, field: &str, value: &Value) -> String {
        let op = json!({ "kind": "set", "entity": entity, "field": field, "value": value });
        self.append(&json!([op])).remove(0)
    }

    /// An entity; `Null` if there is none.
    #[must_use]
    pub fn get(&self, entity: &str) -> Value {
        self.try_call("entity.get", &json!({ "entity": entity })).unwrap_or(Value::Null)
    }

    /// Exchanges with the hub now.
    ///
    /// # Panics
    /// If that fails.
    pub fn sync(&self) -> Value {
        self.call("sync.now", &json!({}))
    }

    /// `sync.status`.
    #[must_use]
    pub fn status(&self) -> Value {
        self.call("sync.status", &json!({}))
    }

    /// The open conflicts.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Value> {
        let found = self.call("conflicts.list", &json!({}));
        found["conflicts"].as_array().expect("a list").clone()
    }

    /// Everything that an app can see of it: entities with their fields and open conflicts. Equal on all replicas.
    #[must_use]
    pub fn state(&self) -> Value {
        let mut app = self.connect();
        let mut entities = serde_json::Map::new();
        let mut after = Value::Null;
        loop {
            let mut params = json!({ "deleted": true, "limit": 1000 });
            if after.is_string() {
                params["after"] = after;
            }
            let page = app.call("entity.list", &params).expect("entities are listed");
            for entry in page["entities"].as_array().expect("a list") {
                let name = entry["entity"].as_str().expect("an entity has a name");
                let view = app.call("entity.get", &json!({ "entity": name })).expect("it is there");
                entities.insert(name.to_owned(), view);
            }
            after = page["next"].clone();
            if !after.is_string() {
                return Value::Object(entities);
            }
        }
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        process::terminate(&self.child);
        let child = &mut self.child;
        wait::until("the spoke's end", || child.try_wait().expect("our own child can be waited for"))
    }

    /// Whether the process has ended by itself, as a fault point makes it.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be waited for").is_some()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("our own child can be waited for");
    }

    /// Starts again over the same store, after killing what still runs.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn restart(self) -> Self {
        self.restart_with(|options| options)
    }

    /// The same with changed options.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn restart_with(mut self, change: impl FnOnce(SpokeOptions) -> SpokeOptions) -> Self {
        self.kill();
        change(self.options.clone()).start()
    }
}

impl Drop for Spoke {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the log of the spoke at {} ---\n{}", self.store().display(), self.log());
        }
    }
}

/// An app at a spoke's socket.
#[derive(Debug)]
pub struct SpokeApp {
    stream: BufReader<UnixStream>,
    calls: u64,
}

impl SpokeApp {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        Self::try_connect(socket).expect("the spoke listens")
    }

    /// The same; an error if nobody listens.
    ///
    /// # Errors
    /// What the system reports.
    pub fn try_connect(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_mins(2)))?;
        Ok(Self { stream: BufReader::new(stream), calls: 0 })
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection broke.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the spoke reads");
    }

    /// The next answer; `None` at the end.
    ///
    /// # Panics
    /// If it is no JSON, or does not come in time.
    pub fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        let size = self.stream.read_line(&mut line).expect("the spoke answers");
        (size > 0).then(|| serde_json::from_str(&line).expect("an answer is JSON"))
    }

    /// Does a call.
    ///
    /// # Errors
    /// The refusal.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.try_call(method, params).expect("the spoke answers")
    }

    /// The same; `None` if the spoke has gone.
    pub fn try_call(&mut self, method: &str, params: &Value) -> Option<Result<Value, Value>> {
        self.calls += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.calls, "method": method, "params": params });
        self.stream.get_mut().write_all(format!("{request}\n").as_bytes()).ok()?;
        let mut line = String::new();
        if self.stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let answer: Value = serde_json::from_str(&line).ok()?;
        assert_eq!(answer["id"], self.calls, "{answer}");
        Some(if answer["error"].is_null() {
            Ok(answer["result"].clone())
        } else {
            Err(answer["error"].clone())
        })
    }
}
