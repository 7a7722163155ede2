// The browser remembers of an upload its session, and a hash of each part that has arrived with the ETag that its PUT
// answered. By localStorage; where that may not be used (cookies are blocked, the frame is sandboxed, it is full), for the life of the page.
//
// This file is in both examples, the same, so that each can be taken alone; a test compares the two.

const PIECE_BYTES = 8 * 1024 * 1024;
const fallback = new Map();

export class Memory {
  /** @param {string} name what the upload is known by */
  constructor(name) {
    this.name = name;
  }

  get session() {
    return read(this.name);
  }

  /** A new session has nothing of the one before. */
  set session(session) {
    this.forget();
    write(this.name, session);
  }

  /** The hash and the ETag of what was sent as this part. */
  sentPart(index) {
    const [, hash, etag] = read(this.#nameOf(index))?.match(/^(\S+) (.+)$/) ?? [];
    return { hash, etag };
  }

  /** Without a hash or an ETag nothing is noted, and the part is sent again when the upload is gone on with. */
  notePart(index, hash, etag) {
    if (hash && etag) write(this.#nameOf(index), `${hash} ${etag}`);
    else this.forgetPart(index);
  }

  forgetPart(index) {
    remove(this.#nameOf(index));
  }

  forget() {
    for (const name of names()) if (name === this.name || name.startsWith(this.#nameOf(''))) remove(name);
  }

  #nameOf(index) {
    return `${this.name} part ${index}`;
  }
}

/**
 * A hash of a part, 8 MiB at a time, since SubtleCrypto wants all at once: the SHA-256 of the SHA-256 of each piece. None
 * on a page without SubtleCrypto: one that came over plain http from another machine.
 */
export async function hashOf(blob, signal) {
  if (!globalThis.crypto?.subtle) return undefined;
  const hashes = [];
  for (let at = 0; at < blob.size; at += PIECE_BYTES) {
    signal?.throwIfAborted();
    const piece = await blob.slice(at, at + PIECE_BYTES).arrayBuffer().catch(() => {
      throw new Error('The file was changed or deleted. Choose it again.');
    });
    hashes.push(new Uint8Array(await crypto.subtle.digest('SHA-256', piece)));
  }
  const whole = await new Blob(hashes).arrayBuffer();
  return hexOf(await crypto.subtle.digest('SHA-256', whole));
}

/**
 * Names to the server the parts that a file is to be made of, by the ETags of all of them in order: their SHA-256. None if
 * one is not known, or where there is no SubtleCrypto.
 */
export async function hashOfEtags(etags) {
  if (!globalThis.crypto?.subtle || !etags.every(Boolean)) return undefined;
  const text = new TextEncoder().encode(etags.map((etag) => `${etag}\n`).join(''));
  return hexOf(await crypto.subtle.digest('SHA-256', text));
}

/** An ETag as the session's status has it: without quotes. */
export function plainEtag(etag) {
  return etag?.replaceAll('"', '');
}

function hexOf(buffer) {
  return [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function read(name) {
  try {
    return localStorage.getItem(name) ?? fallback.get(name) ?? null;
  } catch {
    return fallback.get(name) ?? null;
  }
}

function write(name, value) {
  remove(name);
  try {
    localStorage.setItem(name, value);
  } catch {
    fallback.set(name, value);
  }
}

function remove(name) {
  fallback.delete(name);
  try {
    localStorage.removeItem(name);
  } catch {
    // There is nothing of it.
  }
}

function names() {
  try {
    return [...fallback.keys(), ...Object.keys(localStorage)];
  } catch {
    return [...fallback.keys()];
  }
}
