// The server, as the page sees it; and the words of the page's language.

const held = document.getElementById("words");
const words = held ? JSON.parse(held.textContent) : {};

/** A text of the catalogue's `js` section, with {names} filled in. */
export function say(key, values = {}) {
  const text = words[key];
  if (text === undefined) throw new Error(`no words for ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

export class Refused extends Error {
  constructor(status, body) {
    super(typeof body?.error === "string" ? body.error : `status ${status}`);
    this.status = status;
    this.code = body?.code ?? null;
  }
}

/** Sends JSON; the answer's JSON. Throws Refused for an answer that says no, TypeError without an answer. */
export async function send(method, path, body, keepalive = false) {
  const response = await fetch(path, {
    method,
    credentials: "same-origin",
    keepalive,
    headers: {
      "Content-Type": "application/json",
      "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content,
    },
    body: JSON.stringify(body),
  });
  const told = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, told);
  return told;
}

export const post = (path, body, keepalive) => send("POST", path, body, keepalive);

export async function get(path) {
  const response = await fetch(path, { credentials: "same-origin", headers: { Accept: "application/json" } });
  const told = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(response.status, told);
  return told;
}
