//! What the commands of each page need: files, databases, records; and replacements for what only a person can do, such
//! as typing an id that a list has just shown.

use std::fs;

use ferry_testkit::{
    command::{Ferry, names},
    jwt::{EC, ED, key_set},
    sample::Shape,
    wait::unix_seconds,
};
use serde_json::json;

use crate::{cli::events::workers_file, packaging::made_archive};

/// A page and its surroundings.
pub(super) struct Fixture {
    /// Path in the checkout.
    pub(super) page: &'static str,
    /// What is run in place of what stands there. All of it must stand there.
    pub(super) instead: &'static [(&'static str, &'static str)],
    /// Makes what the page says that it needs.
    pub(super) prepare: fn(&Ferry),
}

/// Every page that has commands.
pub(super) const FIXTURES: &[Fixture] = &[
    Fixture { page: "README.md", instead: README, prepare: two_files },
    Fixture { page: "docs/attenuated-tokens.md", instead: &[], prepare: two_files },
    Fixture { page: "docs/backup.md", instead: BACKUP, prepare: nothing },
    Fixture { page: "docs/events.md", instead: &[], prepare: a_log },
    Fixture { page: "docs/install.md", instead: INSTALL, prepare: the_archive },
    Fixture { page: "docs/ops.md", instead: OPS, prepare: nothing },
    Fixture {
        page: "docs/proxies.md",
        instead: &[("--listen 127.0.0.1:8787", "--listen 127.0.0.1:0")],
        prepare: nothing,
    },
    Fixture { page: "docs/pages.md", instead: &[], prepare: two_files },
    Fixture { page: "docs/records.md", instead: RECORDS, prepare: an_application },
    Fixture { page: "docs/securing-a-hub.md", instead: SECURING, prepare: foreign_credentials },
    Fixture {
        page: "docs/upgrade.md",
        instead: &[
            ("   ferry upgrade-check", "serving ferry serve\nferry upgrade-check"),
            (STATE_DIR, "./ferry-data"),
        ],
        prepare: nothing,
    },
    Fixture { page: "docs/watch.md", instead: &[], prepare: nothing },
];

const README: &[(&str, &str)] = &[
    // Built and tested before this runs; `ferry demo` has tests of its own.
    ("./demo ", ": "),
    ("./test ", ": "),
    ("cargo build --release\n", ""),
    // npm and a browser have tests of their own: tests/functions-app.
    ("ferry init my-app --yes ", "ferry init my-app --yes --no-install "),
    ("cd my-app && npm run dev ", "test -s my-app/ferry/functions/index.ts "),
    HUB_OF_SPOKES,
    ("http://localhost:8788", "http://localhost:$PORT"),
    ("ferry ops resolve cf-…", "ferry ops resolve \"$(ferry ops conflicts --store a.db | cut -f1)\""),
    // Bob's machine.
    ("ferry signup bob@", "export FERRY_CONFIG_DIR=$PWD/bob\nferry signup bob@"),
    (
        "ferry clone team/notes bobs.db",
        "ferry clone team/notes bobs.db\nexport FERRY_CONFIG_DIR=$PWD/../config",
    ),
    // What the application has done meanwhile.
    (
        "ferry events clients app my-store",
        "ferry events create app my-store\nferry events clients app my-store",
    ),
    (
        "ferry records list app todo todos",
        "put_record app todo/todos/7f3a '{\"title\":\"Buy milk\"}'\nferry records list app todo todos",
    ),
];

const BACKUP: &[(&str, &str)] = &[
    // The hub that was there is still writing its first one.
    (
        "ferry backup create\nferry backup list",
        "until ferry backup create; do sleep 0.2; done\nferry backup list",
    ),
    // A hub of another data directory has another token, and another account has the session.
    (
        "ferry db create notes\nferry events append notes v1.Made '{}' --store my-store\nferry backup create",
        "export FERRY_OPERATOR_TOKEN=$(cat restored/operator.token)\nferry admin user create you2@example.com\n\
         ferry login you2@example.com\nferry db create notes\n\
         ferry events append notes v1.Made '{}' --store my-store\nuntil ferry backup create; do sleep 0.2; done",
    ),
];

const OPS: &[(&str, &str)] = &[
    HUB_OF_SPOKES,
    ("http://localhost:8788", "http://localhost:$PORT"),
    ("http://localhost:8787", "\"$FERRY_SERVER\""),
    ("--http-addr 127.0.0.1:8790", "--http-addr 127.0.0.1:0"),
    ("--http-addr 0.0.0.0:8791", "--http-addr 0.0.0.0:$OTHER_PORT"),
    ("http://localhost:8791", "http://localhost:$OTHER_PORT"),
];

/// A hub that comes up behind its spokes, beside the one that a page speaks to.
const HUB_OF_SPOKES: (&str, &str) = (
    "ferry serve --detach --dev --listen 127.0.0.1:8788 ",
    "ferry serve --detach --dev --listen 127.0.0.1:$PORT ",
);

