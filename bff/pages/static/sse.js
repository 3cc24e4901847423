/** Server-sent events from a byte stream, by the letter of the HTML standard. */

const LINE_END = /\r\n|\r|\n/g;

/**
 * Yields each dispatched event; an event cut off by the end of the stream is dropped, comments are skipped.
 * Leaving the loop cancels the stream.
 * @param {ReadableStream<Uint8Array>} stream
 * @returns {AsyncGenerator<{event: string, data: string, id: string}>}
 */
export async function* events(stream) {
  let event = "";
  let data = [];
  let id = "";
  for await (const line of lines(stream)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id };
      event = "";
      data = [];
      continue;
    }
    const colon = line.indexOf(":");
    if (colon === 0) continue;
    const field = colon < 0 ? line : line.slice(0, colon);
    const start = line[colon + 1] === " " ? colon + 2 : colon + 1;
    const value = colon < 0 ? "" : line.slice(start);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
  }
}

async function* lines(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let afterReturn = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      let text = decoder.decode(value, { stream: true });
      if (text === "") continue;
      if (afterReturn && text[0] === "\n") text = text.slice(1);
      afterReturn = text === "" ? false : text.endsWith("\r");
      let start = 0;
      for (const { index, 0: end } of text.matchAll(LINE_END)) {
        yield rest + text.slice(start, index);
        rest = "";
        start = index + end.length;
      }
      rest += text.slice(start);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
