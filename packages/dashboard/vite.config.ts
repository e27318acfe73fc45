import { defineConfig } from "vite";

const hub = process.env.FERRY_HUB ?? "http://127.0.0.1:8787";

export default defineConfig({
  base: "/_/",
  build: {
    target: "es2022",
    // One script and one sheet with fixed names: the hub tags them by their contents.
    rolldownOptions: { output: { entryFileNames: "app.js", assetFileNames: "app[extname]", codeSplitting: false } },
    modulePreload: { polyfill: false },
  },
  // `npm run dev` beside `ferry serve`: what the page asks is passed on.
  server: { proxy: { "/_/api": hub } },
});
