//! Real proxies with the configuration files of deploy/, of which nothing is changed but addresses and certificates.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ferry_testkit::{Hub, http, tls, wait};
use tempfile::TempDir;

/// A proxy in front of a hub. It is killed when dropped.
pub(super) struct Proxy {
    child: Child,
    folder: TempDir,
    /// Where it speaks HTTPS, as `localhost`.
    pub(super) tls: SocketAddr,
    /// Where it speaks plain HTTP/1.1, for tests that do.
    pub(super) plain: SocketAddr,
    /// Where it speaks HTTP/2 without TLS, for gRPC.
    pub(super) http2: SocketAddr,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the proxy's log ---\n{}", self.log());
        }
    }
}

impl Proxy {
    /// Whose certificate it shows.
    pub(super) fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// Starts `command` in a folder that `configure` fills for these addresses.
    fn start(
        program: &Path,
        (arguments, environment): (&[&str], &[(&str, String)]),
        configure: impl FnOnce(&Path, [SocketAddr; 3]),
        (has_own_http2, below): (bool, &str),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [tls, plain, other] = free_addresses();
        let http2 = if has_own_http2 { other } else { plain };
        let _ = tls::Files::write(folder.path(), &tls::FIRST);
        fs::write(folder.path().join("authority.pem"), tls::AUTHORITY).expect("a file");
        configure(folder.path(), [tls, plain, http2]);
        let log = fs::File::create(folder.path().join("error.log")).expect("a file");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("the proxy starts");
        let mut proxy = Self { child, folder, tls, plain, http2 };
        wait::until("the proxy's start", || {
            let ended = proxy.child.try_wait().expect("our own child can be waited for");
            assert!(ended.is_none(), "the proxy ended with {ended:?}:\n{}", proxy.log());
            http::get(plain, &format!("{below}/healthz")).ok().filter(|answer| answer.status == 200)
        });
        proxy
    }
}

/// Addresses of this machine on which nothing listens.
fn free_addresses() -> [SocketAddr; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

/// A file of deploy/ with other addresses. All that is replaced must stand there.
fn shown(name: &str, instead: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    let mut text = fs::read_to_string(path).expect("the file is there");
    for (written, tried) in instead {
        assert!(text.contains(written), "{name}: nothing says {written:?} any more");
        text = text.replace(written, tried);
    }
    text
}

/// The program that `variable` names, else the one of this machine; loudly none.
fn program(variable: &str, name: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = named.or_else(|| folders.map(|folder| folder.join(name)).find(|file| file.is_file()));
    if found.is_none() {
        // Not through a macro, whose output is shown for failed tests only.
        let reply = format!("SKIPPED: the tests behind {name}: install it, or set {variable} to its path.\n");
        std::io::stderr().write_all(reply.as_bytes()).expect("standard error is open");
    }
    found
}

/// nginx with deploy/nginx.conf; `below`: where the hub is, `/hub` or nothing.
pub(super) fn nginx(hub: &Hub, below: &str) -> Option<Proxy> {
    let program = program("NGINX_BIN", "nginx")?;
    let configure = |folder: &Path, [tls, plain, http2]: [SocketAddr; 3]| {
        let listen = format!("listen {tls} ssl http2;\n    listen {plain};\n    listen {http2} http2;");
        let mut ours = shown(
            "nginx.conf",
            &[
                ("listen 443 ssl http2;", &listen),
                ("/etc/ssl/hub.example/chain.pem", "cert.pem"),
                ("/etc/ssl/hub.example/key.pem", "key.pem"),
                ("127.0.0.1:8787", &hub.address().to_string()),
            ],
        );
        if !below.is_empty() {
            ours = ours.replace("location / {", &format!("location {below}/ {{"));
            ours = ours.replace("proxy_pass http://ferry;", "proxy_pass http://ferry/;");
        }
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {kind};\n"))
            .concat();
        let main = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n    access_log off;\n\
             {temporary}    include ferry.conf;\n}}\n"
        );
        fs::write(folder.join("ferry.conf"), ours).expect("a file");
        fs::write(folder.join("main.conf"), main).expect("a file");
    };
    let arguments = ["-p", ".", "-c", "main.conf", "-e", "stderr"];
    Some(Proxy::start(&program, (&arguments, &[]), configure, (true, below)))
}

/// Caddy with deploy/Caddyfile, as [`nginx`].
pub(super) fn caddy(hub: &Hub, below: &str) -> Option<Proxy> {
    let program = program("CADDY_BIN", "caddy")?;
    let configure = |folder: &Path, [tls, plain, _]: [SocketAddr; 3]| {
        let site = |addresses: &str| {
            let handle =
                if below.is_empty() { String::new() } else { format!("\thandle_path {below}/* {{\n") };
            let (begin, end) = (format!("{addresses}{handle}"), if below.is_empty() { "" } else { "}\n" });
            let instead = [
                ("{$HUB_HOST:hub.example} {\n", &*begin),
                ("{$HUB_ADDRESS:127.0.0.1:8787}", "{$HUB_ADDRESS}"),
            ];
            shown("Caddyfile", &instead) + end
        };
        let https = site(&format!("https://localhost:{} {{\n\ttls cert.pem key.pem\n", tls.port()));
        let http = site(&format!("http://:{} {{\n", plain.port()));
        // Neither an authority of the internet nor ports of the machine; HTTP/2 without TLS.
        let global = "{\n\tadmin off\n\tauto_https disable_redirects\n\tdefault_bind 127.0.0.1\n\
                      \tservers {\n\t\tprotocols h1 h2 h2c\n\t}\n}\n";
        fs::write(folder.join("Caddyfile"), format!("{global}{https}{http}")).expect("a file");
    };
    let arguments = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    let environment = [("HUB_ADDRESS", hub.address().to_string())];
    Some(Proxy::start(&program, (&arguments, &environment), configure, (false, below)))
}
