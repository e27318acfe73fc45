//! Deployments over the wire: plans, migrations, kills, ways back (acceptance scenario 13).

use ferry_testkit::{
    functions::{FunctionsSaid, deployment},
    http,
    hub::Options,
    migration_files::migration_file,
    wait,
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, SCHEMA, USERS};
use crate::support::options;

/// What deploys these sources on top of what is active.
fn body(functions: &Functions, schema: &str) -> Value {
    let mut body = deployment(&[("schema.ts", schema), ("functions/index.ts", FUNCTIONS)]);
    body["base"] = active(functions);
    body
}

fn active(functions: &Functions) -> Value {
    functions.admin("GET", "info", &Value::Null).json()["deployment"].clone()
}

/// A database with two users, one of whom has a post.
fn filled() -> Functions {
    let functions = Functions::new();
    let page = functions.page("s");
    assert_eq!(page.call("createUser", &json!({ "name": "Ada" })).status, 200);
    assert_eq!(page.call("createUser", &json!({ "name": "Grace", "email": "g@x" })).status, 200);
    assert_eq!(page.call("createPost", &json!({ "title": "one", "userId": 1 })).status, 200);
    functions
}

fn count(functions: &Functions, function: &str) -> usize {
    let answer = functions.page("count").call(function, &json!({}));
    answer.json()["data"].as_array().unwrap_or_else(|| panic!("{}", answer.text())).len()
}

fn with_default() -> String {
    SCHEMA.replace(r#"name: text("name").notNull()"#, r#"name: text("name").notNull().default("nobody")"#)
}

// Verifies: FUN-62, FUN-64, FUN-65, FUN-67
#[test]
fn migrations_lose_nothing_unasked() {
    let functions = filled();
    let made = functions.admin("POST", "deploy", &body(&functions, &with_default()));
    assert_eq!(made.status, 200, "{}", made.text());
    let made = made.json();
    assert!(made["backup"].as_str().unwrap().contains(made["deployment"].as_str().unwrap()));
    assert_eq!(
        (count(&functions, "getUsers"), count(&functions, "getPosts")),
        (2, 1),
        "no child went with its parent"
    );
    // What is required needs a value; calls go on meanwhile and afterwards.
    let required = with_default().replace("email:", "age: integer(\"age\").notNull(),\n  email:");
    let refused = functions.admin("POST", "deploy", &body(&functions, &required));
    assert_eq!(refused.status, 409, "{}", refused.text());
    let error = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("users.age: 2 rows; give it a default, or --backfill users.age=<json>"),
        "{error}"
    );
    assert_eq!(count(&functions, "getUsers"), 2);
    let mut filled = body(&functions, &required);
    filled["hints"] = json!({ "backfills": { "users.age": 7 } });
    assert_eq!(functions.admin("POST", "deploy", &filled).status, 200);
    let user = functions.page("s").call("getUserById", &json!({ "id": 1 })).json();
    assert_eq!(user["data"]["age"], 7);
    // A name that changes is asked about, and keeps its values.
    let renamed = required.replace("title: text(\"title\")", "title: text(\"headline\")");
    let plan =
        json!({ "base": active(&functions), "schema": body(&functions, &renamed)["schema"], "hints": {} });
    let plan = functions.admin("POST", "plan", &plan).json();
    let asked = json!({ "kind": "rename", "from": "posts.title", "to": ["posts.headline"] });
    assert!(plan["questions"].as_array().unwrap().contains(&asked), "{plan}");
    let mut decided = body(&functions, &renamed);
    let refused = functions.admin("POST", "deploy", &decided);
    assert!(refused.text().contains("--rename posts.title=posts.headline"), "{}", refused.text());
    decided["hints"] = json!({ "renames": { "posts.title": "posts.headline" } });
    assert_eq!(functions.admin("POST", "deploy", &decided).status, 200);
    assert_eq!(functions.page("s").call("getPosts", &json!({})).json()["data"][0]["title"], "one");
}

