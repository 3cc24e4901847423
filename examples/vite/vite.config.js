// What is the gateway's goes to the gateway, the rest is Vite's: one origin for the browser.
import { defineConfig } from "vite";

const GATEWAY = process.env.GATEWAY_URL ?? "http://localhost:8080";
// The first parts of the gateway's own paths (docs/endpoints.md), as a whole.
const OURS =
  "^/(account|acra|admin|auth|export|graph|healthz|icp|info|invite|invites|login|onboarding|register|session|static|tenants|whoami)(/|\\?|$)";

export default defineConfig({
  server: {
    port: 5173,
    strictPort: true, // the gateway is told this origin
    proxy: {
      [OURS]: {
        target: GATEWAY,
        // The gateway answers to its own name only (421 otherwise). Cookie, Origin and
        // Sec-Fetch-Site pass as the browser sent them.
        changeOrigin: true,
        ws: true,
        // With `[dev] bypass` these would say who asks, to a Host that is always right:
        // a page of any name that leads here could send them. Scripts ask the gateway.
        configure: (proxy) =>
          proxy.on("proxyReq", (request) => {
            for (const name of ["x-user-email", "x-user-roles", "x-tenant-id"]) request.removeHeader(name);
          }),
      },
    },
  },
});