const RECORDS: &[(&str, &str)] = &[
    // Packages and pages have tests of their own, in a browser.
    ("(cd packages/client && npm ci && npm run build)\n", ""),
    ("(cd examples/todo && npm ci && npm run build)\n", ""),
    (
        "# then open http://127.0.0.1:8787\n",
        "\nexport FERRY_SERVER=$PREPARED\nput_record app todo/tasks/7f3a '{\"list\":\"groceries\"}'\n",
    ),
    ("--owner user-17", "--owner \"$(ferry whoami | sed -n 's/^user_id: *//p')\""),
];

const SECURING: &[(&str, &str)] = &[
    // Nobody sits at the terminal who could type the name.
    ("ferry account delete ", "ferry account delete --yes "),
    ("--listen 127.0.0.1:8787", "--listen 127.0.0.1:0"),
    ("--listen 0.0.0.0:8443", "--listen 127.0.0.1:0"),
    ("--server https://hub.example:8443", "--server \"$FERRY_SERVER\""),
    ("--server https://hub.example\n", "--server \"$FERRY_SERVER\"\n"),
    ("/CN=hub.example", "/CN=localhost"),
    ("DNS:hub.example", "DNS:localhost"),
    // Bob's machine.
    ("ferry signup bob@example.com", "FERRY_CONFIG_DIR=bob ferry signup bob@example.com"),
    // Ids that the list before has shown.
    (
        "ferry session revoke s_…",
        "FERRY_CONFIG_DIR=phone ferry login you@example.com\n\
         ferry session revoke \"$(FERRY_CONFIG_DIR=phone ferry session list | awk '/\\*$/ { print $1 }')\"",
    ),
    ("ferry session revoke-all ", "ferry session revoke-all; ferry login you@example.com "),
    ("ferry logout --keep-tokens ", "ferry logout --keep-tokens; ferry login you@example.com "),
    ("ferry key rotate k_…", "ferry key rotate \"$(ferry key list notes | awk '/backup/ { print $1 }')\""),
    (
        "ferry key revoke k_…",
        "ferry key revoke \"$(ferry key list notes | awk '/backup/ { print $1; exit }')\"",
    ),
    (
        "ferry admin key retire 9f2a11c0",
        "ferry admin key retire \"$(ferry admin key list | awk '/verifying/ { print $1 }')\"\n\
         ferry login you@example.com",
    ),
    // No test asks a server of the internet for keys.
    ("--jwks-url https://id.example/.well-known/jwks.json", "--jwks-file keys.json"),
];

/// Where the unit has the hub keep its data.
const STATE_DIR: &str = "/var/lib/ferry";

const INSTALL: &[(&str, &str)] = &[
    ("\"$HOME/.local\"", "\"$PWD/installed\""),
    // No test makes accounts and services of the machine, or has a daemon of containers.
    ("useradd ", ": useradd "),
    ("cp /usr/local/", ": cp /usr/local/"),
    ("systemctl ", ": systemctl "),
    ("cd deploy\n", ""),
    ("HUB_HOST=hub.example docker ", ": docker "),
    ("docker compose exec ", ": docker compose exec "),
    (
        "ferry admin user create you@example.com --operator-token-file /var/lib/ferry/",
        "serving ferry serve\nferry admin user create bob@example.com --operator-token-file ferry-data/",
    ),
];

fn nothing(_: &Ferry) {}

/// What the release has in its folder.
fn the_archive(ferry: &Ferry) {
    let made = made_archive().expect("who follows the page has looked for it").join("made");
    for name in names(&made) {
        fs::copy(made.join(&name), ferry.file(&name)).expect("a file");
    }
}

fn two_files(ferry: &Ferry) {
    Shape::default().create(&ferry.file("notes.db"), 50, 1);
    Shape::default().create(&ferry.file("changed.db"), 60, 2);
}

/// A store with an event, and what `wrangler dev` leaves of another.
fn a_log(ferry: &Ferry) {
    ferry.ok(&["db", "create", "app"]);
    ferry.ok(&["events", "append", "app", "v1.Made", "{}", "--store", "my-store"]);
    let folder = ".wrangler/state/v3/do/my-worker-SyncBackendDO";
    fs::create_dir_all(ferry.file(folder)).expect("a folder");
    let file = format!("{folder}/3f2b9c1e.sqlite");
    workers_file(ferry, &file, &[("team-7", "eventlog_7_team_7", "I4T0Dpcf", 4)]);
}

/// A database, and the example as it is built.
fn an_application(ferry: &Ferry) {
    ferry.ok(&["db", "create", "app"]);
    fs::create_dir_all(ferry.file("examples/todo/dist")).expect("a folder");
    fs::write(ferry.file("examples/todo/dist/index.html"), "<!doctype html>").expect("a file");
}

/// What others have made: a static token, and a JWT with the keys that prove it.
fn foreign_credentials(ferry: &Ferry) {
    fs::write(ferry.file("static-token.txt"), "a-static-token-that-a-machine-drew-0123456789")
        .expect("a file");
    fs::write(ferry.file("keys.json"), key_set(&[ED]).to_string()).expect("a file");
    fs::write(ferry.file("private-key.json"), EC.private_jwk().to_string()).expect("a file");
    let claims =
        json!({"iss": "https://id.example/", "aud": "notes", "sub": "user-17", "exp": unix_seconds() + 600});
    fs::write(ferry.file("token.jwt"), ED.token(&claims)).expect("a file");
}