// Verifies: FUN-61, FUN-63, FUN-66
#[test]
fn a_dry_run_and_a_refusal_change_nothing() {
    let functions = filled();
    let before = functions.admin("GET", "info", &Value::Null).text();
    let without = SCHEMA.replace("  email: text(\"email\").unique(),\n", "");
    let mut asked = body(&functions, &without);
    let refused = functions.admin("POST", "deploy", &asked);
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("column users.email: 1 value"), "{}", refused.text());
    asked["allowDestructive"] = true.into();
    asked["dryRun"] = true.into();
    let tried = functions.admin("POST", "deploy", &asked).json();
    assert_eq!((&tried["deployment"], &tried["dryRun"]), (&Value::Null, &json!(true)), "{tried}");
    let step = tried["steps"].as_array().unwrap().iter().find(|step| step["op"] == "drop_column").unwrap();
    assert_eq!(
        (&step["table"], &step["column"], &step["destructive"], &step["rows"]),
        (&json!("users"), &json!("email"), &json!(true), &json!(2))
    );
    let typed = SCHEMA.replace("email: text(\"email\")", "email: integer(\"email\")");
    let refused = functions.admin("POST", "deploy", &body(&functions, &typed)).json();
    assert_eq!(refused["error"], "Column type changes need a decision:\n  users.email: text → integer");
    assert_eq!(functions.admin("GET", "info", &Value::Null).text(), before);
}

// Verifies: FUN-68
#[test]
fn a_bundle_that_does_not_load_changes_nothing() {
    let functions = filled();
    let mut asked = body(&functions, SCHEMA);
    for (bundle, told) in
        [("export const a = ;", "1:"), ("throw new Error('at the top');\nexport const a = 1;", "at the top")]
    {
        asked["bundle"] = bundle.into();
        asked["sourceMap"] = Value::Null;
        let refused = functions.admin("POST", "deploy", &asked);
        assert_eq!(refused.status, 422, "{}", refused.text());
        let error = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains(told), "{error}");
        assert_eq!(count(&functions, "getUsers"), 2);
    }
    // Another deployment came first.
    let mut late = body(&functions, SCHEMA);
    late["base"] = Value::Null;
    let refused = functions.admin("POST", "deploy", &late);
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("you started from no deployment, and dep_"), "{}", refused.text());
    let mut taken = body(&functions, SCHEMA);
    taken["schema"]["tables"][0]["name"] = "events".into();
    let refused = functions.admin("POST", "deploy", &taken);
    assert_eq!(refused.status, 409, "{}", refused.text());
    for (method, call, wrong) in [("POST", "deploy", "{"), ("POST", "plan", "[]"), ("POST", "restore", "{}")]
    {
        let path = format!("/v1/databases/{}/functions/{call}", functions.place.database);
        let bearer = format!("Bearer {}", functions.place.user.token);
        let answer =
            http::send(functions.address(), method, &path, &[("Authorization", &bearer)], wrong.as_bytes());
        assert_eq!(answer.unwrap().status, 400, "{call}");
    }
}

// Verifies: FUN-60, FUN-68
#[test]
fn a_failing_file_is_told_with_its_statement_and_rows() {
    let functions = Functions::of(options(), &[("functions/index.ts", "export const one = () => 1;")]);
    let mut asked = deployment(&[("functions/index.ts", "export const two = () => 2;")]);
    asked["base"] = active(&functions);
    let sql = "CREATE TABLE t(x);\nINSERT INTO t VALUES (1), (1);\nCREATE UNIQUE INDEX u ON t(x);";
    asked["migrations"] = json!([migration_file("1_x", None, sql)]);
    let refused = functions.admin("POST", "deploy", &asked);
    assert_eq!(refused.status, 422, "{}", refused.text());
    let told = refused.json();
    assert_eq!((&told["migration"], &told["statement"]), (&json!("1_x"), &json!(3)), "{told}");
    assert_eq!((&told["rows"], &told["success"]), (&json!([{ "x": 1 }, { "x": 1 }]), &json!(false)));
    assert!(told["sql"].as_str().unwrap().starts_with("CREATE UNIQUE INDEX u"));
    assert_eq!(functions.page("s").call("one", &json!({})).json()["data"], 1);
    // The file may be edited.
    let sql = sql.replace("(1), (1)", "(1), (2)");
    asked["migrations"] = json!([migration_file("1_x", None, &sql)]);
    let made = functions.admin("POST", "deploy", &asked);
    assert_eq!(made.json()["applied"], json!(["1_x"]), "{}", made.text());
    assert_eq!(functions.page("s").call("two", &json!({})).json()["data"], 2);
}

