/** Files as parts of a message: made the way agent-chat-ui makes them, read however they were made. */

import { strings } from "../strings.js";

const words = strings.chat;
const PDF = "application/pdf";
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const TEXT_ENDINGS = /\.(?:txt|md|csv|tsv|json|log|ya?ml|xml|toml)$/i;

/** Kinds of images that browsers show and models take. SVG is a document with scripts, so none of these. */
export const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
/** What the file dialogue offers. */
export const ACCEPTED = [...IMAGES, PDF, "text/*", ".md", ".csv", ".json", ".log"].join(",");

/**
 * The kind of a file that may be attached, or null. Systems do not know all kinds of text.
 * @param {File} file
 */
export function kindOf({ name, type }) {
  if (IMAGES.includes(type) || type === PDF || type.startsWith("text/")) return type;
  return TEXT_ENDINGS.test(name) ? "text/plain" : null;
}

/** Reads a file. Rejects when it is gone or may not be read. */
export async function partOf(file) {
  const mimeType = kindOf(file);
  const data = await base64Of(file);
  return IMAGES.includes(mimeType)
    ? { type: "image", mimeType, data, metadata: { name: file.name } }
    : { type: "file", mimeType, data, metadata: { filename: file.name } };
}

function base64Of(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

/**
 * The files in a message's content: `picture` is an address to show, null for what is no image of ours.
 * @returns {{name: string, picture: string | null}[]}
 */
export function attachmentsOf({ content }) {
  if (!Array.isArray(content)) return [];
  return content.filter((part) => ["image", "image_url", "file", "audio"].includes(part?.type)).map(attachment);
}

function attachment(part) {
  const { metadata } = part;
  const name = [metadata?.name, metadata?.filename, part.filename, part.name].find((one) => typeof one === "string" && one !== "");
  return { name: name ?? words.attachment, picture: pictureOf(part) };
}

/** Only what is in the message itself is shown: an address elsewhere would tell who reads it, and when. */
function pictureOf(part) {
  const url = part.image_url?.url ?? part.image_url;
  const [, type, data] =
    typeof url === "string" ? (/^data:([a-z/]+);base64,(.*)$/s.exec(url) ?? []) : ["", part.mimeType ?? part.mime_type, part.data ?? part.base64];
  return IMAGES.includes(type) && typeof data === "string" && BASE64.test(data) ? `data:${type};base64,${data}` : null;
}
