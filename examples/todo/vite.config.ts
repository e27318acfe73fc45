import { defineConfig } from "vite";

export default defineConfig({
  // The client and the page must share one Dexie.
  resolve: { dedupe: ["dexie"] },
  build: { target: "es2022" },
  // `npm run dev` beside `ferry serve --dev`: the hub's routes are passed on.
  server: { proxy: { "/v1": "http://127.0.0.1:8787" } },
});