// Verifies: FUN-68
#[test]
fn a_kill_during_a_deployment_leaves_the_old_or_the_new_whole() {
    let mut functions = filled();
    for (point, is_new) in [
        ("backup.written", false),
        ("deploy.begin", false),
        ("deploy.applied", false),
        ("actor.commit", false),
        ("actor.committed", true),
    ] {
        functions = functions.restarted_with(|options| options.fault(format!("{point}=kill")));
        let before = active(&functions);
        // Each is another schema than the one before.
        let now = functions.admin("GET", "schema", &Value::Null).text();
        let next = if now.contains("nobody") { SCHEMA.to_owned() } else { with_default() };
        let asked = body(&functions, &next);
        let path = format!("/v1/databases/{}/functions/deploy", functions.place.database);
        let bearer = format!("Bearer {}", functions.place.user.token);
        let cut = http::send(
            functions.address(),
            "POST",
            &path,
            &[("Authorization", &bearer)],
            asked.to_string().as_bytes(),
        );
        assert!(cut.is_err(), "{point}: the hub was killed");
        functions = functions.restarted_with(Options::without_faults);
        assert_eq!(active(&functions) != before, is_new, "{point}");
        let has_default = functions.admin("GET", "schema", &Value::Null).text().contains("nobody");
        assert_eq!(has_default != now.contains("nobody"), is_new, "{point}");
        assert_eq!((count(&functions, "getUsers"), count(&functions, "getPosts")), (2, 1), "{point}");
        let made = functions.admin("POST", "deploy", &body(&functions, &next));
        assert_eq!(made.status, 200, "{point}: {}", made.text());
    }
}

// Verifies: FUN-67
#[test]
fn a_backup_is_put_back_and_seq_goes_on_rising() {
    let functions = filled();
    let old = functions.admin("GET", "info", &Value::Null).json();
    let made = functions.admin("POST", "deploy", &body(&functions, &with_default())).json();
    let backup = made["backup"].as_str().unwrap();
    let info = functions.admin("GET", "info", &Value::Null).json();
    assert_eq!(info["backups"][0]["name"], backup);
    let page = functions.page("s");
    let seq = |answer: &http::Response| answer.header("ferry-seq").unwrap().parse::<u64>().unwrap();
    let last = seq(&page.call("createUser", &json!({ "name": "late" })));
    let refused = functions.admin("POST", "restore", &json!({ "backup": backup }));
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("1 commits were made after"), "{}", refused.text());
    assert_eq!(count(&functions, "getUsers"), 3);
    let restored = functions.admin("POST", "restore", &json!({ "backup": backup, "loseWrites": true }));
    assert_eq!(restored.status, 200, "{}", restored.text());
    let restored = restored.json();
    assert_eq!((&restored["deployment"], &restored["lost"]), (&old["deployment"], &json!(1)));
    let after = page.call("getUsers", &json!({}));
    assert!(seq(&after) > last && seq(&after) == restored["seq"].as_u64().unwrap());
    assert_eq!(after.json()["data"].as_array().unwrap().len(), 2);
    assert_eq!(seq(&page.call("createUser", &json!({ "name": "next" }))), seq(&after) + 1);
    let missing = functions.admin("POST", "restore", &json!({ "backup": "../main.db" }));
    assert_eq!(missing.status, 404, "{}", missing.text());
}

