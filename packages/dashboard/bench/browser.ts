/** The browser and the hub of the tests. */
export { binary } from "../test/hub.ts";
export { ADMIN, fill, hub, open, team, useBrowser, writer } from "../test/page.ts";
