/** A mail server that keeps what it is sent. */

import { createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

export type Mail = { to: string; text: string };
export type MailServer = { settings: (url: string) => Record<string, string>; mails: Mail[]; link: (to: string, page: string) => Promise<string>; end: () => void };

const WAIT_MS = 15_000;

export async function startMailServer(): Promise<MailServer> {
  const mails: Mail[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.setEncoding("utf8").on("error", () => undefined).on("close", () => sockets.delete(socket));
    const say = (line: string) => socket.write(`${line}\r\n`);
    let [to, data, inData, rest] = ["", "", false, ""];
    const line = (text: string): void => {
      if (inData && text !== ".") {
        data += `${text.replace(/^\./, "")}\r\n`;
        return;
      }
      if (inData) {
        mails.push({ to, text: decoded(data) });
        [inData, data] = [false, ""];
        say("250 queued");
        return;
      }
      if (/^RCPT/i.test(text)) to = /<(.*)>/.exec(text)?.[1] ?? "";
      inData = /^DATA/i.test(text);
      say(inData ? "354 go on" : /^QUIT/i.test(text) ? "221 bye" : "250 ok");
    };
    say("220 double ESMTP");
    socket.on("data", (chunk) => {
      const lines = (rest + chunk).split("\r\n");
      rest = lines.pop() ?? "";
      lines.forEach(line);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const settings = (url: string) => ({
    FERRY_MAIL_HOST: "127.0.0.1", FERRY_MAIL_PORT: String(port), FERRY_MAIL_TLS: "none", FERRY_MAIL_FROM: "hub@example.com", FERRY_PUBLIC_URL: url,
  });
  /** The newest link to a page that was mailed there; it is taken out, so that the next call waits for another. */
  const link = async (to: string, page: string) => {
    for (const begun = Date.now(); Date.now() - begun < WAIT_MS; await pause(30)) {
      const at = mails.findLastIndex((mail) => mail.to === to && mail.text.includes(`/_/${page}#`));
      if (at >= 0) return new RegExp(`http\\S*/_/${page}#[\\w-]+`).exec(mails.splice(at, 1)[0]!.text)![0];
    }
    throw new Error(`no mail to ${to} with a link to ${page}`);
  };
  const end = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { settings, mails, link, end };
}

/** Quoted-printable undone. */
function decoded(data: string): string {
  const bytes = data.replaceAll("=\r\n", "").replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