// A page whose socket ended with the file of before was told nothing when it came back.
// Verifies: FUN-25, FUN-29
#[test]
fn pages_that_come_back_after_a_restore_are_told_of_what_they_show() {
    let functions = filled();
    let made = functions.admin("POST", "deploy", &body(&functions, &with_default())).json();
    let page = functions.page("s1");
    let mut socket = page.socket();
    functions.page("w").data("createUser", &json!({ "name": "late" }));
    assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 3);
    let asked = json!({ "backup": made["backup"], "loseWrites": true });
    let restored = functions.admin("POST", "restore", &asked);
    assert_eq!(restored.status, 200, "{}", restored.text());
    let closed = wait::until("the socket's end", || match socket.said() {
        FunctionsSaid::Closed(code, _) => Some(code),
        _ => None,
    });
    assert_eq!(closed, 1012);
    let mut socket = page.socket();
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
    assert_eq!(page.data("getUsers", &json!({})).as_array().unwrap().len(), 2);
    functions.page("w").data("createUser", &json!({ "name": "new" }));
    assert!(matches!(socket.said(), FunctionsSaid::Text(text) if text.contains(USERS)));
}

// A schema that was none counted as an empty one.
// Verifies: FUN-63, FUN-68
#[test]
fn a_bundle_whose_schema_is_none_is_refused_and_told_how_to_make_one() {
    let functions = filled();
    for (schema, told) in [
        ("42", "no module"),
        ("null", "no module"),
        ("[]", "no module"),
        ("{ version: 1, tables: [] }", "only version, tables"),
        ("{ users: {} }", "only users"),
    ] {
        let mut body = deployment(&[("functions/index.ts", "export const x = () => 1;")]);
        let bundle = body["bundle"].as_str().unwrap();
        body["bundle"] = json!(format!("{bundle}\nexport const _ferry_schema = {schema};"));
        body["base"] = functions.admin("GET", "info", &Value::Null).json()["deployment"].clone();
        body["schema"] = Value::Null;
        body["allowDestructive"] = json!(true);
        let refused = functions.admin("POST", "deploy", &body);
        assert_eq!(refused.status, 422, "{schema}: {}", refused.text());
        assert!(refused.text().contains(told), "{schema}: {}", refused.text());
    }
    assert_eq!((count(&functions, "getUsers"), count(&functions, "getPosts")), (2, 1));
}

// Verifies: FUN-67
#[test]
fn a_kill_while_a_backup_is_put_back_leaves_the_old_or_the_new_whole() {
    for (point, is_back) in [("restore.prepared", false), ("restore.committed", true)] {
        let functions = filled();
        let made = functions.admin("POST", "deploy", &body(&functions, &with_default())).json();
        functions.page("s").data("createUser", &json!({ "name": "late" }));
        let functions = functions.restarted_with(|options| options.fault(format!("{point}=kill")));
        let path = format!("/v1/databases/{}/functions/restore", functions.place.database);
        let bearer = format!("Bearer {}", functions.place.user.token);
        let asked = json!({ "backup": made["backup"], "loseWrites": true }).to_string();
        let headers = [("Authorization", bearer.as_str())];
        let cut = http::send(functions.address(), "POST", &path, &headers, asked.as_bytes());
        assert!(cut.is_err(), "{point}: the hub was killed");
        let functions = functions.restarted_with(Options::without_faults);
        assert_eq!(count(&functions, "getUsers"), if is_back { 2 } else { 3 }, "{point}");
        assert_eq!(count(&functions, "getPosts"), 1, "{point}");
        let has_default = functions.admin("GET", "schema", &Value::Null).text().contains("nobody");
        assert_eq!(has_default, !is_back, "{point}");
        functions.page("s").data("createUser", &json!({ "name": "next" }));
    }
}

