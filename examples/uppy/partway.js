// Partway's API in the shape that Uppy's AwsS3 plugin asks for.
//
// The plugin has `signRequest` tell it where each of its requests goes. For a part, that is a URL which Partway signs.
// The other four (create, list, complete, abort) are calls of Partway's own API: they are made here, and the plugin is
// sent to a data: URL that has the answer in the XML it reads. A page with a Content-Security-Policy has to allow that:
// `connect-src data:` in addition to the server's address.

import { Memory, hashOf, hashOfEtags, plainEtag } from './memory.js';

const MIB = 1024 * 1024;
const MAX_PARTS = 10_000;
const LEAST_PART_BYTES = 5 * MIB; // of the plugin

/** How large Partway wants a file's parts: 10 MiB, and more, in steps of 2 MiB, only to stay within 10,000 of them. */
export function partSize({ size }) {
  return Math.max(10 * MIB, Math.ceil(Math.ceil(size / MAX_PARTS) / (2 * MIB)) * 2 * MIB);
}

/** About half of it, for a proxy that lets no larger parts pass; none if there is no smaller one. */
export function smallerPartSize({ size, partSize }) {
  const largest = Math.min(partSize, size);
  const least = Math.max(LEAST_PART_BYTES, Math.ceil(size / MAX_PARTS / MIB) * MIB);
  const smaller = Math.max(Math.floor(largest / 2 / MIB) * MIB, least);
  return smaller < largest ? smaller : undefined;
}

export class Partway {
  #api;
  #key;
  #ttlSeconds;
  #getFile;
  #beforePart;
  #uploads;
  #unanswered = new Map(); // by file, the idempotency key of a start
  #hashes = new Map(); // by session, the hashes of parts that are on their way
  #comparingEtags = new Set(); // the sessions whose parts go to an S3 store

  /** The records of the files that are complete, by Uppy's file id. */
  records = new Map();
  /** The URL that each file's last part was to go to. */
  partUrls = new Map();

  /**
   * @param {(id: string) => object} options.getFile Uppy's file, with the `partSize` that it is sent in
   * @param {(id: string, partBytes: number) => Promise} options.beforePart what a part's URL waits for
   */
  constructor({ server, key, ttlSeconds, getFile, beforePart }) {
    const api = `${server.replace(/\/+$/, '')}/api/v1`;
    this.#api = `${api}/multipart`;
    this.#uploads = `${api}/uploads`;
    this.#key = key;
    this.#ttlSeconds = ttlSeconds;
    this.#getFile = getFile;
    this.#beforePart = beforePart;
  }

