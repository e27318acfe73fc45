// Verifies: OPR-51, OPR-56
// What a viewer does not get: of each page, and of each call; and ten thousand databases, of which a list opens none.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { call } from "./hub.ts";
import { ADMIN, fill, hub, open, team, useBrowser, VIEWER, writer } from "./page.ts";

useBrowser("--rate-limit-scale", "0", "--max-databases-per-org", "20000");

const PROTO = readFileSync(new URL("../../../proto/ferry/admin/v1/admin.proto", import.meta.url), "utf8");
const RPCS = [...PROTO.matchAll(/^ {2}rpc (\w+)\(/gm)].map(([, name]) => name!);
/** What an operator may alone. */
const OPERATOR = [
  "GetServerInfo", "ListSigningKeys", "RotateSigningKey", "RetireSigningKey", "ListUsers", "CreateUser", "DisableUser", "IssuePasswordReset", "TestMail", "GetSettings",
  "GetSeries", "SetUserOperator", "RunDoctor", "CreateBackup", "VerifyBackup", "PruneBackups", "CancelJob", "GetBackupStatus",
  "PauseBackups", "ResumeBackups", "GetLineage",
];
/** What everybody does with his own account, or before he has one. */
const OWN = [
  "Whoami", "Signup", "Login", "StartOAuth", "CompleteOAuth", "RefreshSession", "ListSessions", "RevokeSession", "RevokeAllSessions",
  "ChangePassword", "ResetPassword", "RequestPasswordReset", "VerifyEmail", "RequestVerification", "DeleteAccount", "CreateOrg", "ListOrgs", "AcceptInvitation",
];
/** Reserved. */
const NOT_YET = ["ForkDatabase", "ResetDatabase"];

/** A viewer of Ada's organisation, who is signed in on a page. */
async function viewer() {
  const made = await team();
  const invitation = await call(hub, "CreateInvitation", { org: made.org, email: VIEWER.email, role: "viewer" }, made.token);
  const member = await call(hub, "Signup", { ...VIEWER, inviteCode: invitation.code });
  const page = await open();
  await fill(page, VIEWER, "Sign in");
  const asked = (method: string, message: object) =>
    page.evaluate(async ([method, body]) => {
      const headers = { "Content-Type": "application/json", "Ferry-Dashboard": "1" };
      return (await fetch(`/_/api/ferry.admin.v1.AdminService/${method}`, { method: "POST", headers, body: body! })).status;
    }, [method, JSON.stringify(message)]);
  return { ...made, page, asked, userId: member.whoami.userId as string };
}

test("every call is refused to a viewer that is not a viewer's, as it is to somebody from elsewhere", async () => {
  const { token, database, org, asked, userId } = await viewer();
  const key = await call(hub, "CreateApiKey", { database, spec: { kind: "secret", ops: ["read"], models: ["pages"] } }, token);
  const invitation = await call(hub, "CreateInvitation", { org, email: "x@example.com", role: "viewer" }, token);
  const issued = await call(hub, "IssueSyncToken", { databaseId: database, ops: ["read"], ttlSeconds: 60 }, token);
  /** With all that is right but the role. */
  const ADMINS: Record<string, object> = {
    CreateDatabase: { name: "more", org }, RenameDatabase: { database, name: "x" }, DeleteDatabase: { databaseId: database, confirmName: "notes" },
    RevokeDatabaseTokens: { database }, RevokeToken: { tokenId: issued.tokenId },
    CreateApiKey: { database, spec: { kind: "secret", ops: ["read"], models: ["pages"] } }, ListApiKeys: { database }, RotateApiKey: { id: key.id },
    RevokeApiKey: { id: key.id }, SetJwtSettings: { database, settings: { issuer: "https://a.example", audience: "a", jwksUrl: "https://a.example/jwks" } },
    GetJwtSettings: { database }, TestJwt: { database, token: "x.y.z" },
    RenameOrg: { org, name: "x" }, DeleteOrg: { org, confirmName: "x" }, SetMemberRole: { org, userId, role: "admin" },
    RemoveMember: { org, userId: "u_01a22c61-3bb0-74c1-854a-0568c7d72508" },
    CreateInvitation: { org, email: "y@example.com", role: "admin" }, ListInvitations: { org }, RevokeInvitation: { id: invitation.id }, ListAuditEvents: { org },
    CloseConnection: { id: "c_0_0" }, ListMembers: { org }, ListBackups: { database }, RestoreDatabase: { database, newName: "x" }, GetJob: { id: "job_0" },
  };
  /** What a viewer may ask of a database or organisation, and nobody from elsewhere. */
  const MEMBERS: Record<string, object> = {
    GetDatabase: { database }, ListDatabases: { org }, IssueSyncToken: { databaseId: database, ops: ["read"], ttlSeconds: 60 },
    ListTokens: { database }, ListTables: { database }, QueryDatabase: { database, sql: "SELECT 1" }, ListConnections: { database },
  };
  // A new call has its place here.
  expect([...OPERATOR, ...OWN, ...NOT_YET, ...Object.keys(ADMINS), ...Object.keys(MEMBERS)].sort()).toEqual([...RPCS].sort());
  for (const method of OPERATOR) expect([401, 403], method).toContain(await asked(method, {}));
  // Of a token, an invitation or a connection that is not his he does not even learn that it is there.
  const hidden = ["RevokeToken", "RevokeInvitation", "CloseConnection", "GetJob"];
  for (const [method, message] of Object.entries(ADMINS)) expect(await asked(method, message), method).toBe(hidden.includes(method) ? 404 : 403);
  await (await writer(token, database))("PUT", "records/app/notes/n1", { text: "x" });
  for (const [method, message] of Object.entries(MEMBERS)) expect(await asked(method, message), method).toBe(200);
  const elsewhere = (await call(hub, "Signup", { email: "eve@example.com", password: "a third password" })).sessionToken;
  for (const [method, message] of Object.entries({ ...ADMINS, ...MEMBERS })) {
    expect([403, 404], `${method} from elsewhere`).toContain((await call(hub, method, message, elsewhere)).status);
  }
  // Nothing of it was done.
  expect((await call(hub, "GetDatabase", { database }, token)).name).toBe("notes");
  expect((await call(hub, "ListApiKeys", { database }, token)).apiKeys).toHaveLength(1);
  expect((await call(hub, "ListInvitations", { org }, token)).invitations).toHaveLength(1);
});

test("a page that is an admin's shows a viewer the refusal, and a role that goes takes its pages with it", async () => {
  const { token, database, org, page, userId } = await viewer();
  await call(hub, "CreateApiKey", { database, spec: { kind: "secret", label: "payroll", ops: ["read"], models: ["pages"] } }, token);
  for (const tab of ["functions", "keys", "events"]) {
    await page.goto(`${hub.url}/_/databases/${database}/${tab}`);
    await page.getByRole("alert").first().waitFor();
    expect(await page.locator("main").getByText("payroll").count(), tab).toBe(0);
  }
  await page.goto(`${hub.url}/_/hub/settings`);
  await page.getByLabel("Operator token").waitFor();
  expect(await page.getByText("query_seconds").count()).toBe(0);

  await call(hub, "SetMemberRole", { org, userId, role: "admin" }, token);
  await page.goto(`${hub.url}/_/databases/${database}`);
  await page.getByRole("button", { name: "Delete" }).waitFor();
  await call(hub, "SetMemberRole", { org, userId, role: "viewer" }, token);
  await page.getByRole("button", { name: "Delete" }).waitFor({ state: "detached", timeout: 2000 });
  await page.getByRole("link", { name: "API keys" }).waitFor({ state: "detached" });
  await call(hub, "RemoveMember", { org, userId }, token);
  await page.getByText("You do not belong to its organisation any more").waitFor({ timeout: 2000 });
  expect(await page.getByText(database).count()).toBe(0);
});

test("ten thousand databases are listed and found, and those that are closed stay closed", async () => {
  const { token } = await team();
  const written: string[] = [];
  for (let from = 0; from < 10_000; from += 100) {
    const made = await Promise.all(Array.from({ length: 100 }, (_, at) => call(hub, "CreateDatabase", { name: `app-${String(from + at).padStart(5, "0")}`, kind: "hub" }, token)));
    written.push(made[0]!.id);
  }
  for (const id of written) await (await writer(token, id))("PUT", "records/app/notes/n1", { text: "x" });
  await hub.kill();
  await hub.start();
  const numbers = async (name: string) => {
    const operator = readFileSync(`${hub.data}/operator.token`, "utf8").trim();
    const text = await (await fetch(`${hub.url}/metrics`, { headers: { Authorization: `Bearer ${operator}` } })).text();
    return Number(new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1] ?? NaN);
  };
  const page = await open();
  await fill(page, ADMIN, "Sign in");
  await page.getByText("200 are shown.").waitFor();
  // What a crash left in a WAL is taken in by the first look at it; after that nothing is opened.
  await page.getByRole("button", { name: "More" }).click();
  await page.getByText("400 are shown.").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("app-0990");
  await expect.poll(() => page.locator("tbody tr").count()).toBe(10);
  const row = page.getByRole("row").filter({ hasText: "app-09900" });
  expect((await row.locator("td").allTextContents()).slice(1, 4)).toEqual(["hub", "1", "records"]);
  expect(await numbers("ferry_databases")).toBe(10_001);
  expect(await numbers("ferry_databases_open")).toBeLessThanOrEqual(1);
}, 300_000);
