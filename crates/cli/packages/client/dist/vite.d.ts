/** `@ferry/client/vite`: a Vite plugin that runs `ferry dev` beside the page's dev server. */
import { type Plugin } from "vite";
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
export declare function ferry(options?: FerryPluginOptions): Plugin;
