import { defineConfig } from "vite";

const hub = process.env.FERRY_HUB ?? "http://127.0.0.1:8787";

export default defineConfig({
  base: "/_/",
  build: {
    target: "es2022",
    // Scripts and a sheet with fixed names: the hub tags them by their contents. What is the hub's as a whole comes when it is opened.
    rolldownOptions: { output: { entryFileNames: "app.js", chunkFileNames: "[name].js", assetFileNames: "app[extname]" } },
    modulePreload: false,
  },
  // `npm run dev` beside `ferry serve`: what the page asks is passed on.
  server: { proxy: { "/_/api": hub } },
});
