// Notices a proxy that ends requests after a fixed time. Parts that are sent at the same time share the line, so on a slow one all of
// them break at that time, again and again. Fewer are faster each, and so are smaller ones.
//
// This file is in both examples, the same, so that each can be taken alone; a test compares the two.

const LEAST_MS = 1000; // shorter attempts are no evidence: a restarting server breaks each after a moment
const TOLERANCE = 0.15; // durations differ from the known limit by this share of the longer one, at most
const TOLERANCE_OF_EVIDENCE = 0.03; // those that are evidence differ by this share, at most,
const DELAY_MS = 250; // and by the time that a busy machine or line may take to notice the end
const MOST_CUTS = 16;

/** A part took longer than the time, although it was sent alone. */
export class TimeLimitError extends Error {
  constructor(ms, sentBytes) {
    // A browser repeats a request by itself if its connection had been used before, and does not say so: it may be half of that.
    super(`A proxy in front of the server ends requests after a fixed time of ${Math.ceil(ms / 1000)} s or less, and a part takes longer. `
      + 'Raise its limit (Traefik: respondingTimeouts.readTimeout; Apache: RequestReadTimeout body=…), or use a faster line.');
    this.sentBytes = sentBytes;
  }
}

export class TimeLimit {
  #cuts = [];
  #ms; // the limit, once it is known
  #longestMs = 0; // the longest attempt that moved bytes until its end
  #changedAt = -Infinity;
  #mostAtOnce;
  #sending = 0;
  #peak = 0; // the most that were sent at the same time since the last change
  #waiting = [];

  /** @param {number} atOnce how many parts may be sent at the same time */
  constructor(atOnce) {
    this.atOnce = this.#mostAtOnce = atOnce;
  }

  /** Waits until one more part may be sent. Resolves to the function to call when it is sent. */
  async permit() {
    while (this.#sending >= this.atOnce) await new Promise((resolve) => this.#waiting.push(resolve));
    this.#sending += 1;
    this.#peak = Math.max(this.#peak, this.#sending);
    return () => {
      this.#sending -= 1;
      this.#wake();
    };
  }

  /**
   * Judges an attempt that ended without an answer of the server. The limit is the cause if two earlier attempts took about the same time
   * and ended at other ones: a network that fails cuts everything at the same moment. Connections that break by chance seldom look like
   * that, and an attempt that lasts much longer then shows it. Times are those of `performance.now()`.
   *
   * `unrelated`: nothing says so. `fewer`: fewer parts are sent at the same time from now on. `again`: there are fewer already than when
   * the attempt began. `too long`: there were no others.
   */
  judge({ began, ended, movedAt, sentBytes, partBytes }) {
    const ms = ended - began;
    // The browser reports nothing of a repeated request until it has come further than before.
    const wasSending = sentBytes >= partBytes || (sentBytes > 0 && ended - movedAt <= ms * 0.75);
    if (ms < LEAST_MS || !wasSending || isRefuted(ms, this.#longestMs)) return 'unrelated';
    this.#lasted(ms / 2); // the browser may have repeated the request by itself
    if (this.#ms && !isAbout(this.#ms, ms)) return 'unrelated';
    if (!this.#ms) {
      const like = this.#cuts.filter((cut) => areLike(cut, { ms, ended }));
      const isKnown = like.some((one, at) => like.slice(0, at).some((other) => areLike(one, other)));
      this.#cuts = [{ ms, ended }, ...this.#cuts].slice(0, MOST_CUTS);
      if (!isKnown) return 'unrelated';
      this.#ms = ms;
    }
    if (began < this.#changedAt) return 'again';
    const atOnce = Math.min(this.atOnce, this.#peak);
    if (atOnce <= 1) {
      this.atOnce = 1;
      return 'too long';
    }
    this.atOnce = fewer(atOnce, sentBytes, partBytes);
    this.#peak = this.#sending;
    this.changed();
    return 'fewer';
  }

  /** A part has arrived. */
  arrived(ms) {
    this.#lasted(ms);
  }

  /** An attempt that lasted much longer than the supposed limit refutes it: as many as before are sent at the same time. */
  #lasted(ms) {
    this.#longestMs = Math.max(this.#longestMs, ms);
    if (!this.#ms || !isRefuted(this.#ms, ms)) return;
    this.#ms = undefined;
    this.#cuts = [];
    this.atOnce = this.#mostAtOnce;
    this.#wake();
  }

  #wake() {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Attempts from before, with more or larger parts, say nothing of what comes. */
  changed() {
    this.#changedAt = performance.now();
  }
}

/** Half as many, or less if what was sent shows that half would break, too. */
function fewer(atOnce, sentBytes, partBytes) {
  let next = Math.floor(atOnce / 2);
  while (next > 1 && (sentBytes * atOnce) / next < partBytes) next = Math.floor(next / 2);
  return next;
}

/** Whether two cuts took about the same time, and ended at different ones. */
function areLike(one, other) {
  const longer = Math.max(one.ms, other.ms);
  return Math.abs(one.ms - other.ms) <= longer * TOLERANCE_OF_EVIDENCE + DELAY_MS && Math.abs(one.ended - other.ended) >= longer / 4;
}

function isAbout(one, other) {
  return Math.abs(one - other) <= Math.max(one, other) * TOLERANCE;
}

/** A proxy may wait for the answer for a while in addition. */
function isRefuted(ms, lastedMs) {
  return lastedMs > ms * 1.5;
}
