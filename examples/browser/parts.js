// Sends the missing parts of an upload: some side by side, by URLs that are renewed before they expire.

import { hashOf, plainEtag } from './memory.js';
import { NoEtag, putPart, retry } from './requests.js';
import { TimeLimit, TimeLimitError } from './time_limit.js';

const PARTS_AT_ONCE = 4; // a browser opens at most six connections to a host
const MOST_REFUSALS = 3; // of URLs of one part, by an S3 store
const MOST_WITHOUT_ETAG = 3; // answers to one part
const MOST_LOST = 3; // attempts to send one part, until smaller ones are tried
const MOST_CUTS_ALONE = 3; // of the smallest part, by a proxy that bounds the time of requests

const MAY_BE_SIZE = 'The server answers, but parts do not get through. A proxy may refuse their size (nginx: client_max_body_size) in a way that '
  + 'the browser does not let this page read';

// These say that a part's URL is good no more: another one will do.
const URL_REFUSED = ['URL_EXPIRED', 'SIGNATURE_INVALID'];

export class PartSender {
  constructor(upload) {
    this.upload = upload;
    this.timeLimit = new TimeLimit(PARTS_AT_ONCE);
  }

  /** The first permanent failure stops them all. */
  async sendMissing() {
    const { stop, missing } = this.upload;
    const sendOneAfterTheOther = async () => {
      try {
        while (missing.length > 0 && !stop.signal.aborted) await this.send(missing.shift());
      } catch (error) {
        stop.abort(error);
      }
    };
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, sendOneAfterTheOther));
    stop.signal.throwIfAborted();
  }

  async send(index) {
    const { upload } = this;
    const { signal } = upload.stop;
    const part = { index, bytes: upload.part(index), refusals: 0, withoutEtag: 0, lost: 0, cutsAlone: 0 };
    const hash = await hashOf(part.bytes, signal);
    const etag = await retry(() => this.attempt(part), { onState: upload.onState, signal });
    upload.etags[index] = etag;
    // Local storage has the part if it answers so, also where the answer was lost.
    upload.memory.notePart(index, hash, etag ?? (upload.comparesEtags ? undefined : 'unknown'));
    upload.distrusted.delete(index);
    upload.arrived += part.bytes.size;
    upload.report();
  }

  /** Sends a part, and again if a proxy's time limit was in the way and fewer are sent now. Returns its ETag, if that is known. */
  async attempt(part) {
    const { stop, onState } = this.upload;
    for (;;) {
      const isOver = await this.timeLimit.permit();
      try {
        stop.signal.throwIfAborted();
        return await this.put(part);
      } catch (error) {
        const verdict = error.cut ? this.timeLimit.judge(error.cut) : 'unrelated';
        if (verdict === 'unrelated') throw this.lost(part, error);
        if (verdict === 'too long') throw this.tooLong(part, error.cut);
        if (verdict === 'fewer') onState('fewer', error);
      } finally {
        isOver();
      }
    }
  }

  async put(part) {
    const { upload } = this;
    // The session may have ended, which an answer of something in between does not say.
    if (part.isInDoubt && (await this.hasArrived(part.index))) return undefined;
    part.isInDoubt = false;
    const url = await this.urlOf(part.index, part.refusedUrl);
    if (!url) return undefined; // the part is there: only the answer was lost
    const onSent = (bytes) => upload.report(upload.underway.set(part.index, bytes));
    const began = performance.now();
    try {
      const etag = plainEtag(await putPart(url, part.bytes, { onSent, signal: upload.stop.signal }));
      this.timeLimit.arrived(performance.now() - began);
      return etag;
    } catch (error) {
      part.isInDoubt = error.isTransient && !error.errorCode;
      if (error instanceof NoEtag) error.isTransient = ++part.withoutEtag <= MOST_WITHOUT_ETAG;
      // An S3 store says in its own words that a URL has expired (403, 400) or that its upload is gone (404).
      const isRefused = error.errorCode ? URL_REFUSED.includes(error.errorCode) : [400, 403, 404].includes(error.status);
      if (isRefused) {
        part.refusedUrl = url;
        error.isTransient = ++part.refusals <= MOST_REFUSALS;
      }
      throw error;
    } finally {
      upload.underway.delete(part.index);
    }
  }

  /** Whether the part is there, and only the answer was lost. Fails if the session has ended. */
  async hasArrived(index) {
    const { upload } = this;
    const { status, uploaded_parts: arrived } = await upload.call('GET', `/${upload.session}`);
    if (status !== 'uploading') {
      throw Object.assign(new Error(`The session is ${status}`), { errorCode: `SESSION_${status.toUpperCase()}` });
    }
    // With an S3 store it is not known whose part it has.
    return !upload.comparesEtags && !upload.distrusted.has(index) && arrived.includes(index);
  }

  /**
   * An error of the part, which may be too large for a proxy if it was lost again and again, although the server answered in between. A
   * proxy's own answer mostly lacks the headers of CORS.
   */
  lost(part, error) {
    const { upload } = this;
    part.lost = error.cut && !error.status ? part.lost + 1 : 0;
    if (part.lost < MOST_LOST || upload.arrived >= upload.partSize) return error;
    Object.assign(error, { mayBeSize: true, message: MAY_BE_SIZE });
    error.isTransient = !upload.smallerPartSize(error);
    return error;
  }

  /** Tried again only where no smaller parts can be had: if parts of this size have passed, the line may be slower for a while. */
  tooLong(part, { began, ended, sentBytes }) {
    const { upload } = this;
    const error = new TimeLimitError(ended - began, sentBytes);
    const mayPass = upload.arrived >= upload.partSize || ++part.cutsAlone < MOST_CUTS_ALONE;
    error.isTransient = !upload.smallerPartSize(error) && mayPass;
    return error;
  }

  /** A URL for the part, other than the refused one. None if the part is not missing. */
  async urlOf(index, refusedUrl) {
    const { upload } = this;
    const known = this.urls.get(index);
    if (known && known !== refusedUrl && Date.now() < this.renewAt) return known;
    // For all missing parts at once, so that those that are sent side by side do not each ask.
    this.renewing ??= this.sign({}).then((urls) => this.keepUrls(urls)).finally(() => delete this.renewing);
    await this.renewing;
    // Where an answer was lost it is not known whose part the store has.
    if (!this.urls.has(index) && (upload.distrusted.has(index) || upload.comparesEtags)) {
      const [[, url]] = await this.sign({ parts: [index] });
      this.urls.set(index, url);
    }
    return this.urls.get(index);
  }

  async sign(which) {
    const { session, ttlSeconds } = this.upload;
    const { parts } = await this.upload.call('POST', `/${session}/parts`, { ...which, ttl_seconds: ttlSeconds });
    return parts.map(({ index, url }) => [index, url]);
  }

  keepUrls(urlsByIndex) {
    this.urls = new Map(urlsByIndex);
    // After half of their time: new URLs let the session live on, and one that has expired cannot be brought back.
    this.renewAt = Date.now() + this.upload.ttlSeconds * 500;
  }
}
