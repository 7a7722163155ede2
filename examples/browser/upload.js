// Uploads one file to Partway from a browser, without any library.
//
// All that is needed to go on is the session's id, because the server knows which parts are missing. It is kept in
// localStorage, and so a pause, a refresh of the page and a closed laptop are one and the same thing: `run` again, with
// the same file. Another file may have the same name, size and time: so a part counts only if what was sent has the hash
// of what the file has there now, and others are sent again. Where the parts go to an S3 store, another browser may have
// sent other ones to the session: so it counts only if the store has the ETag that its PUT answered.

import { Memory, hashOf, hashOfEtags } from './memory.js';
import { PartSender } from './parts.js';
import { callApi, retry } from './requests.js';
import { TimeLimitError } from './time_limit.js';

// Codes of a session that is of no more use: start over;
const OVER = ['SESSION_NOT_FOUND', 'SESSION_EXPIRED', 'SESSION_ABORTED', 'FORBIDDEN'];
// and these: it is further than you think, or less far. Ask.
const ELSEWHERE = ['SESSION_COMPLETED', 'PARTS_MISSING'];

const MIB = 1024 * 1024;
const MOST_PARTS_GIVEN_UP = 4; // for smaller ones

export class Upload {
  /**
   * @param {File} file
   * @param {object} options
   * @param {string} options.server where Partway is
   * @param {string} options.key a public key (pk_...)
   * @param {number} [options.ttlSeconds] how long an upload that nobody goes on with is kept
   * @param {(fraction: number) => void} [options.onProgress]
   * @param {(state: string, error?: Error, pauseMs?: number) => void} [options.onState] see `retry`; `comparing`, while
   *   parts that were sent before are compared with the file; and, because of a proxy, `fewer` parts at the same time and `smaller` ones
   */
  constructor(file, { server, key, ttlSeconds = 86_400, onProgress = () => {}, onState = () => {} }) {
    Object.assign(this, { file, key, ttlSeconds, onProgress, onState });
    const api = `${server.replace(/\/+$/, '')}/api/v1`;
    this.api = `${api}/multipart`;
    this.uploads = `${api}/uploads`;
    this.memory = new Memory(`partway ${this.api} ${file.name} ${file.size} ${file.lastModified}`);
    this.parts = new PartSender(this);
  }

  /** Begins, or goes on. Resolves to the file's record; rejects with an AbortError when paused or aborted. */
  async run() {
    if (this.file.size === 0) return this.sendEmpty();
    for (;;) {
      this.stop = new AbortController();
      try {
        await this.openSession();
        await this.parts.sendMissing();
        const etags = this.comparesEtags ? await hashOfEtags(this.etags) : undefined;
        const record = await this.ask('POST', '/complete', { session_id: this.session, etags_sha256: etags });
        this.memory.forget();
        return record;
      } catch (error) {
        // Parts of this size do not pass a proxy: start over with smaller ones.
        const smaller = this.smallerPartSize(error);
        if (smaller) {
          this.onState('smaller', error);
          this.wantedPartSize = smaller;
          await this.abort();
          this.parts.timeLimit.changed();
          continue;
        }
        // Somebody else has sent parts to the session, or has completed it with them: then it is theirs.
        const areOthers = this.comparesEtags && error.errorCode === 'CHECKSUM_MISMATCH';
        if (areOthers) {
          if (this.isMade) this.memory.forget();
        } else if (this.session && OVER.includes(error.errorCode)) this.memory.forget();
        else if (!ELSEWHERE.includes(error.errorCode)) throw error;
      }
    }
  }

  /** A session has at least one byte: a file without any goes up in one request. */
  async sendEmpty() {
    this.stop = new AbortController();
    const { signal } = this.stop;
    const form = new FormData();
    form.append('file_name', this.file.name);
    form.append('file', this.file);
    const upload = () => callApi(this.uploads, { method: 'POST', key: this.key, body: form, signal });
    const record = await retry(upload, { onState: this.onState, signal });
    this.onProgress(1);
    return record;
  }