  /**
   * The key of S3's object is the id of Uppy's file here, and its uploadId is Partway's session. S3 counts
   * parts from 1, Partway from 0.
   */
  signRequest = async ({ method, key: fileId, uploadId: session, partNumber }) => {
    if (partNumber) return { url: await this.#urlOf(session, fileId, partNumber - 1) };
    if (method === 'PUT') return answer(await this.#sendEmpty(fileId));
    if (method === 'GET') return answer(await this.#list(session, fileId));
    if (method === 'DELETE') return answer(await this.abort(session));
    return answer(session ? await this.#complete(session, fileId) : await this.#start(fileId));
  };

  /**
   * A part of the file has arrived. Its hash is remembered: Uppy knows a file by its name, size, time and type, which
   * another one may have as well.
   */
  noteUploaded({ s3Multipart: { uploadId: session } }, { PartNumber: partNumber, ETag: etag }) {
    const hash = this.#hashes.get(session)?.get(partNumber - 1);
    memoryOf(session).notePart(partNumber - 1, hash, plainEtag(etag) || 'unknown');
  }

  /** Gives a session up. Repeating it is harmless. */
  async abort(session) {
    await this.#call('DELETE', `/${session}`);
    this.#forget(session);
    return '';
  }

  #forget(session) {
    this.#hashes.delete(session);
    this.#comparingEtags.delete(session);
    memoryOf(session).forget();
  }

  /** A file without any byte is no multipart upload: it goes up in one request. */
  async #sendEmpty(fileId) {
    const { name, data } = this.#getFile(fileId);
    const form = new FormData();
    form.append('file_name', name);
    form.append('file', data);
    this.records.set(fileId, await this.#send('POST', this.#uploads, form));
    return '';
  }

  async #start(fileId) {
    const { name, size, type, partSize: wanted } = this.#getFile(fileId);
    const body = { file_name: name, size, format: type, ttl_seconds: this.#ttlSeconds };
    if (wanted < partSize({ size })) body.part_size = wanted;
    // If the answer is lost, the next try gets the same session, not a second one.
    if (!this.#unanswered.has(fileId)) this.#unanswered.set(fileId, `${Date.now()}-${Math.random()}`);
    const started = await this.#call('POST', '/start', body, { 'Idempotency-Key': this.#unanswered.get(fileId) });
    this.#unanswered.delete(fileId);
    if (!this.#getFile(fileId)) await this.abort(started.session_id); // cancelled meanwhile
    if (started.part_size !== wanted) throw new Error(`Partway wants parts of ${started.part_size} bytes`);
    this.#noteStorage(started);
    return xml('InitiateMultipartUploadResult', xml('UploadId', started.session_id));
  }

  /** A new URL, asked for when the part's turn comes. That also lets the session live on. */
  async #urlOf(session, fileId, index) {
    const part = this.#part(fileId, index);
    const hash = await hashOf(part);
    if (!this.#hashes.has(session)) this.#hashes.set(session, new Map());
    this.#hashes.get(session).set(index, hash);
    await this.#beforePart(fileId, part.size);
    const signed = await this.#call('POST', `/${session}/parts`, { parts: [index], ttl_seconds: this.#ttlSeconds });
    this.partUrls.set(fileId, signed.parts[0].url);
    return signed.parts[0].url;
  }

  #part(fileId, index) {
    const { data, partSize: size } = this.#getFile(fileId);
    return data.slice(index * size, (index + 1) * size);
  }

  /**
   * Lists those of the parts that have arrived that are this file's. Uppy sends the others again. Where the parts go to an
   * S3 store, somebody else may have sent one since: the store's ETag tells.
   */
  async #list(session, fileId) {
    const found = await this.#call('GET', `/${session}`);
    this.#noteStorage(found);
    const { status, uploaded_parts: arrived, part_etags: etags } = found;
    const isOver = status === 'aborted' || status === 'expired' || found.part_size !== this.#getFile(fileId).partSize;
    if (isOver) throw new CallError(410, { errorCode: 'SESSION_EXPIRED' });
    const memory = memoryOf(session);
    const indices = [];
    for (const [at, index] of arrived.entries()) {
      const sent = memory.sentPart(index);
      const mayBeThere = !etags?.length || sent.etag === etags[at];
      if (sent.hash && mayBeThere && sent.hash === await hashOf(this.#part(fileId, index))) indices.push(index);
      else memory.forgetPart(index);
    }
    // It was completed with parts of another file: Uppy starts over.
    if (status === 'completed' && indices.length < arrived.length) {
      this.#forget(session);
      throw new CallError(410, { errorCode: 'SESSION_EXPIRED' });
    }
    // Partway completes without entity tags, but Uppy takes a part that has none for missing.
    const parts = indices.map((index) => xml('Part', xml('PartNumber', index + 1) + xml('ETag', index + 1)));
    return xml('ListPartsResult', parts.join(''));
  }

  async #complete(session, fileId) {
    const body = { session_id: session, etags_sha256: await this.#hashOfEtags(session, fileId) };
    const record = await this.#call('POST', '/complete', body).catch((error) => {
      if (!body.etags_sha256 || error.errorCode !== 'CHECKSUM_MISMATCH') throw error;
      // Somebody else has sent parts to the session: Uppy starts over.
      this.#forget(session);
      throw new CallError(410, { errorCode: 'SESSION_EXPIRED' });
    });
    this.records.set(fileId, record);
    this.#forget(session);
    return xml('CompleteMultipartUploadResult', xml('Location', escape(record.url)) + xml('Key', escape(record.path)));
  }

  /** Names to the server the parts that the file is to be made of. Local storage compares no ETags. */
  #hashOfEtags(session, fileId) {
    if (!this.#comparingEtags.has(session)) return undefined;
    const { size, partSize: each } = this.#getFile(fileId);
    const parts = Math.ceil(size / each);
    const memory = memoryOf(session);
    return hashOfEtags(Array.from({ length: parts }, (_, index) => memory.sentPart(index).etag));
  }

  #noteStorage({ session_id: session, hash_algorithm: algorithm }) {
    if (algorithm !== 'blake3') this.#comparingEtags.add(session);
  }

  #call(method, path, body, headers) {
    return this.#send(method, this.#api + path, body, headers);
  }

  async #send(method, url, body, headers) {
    const request = { method, headers: { Authorization: `Bearer ${this.#key}`, ...headers } };
    if (body instanceof FormData) request.body = body;
    else if (body) {
      request.headers['Content-Type'] = 'application/json';
      request.body = JSON.stringify(body);
    }
    const response = await fetch(url, request).catch(() => undefined);
    const text = await response?.text().catch(() => undefined);
    if (text === undefined) throw Object.assign(new CallError(0, { message: 'The server cannot be reached' }), { silentAt: url });
    const json = parse(text);
    if (!response.ok) throw new CallError(response.status, json, response.headers.get('Retry-After'));
    if (text && !json) throw new CallError(response.status, { message: NOT_PARTWAY });
    return json;
  }
}

