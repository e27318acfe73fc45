/** A provider of GitHub's shape, which checks what the real one checks: client, secret, codes used once, the challenge. */

import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";

export type Provider = { url: string; settings: (hub: string) => Record<string, string>; person: { id: number; email: string }; end: () => Promise<void> };

export async function startProvider(person: { id: number; email: string }): Promise<Provider> {
  const grants = new Map<string, { challenge: string; redirect: string }>();
  const tokens = new Set<string>();
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url!, "http://provider");
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const json = (status: number, value: unknown) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(value));
      if (url.pathname === "/authorize") {
        const code = `c0de${grants.size}`;
        grants.set(code, { challenge: url.searchParams.get("code_challenge")!, redirect: url.searchParams.get("redirect_uri")! });
        const to = `${url.searchParams.get("redirect_uri")}?code=${code}&state=${url.searchParams.get("state")}`;
        // As people do: a page, and a click.
        return response.writeHead(200, { "Content-Type": "text/html" }).end(`<!doctype html><title>Provider</title><a href="${to}">Agree</a>`);
      }
      if (url.pathname === "/token") {
        const form = new URLSearchParams(body);
        const grant = grants.get(form.get("code")!);
        grants.delete(form.get("code")!);
        const proven = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        if (form.get("client_id") !== "client-1" || form.get("client_secret") !== "s3cret" || proven !== grant?.challenge) {
          return json(400, { error: "invalid_grant" });
        }
        tokens.add(`t${tokens.size}`);
        return json(200, { access_token: `t${tokens.size - 1}`, token_type: "bearer" });
      }
      const bearer = request.headers.authorization?.split(" ")[1];
      if (!bearer || !tokens.has(bearer)) return json(401, {});
      if (url.pathname === "/user") return json(200, { login: "ada", id: provider.person.id });
      return json(200, [{ email: provider.person.email, primary: true, verified: true, visibility: null }]);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const at = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const provider: Provider = {
    url: at,
    person,
    settings: (hub) => ({
      FERRY_OAUTH_REDIRECT_BASE: hub, FERRY_GITHUB_CLIENT_ID: "client-1", FERRY_GITHUB_CLIENT_SECRET: "s3cret",
      FERRY_GITHUB_AUTHORIZE_URL: `${at}/authorize`, FERRY_GITHUB_TOKEN_URL: `${at}/token`,
      FERRY_GITHUB_USER_URL: `${at}/user`, FERRY_GITHUB_EMAILS_URL: `${at}/emails`,
    }),
    end: () => new Promise((resolve) => server.close(() => resolve())),
  };
  return provider;
}
