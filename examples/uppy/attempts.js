// The attempts of Uppy's plugin to send parts, one per file at a time. The plugin repeats a part by itself, up to three times, and reports only
// the last failure. The progress, which begins again with every attempt, shows the others: that is how a proxy is noticed that ends
// requests after a fixed time. Then fewer files send at the same time: the others wait for a permit.

import { TimeLimit, TimeLimitError } from './time_limit.js';

const FILES_AT_ONCE = 6; // as many as the plugin sends by default
const TRIES = 4; // of the plugin, until it reports a failure
const PAUSES_MS = 1050; // between them

export class Attempts {
  #timeLimit = new TimeLimit(FILES_AT_ONCE);
  #attempts = new Map(); // by file
  #bytes = new Map(); // by file, its last progress

  /** Waits until the file may send a part. */
  async begin(fileId, partBytes) {
    this.end(fileId);
    const attempt = { partBytes };
    this.#attempts.set(fileId, attempt);
    const isOver = await this.#timeLimit.permit();
    if (this.#attempts.get(fileId) !== attempt) return isOver(); // it was paused or removed meanwhile
    const base = this.#bytes.get(fileId) ?? 0;
    const began = performance.now();
    Object.assign(attempt, { isOver, base, bytes: base, began, movedAt: began, restarts: 0, verdicts: new Set() });
  }

  /** The file sends nothing any more: it was paused or removed. */
  end(fileId) {
    this.#attempts.get(fileId)?.isOver?.();
    this.#attempts.delete(fileId);
  }

  endAll() {
    for (const fileId of [...this.#attempts.keys()]) this.end(fileId);
  }

  moved(fileId, bytes) {
    this.#bytes.set(fileId, bytes);
    const attempt = this.#attempts.get(fileId);
    if (!attempt?.isOver) return;
    if (bytes < attempt.bytes) {
      this.#judge(attempt);
      attempt.began = performance.now();
      attempt.restarts += 1;
    }
    Object.assign(attempt, { bytes, movedAt: performance.now() });
  }

  arrived(fileId) {
    const attempt = this.#attempts.get(fileId);
    if (attempt?.isOver) this.#timeLimit.arrived(performance.now() - attempt.began);
    this.end(fileId);
  }

  /**
   * The plugin has given a part up; `isCut` if no answer of the server came. Returns `fewer` or `too long`, if a proxy's time limit was the
   * cause, with the bytes of the file that had arrived before, and an error for the latter. `isSilent` if not a byte could be sent.
   */
  failed(fileId, isCut) {
    const attempt = this.#attempts.get(fileId);
    this.#bytes.delete(fileId);
    if (!attempt?.isOver) return {};
    // A small part is in the system's buffers at once: then the progress shows no restart.
    const now = performance.now();
    if (attempt.restarts === 0) attempt.began = now - (now - attempt.began - PAUSES_MS) / TRIES;
    if (isCut) this.#judge(attempt);
    this.end(fileId);
    const { verdicts, base: arrivedBytes, bytes, error } = attempt;
    const isSilent = isCut && bytes === arrivedBytes;
    return { isSilent, verdict: ['too long', 'fewer'].find((verdict) => verdicts.has(verdict)), arrivedBytes, error };
  }

  /** Parts are smaller from now on. */
  changed() {
    this.#timeLimit.changed();
  }

  #judge(attempt) {
    const { began, movedAt, bytes, base, partBytes } = attempt;
    const cut = { began, ended: performance.now(), movedAt, sentBytes: bytes - base, partBytes };
    const verdict = this.#timeLimit.judge(cut);
    attempt.verdicts.add(verdict);
    if (verdict === 'too long') attempt.error = new TimeLimitError(cut.ended - cut.began, cut.sentBytes);
  }
}
