import { ferry } from "@ferry/client/vite";
import { defineConfig } from "vite";

// ferry() runs `ferry dev` as long as this server, and tells the page where the hub is.
export default defineConfig({ plugins: [ferry()] });