// Verifies: FUN-67
#[test]
fn a_backup_is_put_back_with_the_events_and_ops_of_its_time() {
    let source = format!(
        "{FUNCTIONS}\nexport async function note(ctx, {{ text }}) {{\n\
           ctx.events.append(\"app\", {{ name: \"v1.Noted\", args: {{ text }} }});\n\
           ctx.ops.append([{{ kind: \"create\", entity: `note/${{text}}`, value: text }}]);\n\
           return (await ctx.db.insert(users).values({{ name: text }}).returning().get()).id;\n}}\n\
         export async function counts(ctx) {{\n\
           const n = (table) => ctx.unsafeRawDb.get(sql.raw(`SELECT count(*) AS n FROM ${{table}}`)).n;\n\
           return [n(\"events\"), n(\"ops_entities\"), n(\"users\")];\n}}\nimport {{ sql }} from \"drizzle-orm\";"
    );
    let files = |schema: &'static str| [("schema.ts", schema), ("functions/index.ts", source.as_str())];
    let functions = Functions::of(crate::support::options(), &files(SCHEMA));
    let page = functions.page("s");
    page.data("note", &json!({ "text": "before" }));
    let schema: &'static str = Box::leak(with_default().into_boxed_str());
    let made = functions.deploy(&files(schema));
    page.data("note", &json!({ "text": "after" }));
    assert_eq!(page.data("counts", &json!({})), json!([2, 2, 2]));
    let asked = json!({ "backup": made["backup"], "loseWrites": true });
    let restored = functions.admin("POST", "restore", &asked);
    assert_eq!(restored.status, 200, "{}", restored.text());
    assert_eq!(page.data("counts", &json!({})), json!([1, 1, 1]));
    // Who holds what is gone is known by that: events wait for their operator, ops begin a new epoch.
    let noted = page.call("note", &json!({ "text": "again" }));
    assert!(noted.status == 200 || noted.text().contains("on hold"), "{}", noted.text());
}

// Verifies: FUN-68
#[test]
fn of_two_deployments_over_one_base_one_is_made() {
    let functions = filled();
    let bodies = ["'a'", "'b'", "'c'", "'d'"].map(|text| {
        let files = [("schema.ts", SCHEMA), ("functions/index.ts", "export const x = () => TEXT;")];
        let source = files[1].1.replace("TEXT", text);
        let mut body = deployment(&[files[0], ("functions/index.ts", &source)]);
        body["base"] = active(&functions);
        body
    });
    let answers: Vec<(u16, Value)> = std::thread::scope(|scope| {
        let functions = &functions;
        let deploy = |body| scope.spawn(move || functions.admin("POST", "deploy", body));
        let deploying: Vec<_> = bodies.iter().map(deploy).collect();
        let answers = deploying.into_iter().map(|deploying| deploying.join().unwrap());
        answers.map(|answer| (answer.status, answer.json()["deployment"].clone())).collect()
    });
    let made: Vec<&Value> = answers.iter().filter(|(status, _)| *status == 200).map(|(_, id)| id).collect();
    assert_eq!(made, [&active(&functions)], "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [200, 409].contains(status)), "{answers:?}");
}

// Verifies: FUN-05, FUN-68
#[test]
fn new_functions_are_called_with_the_secrets_that_come_with_them() {
    let functions = Functions::of(
        crate::support::options(),
        &[("functions/index.ts", "export const env = (ctx) => `0 ${ctx.env.N ?? 0}`;")],
    );
    let page = functions.page("s");
    let over = &std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let caller = functions.page("c");
        let calling = scope.spawn(move || {
            while !over.load(std::sync::atomic::Ordering::Acquire) {
                let shown = caller.data("env", &json!({}));
                let (code, env) = shown.as_str().unwrap().split_once(' ').unwrap();
                // The secrets are those of this deployment, or of one that is being made.
                assert!(env.parse::<u32>().unwrap() >= code.parse::<u32>().unwrap(), "{shown}");
            }
        });
        for number in 1..=12 {
            let source = format!("export const env = (ctx) => `{number} ${{ctx.env.N ?? 0}}`;");
            let mut body = deployment(&[("functions/index.ts", &source)]);
            body["base"] = active(&functions);
            body["env"] = json!({ "N": number.to_string() });
            let made = functions.admin("POST", "deploy", &body);
            assert_eq!(made.status, 200, "{}", made.text());
            assert!(made.json().get("warnings").is_none(), "{}", made.text());
            assert_eq!(page.data("env", &json!({})), json!(format!("{number} {number}")));
        }
        over.store(true, std::sync::atomic::Ordering::Release);
        calling.join().unwrap();
    });
    // What cannot be set is refused before anything is made.
    let mut body = deployment(&[("functions/index.ts", "export const env = () => 'new';")]);
    body["base"] = active(&functions);
    body["env"] = json!({ "no name": "x" });
    assert_eq!(functions.admin("POST", "deploy", &body).status, 400);
    assert_eq!(page.data("env", &json!({})), json!("12 12"));
}

