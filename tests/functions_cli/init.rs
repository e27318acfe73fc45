//! `ferry init`: what it writes, and what it leaves alone.

use std::fs;

use ferry_testkit::{
    command::Ferry,
    dev::DevProject,
    functions::EdgePodClient,
    jwks_server::{Behaviour, JwksServer},
};

use crate::support::FERRY;

fn developer() -> Ferry {
    Ferry::new(FERRY, "")
}

// Verifies: FUN-70
#[test]
fn a_project_is_made_without_a_terminal() {
    let ferry = developer();
    let told = ferry.ok(&["init", "my-app", "--yes", "--template", "plain", "--no-install"]);
    assert!(told.contains("cd my-app && npm install && "), "{told}");
    let root = ferry.file("my-app");
    for name in
        ["schema.ts", "functions/index.ts", "middlewares.ts", "types.ts", "client.ts", ".env", "project.toml"]
    {
        assert!(root.join("ferry").join(name).is_file(), "{name}");
    }
    let settings = fs::read_to_string(root.join("ferry/project.toml")).unwrap();
    assert!(settings.contains("name = \"my-app\"") && settings.contains("mode = \"none\""), "{settings}");
    let package = fs::read_to_string(root.join("package.json")).unwrap();
    assert!(package.contains("\"my-app\"") && !package.contains("{{"), "{package}");
    for tarball in ["server", "client"] {
        let name = format!("ferry-{tarball}-0.1.0.tgz");
        assert!(package.contains(&format!("file:ferry/packages/{name}")), "{package}");
        let packed = fs::read(root.join("ferry/packages").join(&name)).unwrap();
        assert_eq!(packed[..2], [0x1f, 0x8b], "{name} is gzip");
    }
    // A second run changes nothing, and says what to do.
    let refused = ferry.fails(6, &["init", "my-app", "--yes", "--no-install"]);
    assert!(refused.contains("ferry dev") && refused.contains("already"), "{refused}");
}

// Verifies: FUN-70
#[test]
fn what_is_there_stays() {
    let ferry = developer();
    let root = ferry.file("shop");
    fs::create_dir_all(root.join("ferry")).unwrap();
    fs::write(root.join("package.json"), "{ \"name\": \"shop\", \"scripts\": { \"dev\": \"vite\" } }")
        .unwrap();
    fs::write(root.join("ferry/schema.ts"), "// mine\n").unwrap();
    let told = ferry.ok(&["init", "shop", "--yes", "--no-install"]);
    assert!(told.contains("left as they were: ferry/schema.ts"), "{told}");
    assert!(told.contains("npm install ./ferry/packages/ferry-client-0.1.0.tgz"), "{told}");
    assert_eq!(fs::read_to_string(root.join("ferry/schema.ts")).unwrap(), "// mine\n");
    assert!(!root.join("tsconfig.json").exists(), "an application has what it needs");
    // Under another name.
    ferry.ok(&["init", "other", "--yes", "--no-install", "--dir", "backend", "--template", "plain"]);
    let package = fs::read_to_string(ferry.file("other/package.json")).unwrap();
    assert!(package.contains("file:backend/packages/"), "{package}");
    assert!(ferry.file("other/backend/functions/index.ts").is_file());
}

// Verifies: FUN-70, CLI-01
#[test]
fn mistakes_are_told_before_anything_is_written() {
    let ferry = developer();
    let refused = ferry.fails(2, &["init", "app", "--no-install"]);
    assert!(refused.contains("no terminal") && refused.contains("--yes"), "{refused}");
    let refused = ferry.fails(2, &["init", "app", "--yes", "--no-install", "--template", "plian"]);
    assert!(refused.contains("plain"), "{refused}");
    let refused = ferry.fails(2, &["init", "app", "--yes", "--no-install", "--auth", "remote"]);
    assert!(refused.contains("--jwks-url"), "{refused}");
    let no_npm = ferry.clone().env("PATH", "/nowhere");
    let refused = no_npm.fails(1, &["init", "app", "--yes"]);
    assert!(refused.contains("npm is not found") && refused.contains("--no-install"), "{refused}");
    fs::write(ferry.file("file"), "").unwrap();
    let refused = ferry.fails(2, &["init", "file", "--yes", "--no-install"]);
    assert!(refused.contains("is a file"), "{refused}");
    assert!(!ferry.file("app").exists());
    let refused = ferry.fails(5, &["dev"]);
    assert!(refused.contains("ferry init"), "{refused}");
}

