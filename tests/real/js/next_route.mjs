// Serve one Next.js route handler as Next.js does: requests and answers of the platform,
// streamed both ways. Told: the handler's file and the port. Every other path is a page.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { Readable } from "node:stream";

const [file, port] = process.argv.slice(2);
// Next.js takes .js for a module; Node.js does not, without a package.json beside it.
const source = await readFile(file, "utf8");
const route = await import(`data:text/javascript,${encodeURIComponent(source)}`);

createServer(async (incoming, outgoing) => {
  if (!incoming.url.startsWith("/api/")) {
    outgoing.setHeader("Content-Type", "text/html");
    outgoing.end('<!doctype html><link rel="icon" href="data:,"><p>My UI</p>');
    return;
  }
  const leaving = new AbortController();
  outgoing.on("close", () => leaving.abort());
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value));
  const hasBody = !["GET", "HEAD"].includes(incoming.method);
  const answer = await route[incoming.method](
    new Request(`http://localhost:${port}${incoming.url}`, {
      method: incoming.method,
      headers,
      body: hasBody ? Readable.toWeb(incoming) : null,
      duplex: "half",
      signal: leaving.signal,
    }),
  );
  for (const [name, value] of answer.headers) outgoing.appendHeader(name, value);
  outgoing.writeHead(answer.status);
  outgoing.flushHeaders();
  if (answer.body === null) return outgoing.end();
  Readable.fromWeb(answer.body).on("error", () => outgoing.destroy()).pipe(outgoing);
}).listen(Number(port), "127.0.0.1", () => console.log("ready"));