// Verifies: FUN-68
#[test]
fn a_rollback_needs_its_own_schema() {
    let functions = filled();
    let first = active(&functions);
    let files = [("schema.ts", SCHEMA), ("functions/index.ts", "export const getUsers = () => 'new';")];
    functions.deploy(&files);
    assert_eq!(functions.page("s").call("getUsers", &json!({})).json()["data"], "new");
    let moved = functions.admin("POST", "rollback", &json!({ "deployment": first }));
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!((active(&functions), count(&functions, "getUsers")), (first.clone(), 2));
    assert_eq!(functions.admin("POST", "deploy", &body(&functions, &with_default())).status, 200);
    let refused = functions.admin("POST", "rollback", &json!({ "deployment": first }));
    assert_eq!(refused.status, 409, "{}", refused.text());
    let unknown = functions.admin("POST", "rollback", &json!({ "deployment": "dep_0" }));
    assert_eq!(unknown.status, 400);
}

#[test]
fn what_is_deployed_is_told_to_those_who_may_know() {
    let functions = Functions::new();
    let info = functions.admin("GET", "info", &Value::Null).json();
    assert_eq!(info["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(info["migrations"][0]["kind"], "dev");
    let schema = functions.admin("GET", "schema", &Value::Null).json();
    assert_eq!((&schema["hash"], &schema["schema"]["version"]), (&info["schemaHash"], &json!(1)));
    let path = |call: &str| format!("/v1/databases/{}/functions/{call}", functions.place.database);
    let key = [("Ferry-Key", functions.key.as_str())];
    let types = http::send(functions.address(), "GET", &path("api.d.ts"), &key, b"").unwrap();
    assert_eq!(types.status, 200, "{}", types.text());
    for call in ["info", "schema"] {
        let refused = http::send(functions.address(), "GET", &path(call), &key, b"").unwrap();
        assert!([401, 403].contains(&refused.status), "{call}: {}", refused.text());
    }
    let nobody = http::send(functions.address(), "GET", &path("api.d.ts"), &[], b"").unwrap();
    assert_eq!(nobody.status, 401);
}

// It held the writer and a core for ever, and the hub could not be stopped.
// Verifies: FUN-61, FUN-68
#[test]
fn a_migration_without_end_is_undone_when_its_time_is_over() {
    let settings = options().arg("--functions-migration-ms=300");
    let functions = Functions::of(settings, &[("functions/index.ts", "export const one = () => 1;")]);
    let sql = "CREATE TABLE t(x);\nINSERT INTO t VALUES (1);\nDELETE FROM t WHERE (WITH RECURSIVE r(i) AS \
               (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r) = -1;";
    let mut asked = deployment(&[("functions/index.ts", "export const two = () => 2;")]);
    asked["base"] = active(&functions);
    asked["migrations"] = json!([migration_file("1_endless", None, sql)]);
    for is_dry in [true, false] {
        asked["dryRun"] = json!(is_dry);
        let refused = functions.admin("POST", "deploy", &asked);
        assert_eq!(refused.status, 413, "{}", refused.text());
        assert!(refused.text().contains("functions.migration_ms"), "{}", refused.text());
    }
    assert_eq!(functions.page("s").data("one", &json!({})), 1);
    asked["migrations"] = json!([migration_file("1_short", None, "CREATE TABLE t(x);")]);
    let made = functions.admin("POST", "deploy", &asked);
    assert_eq!(made.json()["applied"], json!(["1_short"]), "{}", made.text());
}
