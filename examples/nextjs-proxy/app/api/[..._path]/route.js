// Hand what a page asks of /api to the gateway's /graph, as the page asked it.
//
// What makes it work: Cookie, Origin and Sec-Fetch-Site go along, so that the gateway
// knows who asks and from where; nothing is read into memory, so that answers stream;
// and what the browser breaks off is broken off. No token, and no key.

const GATEWAY = (process.env.LANGGRAPH_API_URL ?? "http://localhost:8080/graph").replace(/\/+$/, "");
const FORWARDED = [
  "accept",
  "content-type",
  "cookie",
  "if-match",
  "if-none-match",
  "last-event-id",
  "origin",
  "sec-fetch-mode",
  "sec-fetch-site",
  "user-agent",
];
// What speaks of this connection, or of a body that fetch has unpacked.
const DROPPED = ["connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"];

export const dynamic = "force-dynamic";

async function handle(request) {
  const { pathname, search } = new URL(request.url);
  const headers = new Headers();
  for (const name of FORWARDED) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  let answer;
  try {
    answer = await fetch(GATEWAY + pathname.replace(/^\/api/, "") + search, {
      method: request.method,
      headers,
      body: request.body,
      duplex: "half",
      redirect: "manual",
      cache: "no-store",
      signal: request.signal,
    });
  } catch {
    // Not a 5xx for what may have begun a run: SDKs would ask for it again.
    return Response.json({ detail: "The gateway cannot be reached." }, { status: request.method === "GET" ? 502 : 409 });
  }
  const back = new Headers(answer.headers);
  for (const name of DROPPED) back.delete(name);
  return new Response(answer.body, { status: answer.status, headers: back });
}

export { handle as DELETE, handle as GET, handle as HEAD, handle as PATCH, handle as POST, handle as PUT };
