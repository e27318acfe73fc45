/** What only a sync token may: one is made for it, which lives a minute and is revoked at once. */

import { Refusal, root, rpc } from "./api.ts";

export async function write(
  database: string, wanted: { model: string; ops: string[] }, path: string, body: object | string,
): Promise<void> {
  const made = await rpc<{ token: string; tokenId: string }>("IssueSyncToken", {
    databaseId: database, ops: wanted.ops, models: [wanted.model], ttlSeconds: 60, label: "dashboard",
  });
  try {
    const headers = { Authorization: `Bearer ${made.token}`, "Content-Type": "application/json" };
    const answer = await fetch(`${root}v1/databases/${database}/${path}`, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body), credentials: "omit" });
    if (answer.ok) return;
    const told = (await answer.json().catch(() => undefined)) as { error?: { message?: string; code?: string } } | undefined;
    throw new Refusal(told?.error?.message ?? `the hub answered ${answer.status}`, answer.status, told?.error?.code ?? "", answer.headers.get("x-request-id") ?? "");
  } finally {
    await rpc("RevokeToken", { tokenId: made.tokenId }).catch(() => undefined);
  }
}
