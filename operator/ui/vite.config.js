// Builds the two pages, and what the router's own pages link to, into the router's package. Nothing built is committed.
import { readFileSync } from "node:fs";

import { defineConfig } from "vite";

const { version } = JSON.parse(readFileSync("package.json", "utf8"));

export default defineConfig({
  define: { __VERSION__: JSON.stringify(version) },
  base: "/",
  logLevel: "warn",
  build: {
    outDir: "../moltbot_router/static",
    emptyOutDir: true,
    target: "es2022",
    // light-dark() and nesting as they are: every browser since the middle of 2024.
    cssTarget: ["chrome123", "safari17.5", "firefox120"],
    // data: URLs are left to the pages' own decision.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: { index: "index.html", admin: "admin.html", pages: "src/pages/pages.ts" },
      output: {
        // The router's own pages link these two by name; all else carries its hash and can be kept for ever.
        entryFileNames: (chunk) => (chunk.name === "pages" ? "assets/pages.js" : "assets/[name]-[hash].js"),
        chunkFileNames: "assets/[name]-[hash].js",
        assetFileNames: (asset) => (asset.names.includes("pages.css") ? "assets/pages.css" : "assets/[name]-[hash][extname]"),
      },
    },
  },
});
