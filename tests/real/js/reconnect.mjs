// Stream runs through the gateway with one version of LangGraph's SDK, as a page would:
// signed in by cookie, with an Origin. A JSON object comes in as the only argument, a
// JSON line goes out for each run: [event id, token] pairs and how the stream ended.

import { createRequire } from "node:module";

const told = JSON.parse(process.argv[2]);
const { Client } = await load();

// Node.js 18 cannot load the module build of 1.15.0, nor the other one of 1.8.10.
async function load() {
  try {
    return createRequire(import.meta.url)(`${told.sdk}/dist/index.cjs`);
  } catch {
    return import(`file://${told.sdk}/dist/index.js`);
  }
}

async function signIn(url) {
  const answer = await fetch(`${url}/auth/login`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Origin: told.origin },
    body: JSON.stringify({ email: told.email, password: told.password }),
  });
  if (!answer.ok) throw new Error(`sign-in: ${answer.status} ${await answer.text()}`);
  return answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0]).join("; ");
}

async function answering(url) {
  for (;;) {
    try {
      if ((await fetch(`${url}/healthz`)).ok) return;
    } catch { /* not yet */ }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function read(parts, heard) {
  for await (const part of parts) {
    if (part.id) heard.last = part.id;
    if (part.event === "messages" && part.data[0].content) {
      heard.tokens.push([part.id, part.data[0].content]);
    }
  }
}

async function stream({ name, url, thread, headers }, cookie) {
  const client = new Client({
    apiUrl: `${url}/graph`,
    apiKey: null,
    defaultHeaders: { Cookie: cookie, Origin: told.origin, ...headers },
  });
  const heard = { tokens: [], last: undefined };
  const again = { tokens: [], last: undefined };
  let error = null;
  let run;
  try {
    await read(
      client.runs.stream(thread, "agent", {
        input: { messages: [{ type: "human", content: told.text }] },
        streamMode: "messages-tuple",
        streamResumable: true,
        onRunCreated: (created) => { run = created.run_id; },
      }),
      heard,
    );
  } catch (caught) {
    error = `${caught.name}: ${caught.message}`;
  }
  if (new Set(heard.tokens.map(([id]) => id)).size < told.whole) {
    // What an application does when it has been told of trouble: look which run there
    // is, and join it after the last event it has; told of none, from the beginning.
    await answering(url);
    run ??= (await client.runs.list(thread))[0].run_id;
    const after = error ? heard.last : undefined;
    if (after) again.tokens = [...heard.tokens];
    await read(client.runs.joinStream(thread, run, { lastEventId: after ?? "-1" }), again);
  }
  const line = { name, tokens: heard.tokens, error, again: again.tokens };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const cookies = new Map();
for (const { url } of told.cells) if (!cookies.has(url)) cookies.set(url, await signIn(url));
await Promise.all(told.cells.map((cell) => stream(cell, cookies.get(cell.url))));
