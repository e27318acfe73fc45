/** `@ferry/client/vite`: a Vite plugin that runs `ferry dev` beside the page's dev server. */

import { resolve } from "node:path";
import { loadEnv, type Plugin, type ViteDevServer } from "vite";
import { DevHub, type DevHubOptions, type Serving } from "./vite/dev-hub.ts";

/** What {@link ferry} takes. */
export interface FerryPluginOptions {
  /** The program; default: `FERRY_BIN` of the environment, else `ferry` on the PATH. */
  binary?: string;
  /** The project's folder, in which `ferry/` lies; default: Vite's root. */
  project?: string;
  /** Further arguments of `ferry dev`. */
  args?: string[];
}

declare global {
  interface ImportMetaEnv {
    /** Where the hub is, of the plugin `@ferry/client/vite`. */
    readonly FERRY_URL: string;
    /** The page's API key, of the plugin `@ferry/client/vite`. */
    readonly FERRY_KEY: string;
  }
}

/**
 * Starts `ferry dev` with the dev server and stops it with it, and gives pages `import.meta.env.FERRY_URL` and
 * `import.meta.env.FERRY_KEY`. Where `ferry dev` runs already, that one is used and left running. A build takes both from the
 * environment or from `.env` files; tests (Vitest) too, if they are set.
 */
export function ferry(options: FerryPluginOptions = {}): Plugin {
  let hub: DevHub | undefined;
  let server: ViteDevServer | undefined;
  let end: (() => void) | undefined;
  return {
    name: "ferry",
    async config(config, { command, mode, isPreview }) {
      if (isPreview) return undefined;
      const root = resolve(config.root ?? ".");
      if (command === "build" || process.env.VITEST) {
        const env = loadEnv(mode, config.envDir ? resolve(root, config.envDir) : root, "");
        return { define: built(env, command === "build") };
      }
      const settings: DevHubOptions = {
        binary: options.binary ?? process.env.FERRY_BIN ?? "ferry",
        project: resolve(root, options.project ?? "."),
        args: options.args ?? [],
      };
      hub = DevHub.of(settings);
      end = hub.use({
        onMoved: () => void server?.restart(),
        onTrouble: (message) => {
          if (!server) return;
          server.config.logger.error(message, { timestamp: true });
          server.ws.send({ type: "error", err: { message, stack: "", plugin: "ferry" } });
        },
      });
      try {
        const serving = await hub.serving();
        // The hub's database changes with every write.
        return { define: defined(serving), server: { watch: { ignored: ["**/.ferry/**"] } } };
      } catch (error) {
        end();
        throw error;
      }
    },
    configureServer(made) {
      server = made;
      made.httpServer?.once("close", () => end?.());
    },
    closeBundle() {
      end?.();
    },
  };
}

function defined({ url, key }: Serving): Record<string, string> {
  return { "import.meta.env.FERRY_URL": JSON.stringify(url), "import.meta.env.FERRY_KEY": JSON.stringify(key) };
}

function built({ FERRY_URL: url, FERRY_KEY: key }: Record<string, string>, mustBe: boolean): Record<string, string> {
  const missing = Object.entries({ FERRY_URL: url, FERRY_KEY: key }).filter(([, value]) => !value).map(([name]) => name);
  if (!missing.length) return defined({ url: url!, key: key! });
  if (!mustBe) return {};
  throw new Error(
    `ferry: ${missing.join(" and ")} must be set for a build, in the environment or in .env.production: the address of the hub ` +
    "that serves the page's functions, and a publishable API key of its database (`ferry info` names both).",
  );
}