/** The memory of a session. */
function memoryOf(session) {
  return new Memory(`partway ${session}`);
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

/** The plugin sends no parts of less than 5 MiB. */
const TOO_LARGE_FOR_PROXY = 'A proxy in front of the server refuses parts of this size (413). Its limit must be 5 MiB or more.';

const NO_ETAG = 'The answers to parts have no ETag. A page of another origin sees it only if CORS exposes it: for a bucket, partway doctor --fix-cors.';

const NOT_PARTWAY = 'The answer is none of Partway: is the address of the server right?';
const NO_MATTER_OF_TIME = [501, 505, 507]; // not implemented, or the disk is full

/** Codes of a session that is of no more use: start over. */
const OVER = ['SESSION_NOT_FOUND', 'SESSION_EXPIRED', 'SESSION_ABORTED', 'FORBIDDEN'];
/** Codes of a session that is in another state than assumed, or of a URL that has expired: look at it again. */
const ASK_AGAIN = ['SESSION_COMPLETED', 'PARTS_MISSING', 'URL_EXPIRED'];

/**
 * Tells what an error, of a call or of one of the plugin's own requests, means for the upload: it is `over` and has to start
 * over; it is to be tried `again`, without limit; again a few times, if the store has `refused` a URL or an answer lacks its ETag; in smaller parts, if they are `too
 * large` for a proxy; or the error is `final`. `isCut`: no answer of the server came.
 */
export function explain(error) {
  if (error.code === 'NETWORK') return { meaning: 'again', message: 'The connection broke', isCut: true };
  // Something in between may have answered, or the browser may not show the header.
  if (/Missing ETag/.test(error.message)) return { meaning: 'refused', message: NO_ETAG };
  const isOfPlugin = error.body !== undefined;
  const { errorCode, message } = (isOfPlugin ? parse(error.body) : error) ?? {};
  const { status } = error;
  let meaning = 'final';
  if (OVER.includes(errorCode)) meaning = 'over';
  else if (NO_MATTER_OF_TIME.includes(status)) meaning = 'final';
  else if (ASK_AGAIN.includes(errorCode) || [0, 408, 429].includes(status) || status >= 500) meaning = 'again';
  // The server's secret was rotated without a grace: another URL will do.
  else if (errorCode === 'SIGNATURE_INVALID') meaning = 'refused';
  // An S3 store says in its own words that a URL has expired (403, 400) or that its upload is gone (404).
  else if (isOfPlugin && !errorCode && [400, 403, 404].includes(status)) meaning = 'refused';
  if (status === 413 && !errorCode) return { meaning: 'too large', message: TOO_LARGE_FOR_PROXY };
  const isCut = isOfPlugin && !errorCode && [408, 502, 503, 504].includes(status);
  return { meaning, message: message ?? error.message, isCut };
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
