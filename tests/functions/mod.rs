//! Functions over EdgePod's wire and Ferry's.

mod answers;
mod auth;
mod calls;
mod deploy;
mod exhaustion;
mod fairness;
mod guards;
mod hooks;
mod isolation;
mod kept_results;
mod limits;
mod live;
mod other_models;
mod owners;
mod processes;
mod soundness;

use std::net::SocketAddr;

use ferry_testkit::{
    Hub,
    functions::{EdgePodClient, deployment},
    http::{self, Response},
    hub::Options,
};
use serde_json::{Value, json};

use crate::support::{Place, hub, options};

/// The schema that most tests use.
pub(crate) const SCHEMA: &str = r#"
import { table, integer, text, relations } from "@ferry/server/schema";
export const users = table("users", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  name: text("name").notNull(),
  email: text("email").unique(),
});
export const posts = table("posts", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  title: text("title").notNull(),
  userId: integer("user_id").references(() => users.id, { onDelete: "cascade" }),
});
export const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
export const postsRelations = relations(posts, ({ one }) => ({
  author: one(users, { fields: [posts.userId], references: [users.id] }),
}));
"#;

/// The functions that most tests use.
pub(crate) const FUNCTIONS: &str = r#"
import { query, mutation, action, internal } from "@ferry/server";
import { eq } from "drizzle-orm";
import { users, posts } from "../schema";

export async function getUsers(ctx) { return ctx.db.select().from(users); }
export async function getUserById(ctx, { id }) {
  return ctx.db.select().from(users).where(eq(users.id, id)).get();
}
export async function getPosts(ctx) { return ctx.db.select().from(posts); }
export async function createUser(ctx, { name, email }) {
  return ctx.db.insert(users).values({ name, email }).returning().get();
}
export async function createPost(ctx, { title, userId }) {
  return ctx.db.insert(posts).values({ title, userId }).returning().get();
}
export async function rename(ctx, { id, name }) {
  return ctx.db.update(users).set({ name }).where(eq(users.id, id));
}
export async function insertThenThrow(ctx) {
  await ctx.db.insert(users).values({ name: "gone" });
  throw new Error("boom");
}
export const countUsers = query(async (ctx) => (await ctx.db.select().from(users)).length);
export const addUser = mutation(async (ctx, { name }) => ctx.db.insert(users).values({ name }).returning().get());
export const addTwo = action(async (ctx, { first, second }) => {
  await ctx.db.insert(users).values({ name: first });
  if (!second) throw new Error("stopped");
  await ctx.db.insert(users).values({ name: second });
});
export const hidden = internal(async () => "hidden");
export const constant = 42;
export default async function () { return "default"; }
export async function _private() { return "private"; }
export async function echo(ctx, args) { return args; }
export async function whoami(ctx) { return ctx.user; }
"#;

/// A user's database with functions deployed, and a publishable key for it.
pub(crate) struct Functions {
    pub(crate) place: Place,
    pub(crate) key: String,
}

impl Functions {
    pub(crate) fn new() -> Self {
        Self::with(&[], FUNCTIONS)
    }

    /// Those of `functions/index.ts` beside [`SCHEMA`].
    pub(crate) fn with(settings: &[&str], functions: &str) -> Self {
        Self::of(
            settings.iter().fold(options(), |options, setting| options.arg(*setting)),
            &[("schema.ts", SCHEMA), ("functions/index.ts", functions)],
        )
    }

    /// With `FERRY_TEST_ISOLATION=process` in the environment of the tests, functions run in processes of their own.
    pub(crate) fn of(options: Options, files: &[(&str, &str)]) -> Self {
        let options = match std::env::var("FERRY_TEST_ISOLATION") {
            Ok(isolation) => options.arg(format!("--functions-isolation={isolation}")),
            Err(_) => options,
        };
        let place = Place::of(options.start());
        let key = key(&place);
        let functions = Self { place, key };
        functions.deploy(files);
        functions
    }

    pub(crate) fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        Self { place: self.place.restarted_with(change), key: self.key }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.hub.address()
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.place.hub
    }

    /// A page with a session of its own.
    pub(crate) fn page(&self, session: &str) -> EdgePodClient {
        EdgePodClient::new(self.address(), &self.key, session)
    }

    /// A call of the deployment API.
    pub(crate) fn admin(&self, method: &str, call: &str, body: &Value) -> Response {
        let path = format!("/v1/databases/{}/functions/{call}", self.place.database);
        let bearer = format!("Bearer {}", self.place.user.token);
        let body = if method == "GET" { String::new() } else { body.to_string() };
        http::send(self.address(), method, &path, &[("Authorization", &bearer)], body.as_bytes()).unwrap()
    }

    /// Deploys a project in place of what is there.
    #[track_caller]
    pub(crate) fn deploy(&self, files: &[(&str, &str)]) -> Value {
        let mut body = deployment(files);
        body["base"] = self.admin("GET", "info", &Value::Null).json()["deployment"].clone();
        let answer = self.admin("POST", "deploy", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let metrics = http::send(self.address(), "GET", "/metrics", &[], b"").unwrap().text();
        let line =
            metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
    }
}

/// A publishable key of EdgePod's form.
pub(crate) fn key(place: &Place) -> String {
    let value = "ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    let spec = json!({ "value": value, "kind": "publishable", "label": "page", "models": ["functions"],
        "ops": ["read", "write"] });
    let request = json!({ "database": place.database, "spec": spec });
    place.user.ferry("CreateApiKey", &request).unwrap();
    value.to_owned()
}

/// The hashes that an answer names.
pub(crate) fn tables(answer: &Response) -> Vec<String> {
    let json = answer.json();
    let hashes = json["_meta"]["t"].as_array().unwrap_or_else(|| panic!("no tables in {json}"));
    hashes.iter().map(|hash| hash.as_str().unwrap().to_owned()).collect()
}

pub(crate) const USERS: &str = "4l0bjr";
pub(crate) const POSTS: &str = "4heh4u";

/// A hub without functions, for its routes.
pub(crate) fn bare() -> Place {
    Place::of(hub())
}
