/** Real pages in a real Chromium. */

import { mkdirSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const ARTIFACTS = new URL("../../../target/test-artifacts/", import.meta.url).pathname;
/** Widths and heights: a telephone and a desk. */
const SIZES = { 390: 844, 1280: 760 };
type Width = keyof typeof SIZES;

export class Pages {
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];
  /** What pages threw. */
  readonly errors: string[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<Pages> {
    mkdirSync(ARTIFACTS, { recursive: true });
    return new Pages(await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
      ],
    }));
  }

  /** A device: a context has its own storage. */
  async open(url: string, width: Width = 1280, colorScheme: "light" | "dark" = "light"): Promise<Page> {
    const context = await this.#browser.newContext({ viewport: { width, height: SIZES[width] }, colorScheme, locale: "en-GB" });
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.errors.push(String(error)));
    await page.goto(url);
    // Gone after a reload.
    await page.evaluate(() => ((globalThis as { loadedOnce?: boolean }).loadedOnce = true));
    return page;
  }

  /** The page in both schemes and widths, as files of target/test-artifacts. */
  async photograph(url: string, name: string, isReady: (page: Page) => Promise<unknown>): Promise<void> {
    for (const width of [390, 1280] as const) {
      for (const scheme of ["light", "dark"] as const) {
        const page = await this.open(url, width, scheme);
        await isReady(page);
        await shot(page, `${name}-${width}-${scheme}`);
        await page.context().close();
      }
    }
  }

  async closeAll(): Promise<void> {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
  }

  async end(): Promise<void> {
    await this.#browser.close();
  }
}

export async function shot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${ARTIFACTS}functions-${name}.png`, fullPage: true });
}

export const isStillLoaded = (page: Page): Promise<boolean> =>
  page.evaluate(() => (globalThis as { loadedOnce?: boolean }).loadedOnce === true);
