/** A TCP proxy in front of the hub that can do what networks do. */

import { createServer, connect, type Server, type Socket } from "node:net";
import { freePort } from "./hub.ts";

export class Proxy {
  /** Of connections that are made from now on nothing is forwarded, and nobody is told. */
  isFrozen = false;
  /** Answers to calls (`POST /rpc/…`) that are thrown away together with their connection. */
  dropAnswers = 0;
  /** Answers to calls wait for this. */
  hold: Promise<void> | undefined;
  /** Calls that came through. */
  calls = 0;
  readonly #sockets = new Set<Socket>();
  readonly #frozen = new WeakSet<Socket>();
  readonly #server: Server;

  private constructor(readonly port: number, private readonly hubPort: number) {
    this.#server = createServer((client) => this.#serve(client));
  }

  static async start(hubPort: number): Promise<Proxy> {
    const proxy = new Proxy(await freePort(), hubPort);
    await new Promise<void>((resolve) => proxy.#server.listen(proxy.port, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Of the connections that are there nothing is forwarded any more, and nobody is told: they are half open. */
  freeze(): void {
    for (const socket of this.#sockets) this.#frozen.add(socket);
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async end(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(client: Socket): void {
    const hub = connect(this.hubPort, "127.0.0.1");
    if (this.isFrozen) this.#frozen.add(client);
    const isFrozen = () => this.#frozen.has(client);
    let isCall = false;
    for (const [from, to] of [[client, hub], [hub, client]] as const) {
      this.#sockets.add(from);
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        if (!isFrozen()) to.destroy();
      });
    }
    client.on("data", (data) => {
      if (isFrozen()) return;
      isCall = data.toString("latin1").startsWith("POST /rpc/");
      if (isCall) this.calls++;
      hub.write(data);
    });
    hub.on("data", async (data) => {
      if (isFrozen()) return;
      if (isCall && this.dropAnswers > 0) {
        this.dropAnswers--;
        return void client.destroy();
      }
      if (isCall) await this.hold;
      client.write(data);
    });
  }
}
