//! Guards of `ctx.db`, over the wire. Every guard on every route is tested beside the package; here: that they stand in the
//! deployed runtime, with the text of the caller's key.

use serde_json::json;

use super::{FUNCTIONS, Functions};

// Verifies: FUN-40, FUN-41, FUN-42, FUN-43
#[test]
fn guards_block_and_their_hatches_work() {
    let functions = Functions::with(
        &[],
        &format!(
            r#"{FUNCTIONS}
import {{ sql }} from "drizzle-orm";
export async function fill(ctx, {{ count }}) {{
  await ctx.db.insert(users).values(Array.from({{ length: count }}, (_, i) => ({{ name: `user ${{i}}` }})));
}}
export async function all(ctx) {{ return (await ctx.db.select().from(users)).length; }}
export async function limited(ctx) {{ return (await ctx.db.select().from(users).limit(5000)).length; }}
export async function removeAll(ctx) {{ return ctx.db.delete(users); }}
export async function removeUndefined(ctx) {{ return ctx.db.delete(users).where(undefined); }}
export async function removeInTransaction(ctx) {{ return ctx.db.transaction((tx) => tx.delete(users).run()); }}
export async function updateAll(ctx) {{ return ctx.db.update(users).set({{ name: "x" }}); }}
export async function removeReally(ctx) {{ await ctx.db.delete(users).withoutWhere(); }}
export async function rawBlocked(ctx) {{ return ctx.db.run(sql`DELETE FROM users`); }}
export async function withPosts(ctx) {{ return ctx.db.query.users.findMany({{ with: {{ posts: true }} }}); }}
"#
        ),
    );
    let page = functions.page("s1");
    for (name, error) in [
        ("removeAll", "[EdgePod] DELETE without WHERE is blocked. If intentional, chain .withoutWhere()."),
        (
            "removeUndefined",
            "[EdgePod] DELETE without WHERE is blocked. If intentional, chain .withoutWhere().",
        ),
        (
            "removeInTransaction",
            "[EdgePod] DELETE without WHERE is blocked. If intentional, chain .withoutWhere().",
        ),
        ("updateAll", "[EdgePod] UPDATE without WHERE is blocked. If intentional, chain .withoutWhere()."),
        (
            "rawBlocked",
            "[EdgePod] Raw SQL via 'ctx.db.run()' is blocked. Use ctx.db.select()/ctx.db.update(). For raw SQL, use \
             ctx.unsafeRawDb.run() and call ctx.invalidate() manually.",
        ),
    ] {
        let refused = page.call(name, &json!({}));
        assert_eq!((refused.status, refused.json()["error"].as_str()), (500, Some(error)), "{name}");
    }
    page.data("fill", &json!({"count": 1000}));
    page.data("fill", &json!({"count": 10}));
    let all = page.call("all", &json!({}));
    assert_eq!(all.json()["data"], 1000);
    assert_eq!(
        all.json()["warnings"],
        json!([
            "Query returned exactly 1000 rows — there may be more results. Use .limit() and .offset() to paginate."
        ])
    );
    let limited = page.call("limited", &json!({})).json();
    assert_eq!(limited["data"], 1000);
    assert!(limited["warnings"].to_string().contains("Query limit of 5000 overridden to 1000."), "{limited}");
    let bulk = page.call("fill", &json!({"count": 1001}));
    assert_eq!(
        bulk.json()["error"],
        "[EdgePod] Bulk insert blocked: 1001 rows > 1000. Split into smaller batches."
    );
    let removed = page.call("removeReally", &json!({}));
    assert_eq!(
        removed.json()["warnings"],
        json!(["[EdgePod] Unfiltered delete executed via .withoutWhere()."])
    );
    assert_eq!(page.data("all", &json!({})), 0);
    page.data("createUser", &json!({"name": "Ada"}));
    let id = page.data("getUsers", &json!({}))[0]["id"].clone();
    page.data("createPost", &json!({"title": "one", "userId": id}));
    assert_eq!(page.data("withPosts", &json!({}))[0]["posts"][0]["title"], "one");
}
