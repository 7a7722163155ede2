// Requests that survive a bad network: transient failures are retried.

import { MOST_SILENCES, reasonOfSilence } from './silence.js';

const FIRST_PAUSE_MS = 500; // it doubles with every try
const LONGEST_PAUSE_MS = 30_000;
const STALL_MS = 180_000; // longer than a slow line needs for what is in the system's buffers

const TOO_LARGE_FOR_PROXY = 'A proxy in front of the server refuses requests of this size (413). Its limit must be raised.';

const NO_ETAG = 'The answers to parts have no ETag. A page of another origin sees it only if CORS exposes it: for a bucket, partway doctor --fix-cors.';

const NOT_PARTWAY = 'The answer is none of Partway: is the address of the server right?';
const NO_MATTER_OF_TIME = [501, 505, 507]; // not implemented, or the disk is full

/** There was no answer, from `silentAt` if not even the request may have got there. */
class Lost extends Error {
  isTransient = true;

  constructor(message, silentAt) {
    super(message);
    this.silentAt = silentAt;
  }
}

/** Something in between may have answered, or the browser may not show the header. */
export class NoEtag extends Lost {
  constructor() {
    super(NO_ETAG);
  }
}

/** The answer was not 2xx. `errorCode` is Partway's; a store or a proxy in between has none. */
class Refusal extends Error {
  constructor(status, text, retryAfter) {
    let body = {};
    try {
      body = JSON.parse(text);
    } catch {
      // Not an answer of Partway: only the status is known.
    }
    const isFromProxy = status === 413 && !body.errorCode;
    super(body.message ?? (isFromProxy ? TOO_LARGE_FOR_PROXY : `The answer was ${status}`));
    this.status = status;
    this.errorCode = body.errorCode;
    this.retryAfterMs = Number(retryAfter) * 1000 || 0;
    this.isTransient = [408, 429].includes(status) || (status >= 500 && !NO_MATTER_OF_TIME.includes(status));
  }
}

/** Calls the API, with JSON or a form, and returns the JSON of its answer. */
export async function callApi(url, { method, key, body, headers, signal }) {
  const request = { method, signal, headers: { Authorization: `Bearer ${key}`, ...headers } };
  if (body instanceof FormData) request.body = body;
  else if (body) {
    request.headers['Content-Type'] = 'application/json';
    request.body = JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(url, request);
    text = await response.text();
  } catch {
    signal.throwIfAborted();
    throw new Lost('The server cannot be reached', url);
  }
  if (!response.ok) throw new Refusal(response.status, text, response.headers.get('Retry-After'));
  try {
    return text && JSON.parse(text);
  } catch {
    throw new Error(NOT_PARTWAY);
  }
}

/**
 * PUTs a part, and returns its ETag. By XMLHttpRequest, because fetch does not say how many bytes it has sent. An error that may be
 * the end of the attempt by something in between has the attempt as its `cut`.
 */
export function putPart(url, part, { onSent, signal }) {
  const xhr = new XMLHttpRequest();
  const abort = () => xhr.abort();
  let stalled;
  const cut = { began: performance.now(), movedAt: 0, sentBytes: 0, partBytes: part.size };
  const sent = (bytes) => {
    clearTimeout(stalled);
    stalled = setTimeout(abort, STALL_MS); // a line that is dead, but not closed, reports no error
    Object.assign(cut, { movedAt: performance.now(), sentBytes: bytes });
    onSent(bytes);
  };
  const mayBeCut = (error) => Object.assign(error, { cut: { ...cut, ended: performance.now() } });
  const answered = new Promise((resolve, reject) => {
    xhr.upload.onprogress = (event) => sent(event.loaded);
    xhr.onload = () => {
      const isSuccess = xhr.status >= 200 && xhr.status < 300;
      // Some proxies answer 200 by themselves when a body breaks off; the server that has stored a part names its ETag.
      if (isSuccess && xhr.getResponseHeader('ETag')) resolve(xhr.getResponseHeader('ETag'));
      else if (isSuccess) reject(new NoEtag());
      else {
        const refusal = new Refusal(xhr.status, xhr.responseText, xhr.getResponseHeader('Retry-After'));
        const isFromProxy = !refusal.errorCode && [408, 502, 503, 504].includes(xhr.status);
        reject(isFromProxy ? mayBeCut(refusal) : refusal);
      }
    };
    xhr.onabort = () => reject(signal.aborted ? signal.reason : new Lost('Nothing moved on the connection'));
    xhr.onerror = () => {
      // A file that was changed or deleted meanwhile looks like a lost connection, too; but reading it fails.
      const gone = new Error('The file was changed or deleted. Choose it again.');
      const lost = new Lost('The connection broke', cut.sentBytes === 0 ? url : undefined);
      part.slice(0, 1).arrayBuffer().then(() => reject(mayBeCut(lost)), () => reject(gone));
    };
  });
  signal.addEventListener('abort', abort);
  xhr.open('PUT', url);
  xhr.send(part);
  sent(0);
  return answered.finally(() => {
    clearTimeout(stalled);
    signal.removeEventListener('abort', abort);
  });
}

/**
 * Repeats a request while it fails in transient ways. `onState` hears `uploading`, `waiting` (with the error, and for how many
 * milliseconds), and `offline` instead of it where the browser says so. That is a hint: some say it in a network without the
 * Internet, or in a VPN. A try is made all the same.
 */
export async function retry(request, { onState, signal }) {
  let silences = 0;
  for (let tried = 1; ; tried++) {
    onState('uploading');
    try {
      return await request();
    } catch (error) {
      signal.throwIfAborted();
      if (!error.isTransient) throw error;
      const reason = error.silentAt && (await reasonOfSilence(error.silentAt));
      silences = reason ? silences + 1 : 0;
      if (silences >= MOST_SILENCES) throw new Error(reason);
      // Jitter, so that clients of a restarted server do not return in the same moment.
      const byChance = Math.random() * Math.min(FIRST_PAUSE_MS * 2 ** (tried - 1), LONGEST_PAUSE_MS);
      const pauseMs = Math.max(byChance, error.retryAfterMs ?? 0);
      onState(navigator.onLine ? 'waiting' : 'offline', error, pauseMs);
      await waitFor('online', pauseMs, signal);
    }
  }
}

/** Waits for the window to have the event, `ms` at most. */
function waitFor(event, ms, signal) {
  const settled = new AbortController();
  let timer;
  return new Promise((resolve, reject) => {
    timer = setTimeout(resolve, ms);
    window.addEventListener(event, resolve, { signal: settled.signal });
    signal.addEventListener('abort', () => reject(signal.reason), { signal: settled.signal });
  }).finally(() => {
    clearTimeout(timer);
    settled.abort();
  });
}