// Verifies: FUN-70
#[test]
fn the_keys_of_an_issuer_are_looked_at() {
    let ferry = developer();
    let keys = JwksServer::start(Behaviour::Answer(200, r#"{"keys":[]}"#.into()));
    let url = keys.url();
    let init = |url: &str| {
        let all = ["init", "app", "--yes", "--no-install", "--template", "plain", "--auth", "remote"];
        ferry.run(&[&all[..], &["--jwks-url", url]].concat())
    };
    let refused = init(&url);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("holds no key"), "{}", refused.stderr);
    let gone = init("http://127.0.0.1:9/jwks.json");
    assert!(gone.code == Some(2) && gone.stderr.contains("cannot be fetched"), "{}", gone.stderr);
    assert!(!ferry.file("app").exists());
}

// Verifies: FUN-70
#[test]
fn an_edgepod_project_is_taken_over() {
    const KEY: &str = "ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    let project = DevProject::of(&developer(), "app");
    let edgepod = |path: &str, text: &str| {
        let path = project.root().join("edgepod").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    edgepod(
        "schema.ts",
        "import { sqliteTable, integer, text } from \"drizzle-orm/sqlite-core\";\n\
        export const users = sqliteTable(\"users\", { id: integer(\"id\").primaryKey(), name: text(\"name\").notNull() });\n",
    );
    edgepod(
        "functions/index.ts",
        "import { users } from \"../schema\";\n\
        export async function getUsers(ctx: any) { return ctx.db.select().from(users); }\n\
        export async function createUser(ctx: any, { name }: { name: string }) {\n\
        return ctx.db.insert(users).values({ name }).returning().get(); }\n",
    );
    edgepod(
        "migrations/0000_first.sql",
        "CREATE TABLE `users` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`name` text\n);\n",
    );
    edgepod(
        "migrations/0001_named.sql",
        "DROP TABLE `users`;--> statement-breakpoint\n\
        CREATE TABLE `users` (\n\t`id` integer PRIMARY KEY NOT NULL,\n\t`name` text NOT NULL\n);\n",
    );
    let journal = r#"{"version":"7","dialect":"sqlite","entries":[{"idx":1,"tag":"0001_named"},{"idx":0,"tag":"0000_first"}]}"#;
    edgepod("migrations/meta/_journal.json", journal);
    edgepod(".env", &format!("EDGEPOD_API_KEY={KEY}\nGREETING=hello\n"));
    fs::write(project.root().join("package.json"), "{}").unwrap();
    project.ferry.ok(&["init", "app", "--from", "edgepod", "--yes", "--no-install"]);
    let settings = project.read("project.toml");
    assert!(settings.contains("port = 8989") && settings.contains(KEY), "{settings}");
    assert!(project.read("migrations/baseline.sql").contains("-- parent: none"));
    let ferry = project.ferry.clone().folder(project.root());
    let told = ferry.ok(&["migrations"]);
    assert!(told.contains("nothing to write"), "{told}");
    let dev = project.dev(&[]);
    dev.shows("deployed in");
    // EdgePod's own client, with its key.
    let page = EdgePodClient::new(dev.address, KEY, "page");
    assert_eq!(page.data("createUser", &serde_json::json!({ "name": "Ada" }))["name"], "Ada");
    assert_eq!(dev.call("getUsers", &serde_json::json!({})).status, 200);
    let missing = ferry.fails(2, &["init", "../other", "--from", "edgepod", "--yes", "--no-install"]);
    assert!(missing.contains("edgepod"), "{missing}");
}
