// A browser does not say why a page got no answer. Some reasons are not transient, so no retry helps.
//
// This file is in both examples, the same, so that each can be taken alone; a test compares the two.

const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** How often there may be such a reason in a row: the network may have come back between a request and the question. */
export const MOST_SILENCES = 3;

/** The reason why there is no answer from `url`, where it can be known; otherwise nothing: the network may come back. */
export async function reasonOfSilence(url) {
  const { protocol, hostname, origin } = new URL(url, location.href);
  if (location.protocol === 'https:' && protocol === 'http:' && !LOCAL.test(hostname)) {
    return `A page that came by https may not send to ${origin}: the server needs https, too (public_url).`;
  }
  // An answer that the page may not read shows at least that there is one.
  const isThere = await fetch(`${origin}/`, { mode: 'no-cors', cache: 'no-store' }).then(() => true, () => false);
  return isThere
    ? `${origin} answers, but the browser does not let this page read it (CORS). Is that the right address, without a redirect? `
      + 'Does a proxy drop headers or OPTIONS requests? For a bucket: partway doctor --fix-cors.'
    : undefined;
}