  /** About half of the part size, or less; none if it would not help, or too much has arrived that would have to be sent again. */
  smallerPartSize(error) {
    let fitting; // bytes that may pass
    if (error.mayBeSize || (error.status === 413 && !error.errorCode && this.arrived === 0)) fitting = Infinity;
    else if (error instanceof TimeLimitError && this.arrived <= MOST_PARTS_GIVEN_UP * this.partSize) fitting = error.sentBytes * 0.75;
    else return undefined;
    const largest = Math.min(this.partSize, this.file.size);
    const least = this.limits?.min_part_bytes ?? Infinity; // a server that names no limits cannot be asked
    const smaller = Math.max(Math.floor(Math.min(largest / 2, fitting) / MIB) * MIB, least);
    return smaller < largest ? smaller : undefined;
  }

  /** Stops sending. The server keeps the parts that have arrived. */
  pause() {
    this.stop?.abort();
  }

  /** Gives the upload up: the server frees its bytes. */
  async abort() {
    this.pause();
    this.stop = new AbortController();
    const { session } = this.memory;
    try {
      if (session) await this.ask('DELETE', `/${session}`);
    } catch (error) {
      if (!OVER.includes(error.errorCode)) throw error;
    }
    this.memory.forget();
  }

  /** Finds the session that was begun for this file, or starts one. */
  async openSession() {
    this.session = this.memory.session;
    this.distrusted = new Set(); // parts that have arrived, and are not this file's
    this.etags = []; // of the others, as far as they are known
    this.isMade = false; // whether the store has made the file of the parts
    if (this.session) {
      const found = await this.ask('GET', `/${this.session}`);
      if (['aborted', 'expired'].includes(found.status)) return this.startOver();
      this.partSize = found.part_size;
      this.comparesEtags = found.hash_algorithm !== 'blake3'; // local storage compares none
      this.etags = Array.from({ length: found.parts_total });
      this.isMade = found.status === 'completed' || (found.missing_parts.length === 0 && found.part_etags?.length === 0);
      this.distrusted = await this.partsOfOthers(found);
      if (found.status === 'completed' && this.distrusted.size > 0) return this.startOver();
      // None if it is completed; completing again repeats the record.
      this.missing = [...found.missing_parts, ...this.distrusted].sort((a, b) => a - b);
      this.parts.keepUrls([]);
    } else {
      const { name, size, type } = this.file;
      const body = { file_name: name, size, format: type || 'application/octet-stream', ttl_seconds: this.ttlSeconds };
      if (this.wantedPartSize) body.part_size = this.wantedPartSize;
      // If the answer is lost, the next try gets the same session, not a second one.
      const started = await this.ask('POST', '/start', body, { 'Idempotency-Key': `${Date.now()}-${Math.random()}` });
      this.session = started.session_id;
      this.memory.session = this.session;
      this.partSize = started.part_size;
      this.limits = started.limits;
      this.comparesEtags = started.hash_algorithm !== 'blake3';
      this.etags = Array.from({ length: started.parts.length });
      this.missing = [...started.parts.keys()];
      this.parts.keepUrls(started.parts.entries());
    }
    this.arrived = this.file.size - this.missing.reduce((bytes, index) => bytes + this.part(index).size, 0);
    this.underway = new Map(); // by part, the bytes that were sent so far
    this.report();
  }

  startOver() {
    this.memory.forget();
    return this.openSession();
  }

  /** Which of the parts that have arrived are not known to be this file's. Nothing is remembered of them any more. */
  async partsOfOthers({ uploaded_parts: indices, part_etags: etags }) {
    const others = new Set();
    if (indices.length > 0) this.onState('comparing');
    for (const [at, index] of indices.entries()) {
      const { hash, etag } = this.memory.sentPart(index);
      const mayBeThere = !this.comparesEtags || this.isMade || etag === etags?.[at];
      if (hash && mayBeThere && hash === await hashOf(this.part(index), this.stop.signal)) {
        this.etags[index] = etag;
        continue;
      }
      others.add(index);
      this.memory.forgetPart(index);
    }
    return others;
  }

  call(method, path, body, headers) {
    return callApi(this.api + path, { method, key: this.key, body, headers, signal: this.stop.signal });
  }

  ask(...request) {
    return retry(() => this.call(...request), { onState: this.onState, signal: this.stop.signal });
  }

  part(index) {
    return this.file.slice(index * this.partSize, (index + 1) * this.partSize, 'application/octet-stream');
  }

  report() {
    const underway = [...this.underway.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.onProgress((this.arrived + underway) / this.file.size);
  }
}
