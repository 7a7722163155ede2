// Partway's API in the shape that Uppy's AwsS3 plugin asks for.
//
// The plugin has `signRequest` tell it where each of its requests goes. For a part, that is a URL which Partway signs.
// The other four (create, list, complete, abort) are calls of Partway's own API: they are made here, and the plugin is
// sent to a data: URL that has the answer in the XML it reads. A page with a Content-Security-Policy has to allow that:
// `connect-src data:` beside the server's address.

const MIB = 1024 * 1024;
const MAX_PARTS = 10_000;

/** How large Partway wants a file's parts: 10 MiB, and more, in steps of 2 MiB, only to stay within 10,000 of them. */
export function partSize({ size }) {
  return Math.max(10 * MIB, Math.ceil(Math.ceil(size / MAX_PARTS) / (2 * MIB)) * 2 * MIB);
}

export class Partway {
  #api;
  #key;
  #ttlSeconds;
  #getFile;
  #unanswered = new Map(); // by file, the idempotency key of a start

  /** The records of the files that are complete, by Uppy's file id. */
  records = new Map();

  constructor({ server, key, ttlSeconds, getFile }) {
    this.#api = `${server.replace(/\/+$/, '')}/api/v1/multipart`;
    this.#key = key;
    this.#ttlSeconds = ttlSeconds;
    this.#getFile = getFile;
  }

  /**
   * What S3 calls the key of an object is the id of Uppy's file here, and its uploadId is Partway's session. S3 counts
   * parts from 1, Partway from 0.
   */
  signRequest = async ({ method, key: fileId, uploadId: session, partNumber }) => {
    if (partNumber) return { url: await this.#urlOf(session, partNumber - 1) };
    if (method === 'GET') return answer(await this.#list(session));
    if (method === 'DELETE') return answer(await this.abort(session));
    return answer(session ? await this.#complete(session, fileId) : await this.#start(fileId));
  };

  /** Gives a session up. Repeating it is harmless. */
  async abort(session) {
    await this.#call('DELETE', `/${session}`);
    return '';
  }

  async #start(fileId) {
    const { name, size, type } = this.#getFile(fileId);
    const body = { file_name: name, size, format: type, ttl_seconds: this.#ttlSeconds };
    // If the answer is lost, the next try gets the same session, not a second one.
    if (!this.#unanswered.has(fileId)) this.#unanswered.set(fileId, `${Date.now()}-${Math.random()}`);
    const started = await this.#call('POST', '/start', body, { 'Idempotency-Key': this.#unanswered.get(fileId) });
    this.#unanswered.delete(fileId);
    if (!this.#getFile(fileId)) await this.abort(started.session_id); // cancelled meanwhile
    if (started.part_size !== partSize({ size })) throw new Error(`Partway wants parts of ${started.part_size} bytes`);
    return xml('InitiateMultipartUploadResult', xml('UploadId', started.session_id));
  }

  /** A new URL, asked for when the part's turn comes. That also lets the session live on. */
  async #urlOf(session, index) {
    const signed = await this.#call('POST', `/${session}/parts`, { parts: [index], ttl_seconds: this.#ttlSeconds });
    return signed.parts[0].url;
  }

  async #list(session) {
    const { status, uploaded_parts: indices } = await this.#call('GET', `/${session}`);
    if (status === 'aborted' || status === 'expired') throw new CallError(410, { errorCode: 'SESSION_EXPIRED' });
    // Partway completes without entity tags, but Uppy takes a part that has none for missing.
    const parts = indices.map((index) => xml('Part', xml('PartNumber', index + 1) + xml('ETag', index + 1)));
    return xml('ListPartsResult', parts.join(''));
  }

  async #complete(session, fileId) {
    const record = await this.#call('POST', '/complete', { session_id: session });
    this.records.set(fileId, record);
    return xml('CompleteMultipartUploadResult', xml('Location', escape(record.url)) + xml('Key', escape(record.path)));
  }

  async #call(method, path, body, headers) {
    const request = { method, headers: { Authorization: `Bearer ${this.#key}`, ...headers } };
    if (body) {
      request.headers['Content-Type'] = 'application/json';
      request.body = JSON.stringify(body);
    }
    const response = await fetch(this.#api + path, request).catch(() => undefined);
    const text = await response?.text().catch(() => undefined);
    if (text === undefined) throw new CallError(0, { message: 'The server cannot be reached' });
    if (!response.ok) throw new CallError(response.status, parse(text), response.headers.get('Retry-After'));
    return parse(text);
  }
}

/** A call that had no answer (status 0), or one other than 2xx. */
class CallError extends Error {
  constructor(status, { errorCode, message } = {}, retryAfter) {
    super(message ?? `The answer was ${status}`);
    this.status = status;
    this.errorCode = errorCode;
    this.retryAfterMs = Number(retryAfter) * 1000 || 0;
  }
}

/** Codes that say of a session: it is of no more use, begin anew. */
const OVER = ['SESSION_NOT_FOUND', 'SESSION_EXPIRED', 'SESSION_ABORTED', 'FORBIDDEN'];
/** Codes that say: it is further than you think, or less far; or the URL was good once. Ask again. */
const ASK_AGAIN = ['SESSION_COMPLETED', 'PARTS_MISSING', 'URL_EXPIRED'];

/**
 * What an error, of a call or of one of the plugin's own requests, means for the upload: it is `over` and has to begin
 * anew; `again` will do, as often as it takes; so it may, if the store has `refused` a URL; or the error is `final`.
 */
export function explain(error) {
  if (error.code === 'NETWORK') return { meaning: 'again', message: 'The connection broke' };
  const isOfPlugin = error.body !== undefined;
  const { errorCode, message } = (isOfPlugin ? parse(error.body) : error) ?? {};
  const { status } = error;
  let meaning = 'final';
  if (OVER.includes(errorCode)) meaning = 'over';
  else if (ASK_AGAIN.includes(errorCode) || [0, 408, 429].includes(status) || status >= 500) meaning = 'again';
  // An S3 store says in its own words that a URL has expired (403, 400) or that its upload is gone (404).
  else if (isOfPlugin && !errorCode && [400, 403, 404].includes(status)) meaning = 'refused';
  return { meaning, message: message ?? error.message };
}

/** The JSON of Partway's answer; nothing if it is the answer of a store, of a proxy, or empty. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function answer(text) {
  return { url: `data:application/xml,${encodeURIComponent(text)}` };
}

function xml(name, content) {
  return `<${name}>${content}</${name}>`;
}

function escape(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
