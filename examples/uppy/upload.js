// Uploads files to Partway by Uppy 6, with its Dashboard and its AwsS3 plugin; partway.js is what lies between.

import AwsS3 from '@uppy/aws-s3';
import Uppy from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import GoldenRetriever from '@uppy/golden-retriever';
import '@uppy/core/css/style.min.css';
import '@uppy/dashboard/css/style.min.css';

import { Attempts } from './attempts.js';
import { Partway, explain, partSize, smallerPartSize } from './partway.js';
import { MOST_SILENCES, reasonOfSilence } from './silence.js';

// Uppy and its plugin try nothing while the browser says that it is offline. That is a hint: some say so in a network without the
// Internet, or in a VPN.
const isOnline = Object.getOwnPropertyDescriptor(Navigator.prototype, 'onLine').get.bind(navigator);
Object.defineProperty(navigator, 'onLine', { get: () => true });

const FIRST_PAUSE_MS = 500; // it doubles with every try
const LONGEST_PAUSE_MS = 30_000;
const MOST_LOST = 2; // of which each is four attempts of the plugin
const MAY_BE_SIZE = 'The server answers, but parts do not get through. A proxy may refuse their size (nginx: client_max_body_size) in a way that '
  + 'the browser does not let this page read';
const query = new URLSearchParams(location.search);
const uppy = new Uppy({ infoTimeout: 2_000 });
const attempts = new Attempts();
const partway = new Partway({
  server: query.get('server') ?? location.origin,
  key: query.get('key') ?? '',
  ttlSeconds: Number(query.get('ttl') ?? 86_400),
  getFile: (id) => uppy.getFile(id),
  beforePart: (id, partBytes) => attempts.begin(id, partBytes),
});

// The plugin asks for the size of parts without naming the file; right before, it asks for the file's key. A session keeps its size.
let nextFile;
let largestPart = Infinity; // that passes a proxy
function chunkSize({ size }) {
  const { s3Multipart: session, partSize: before } = uppy.getFile(nextFile);
  const each = (session && before) ?? Math.min(partSize({ size }), largestPart);
  uppy.setFileState(nextFile, { partSize: each });
  return each;
}

uppy
  .use(Dashboard, { target: '#dashboard', inline: true, width: '100%', height: 380 })
  // After a refresh it shows what was underway. A file of more than 10 MiB has to be chosen again: Uppy keeps copies of
  // small ones only.
  .use(GoldenRetriever)
  .use(AwsS3, {
    shouldUseMultipart: true,
    getChunkSize: chunkSize,
    generateObjectKey: (file) => (nextFile = file.id),
    signRequest: partway.signRequest,
  });

let isPaused = false;
uppy.on('pause-all', () => {
  isPaused = true;
  attempts.endAll();
  show('paused', 'Paused.');
});
uppy.on('resume-all', () => (isPaused = false));
uppy.on('upload-pause', (file) => attempts.end(file.id));
uppy.on('cancel-all', () => attempts.endAll());
window.addEventListener('offline', () => show('offline', 'Waiting for the network …'));
// A request that breaks off, or is broken off, tells of its progress once more.
uppy.on('upload-progress', (file, { bytesUploaded }) => {
  attempts.moved(file.id, bytesUploaded);
  if (!isPaused) show('uploading', 'Uploading …');
});
uppy.on('upload-success', (file) => {
  const { url, hash } = partway.records.get(file.id);
  const item = document.querySelector('template').content.cloneNode(true);
  Object.assign(item.querySelector('a'), { href: url, textContent: url });
  item.querySelector('code').textContent = hash ?? 'no hash: the parts went straight to the store';
  document.querySelector('#results').append(item);
  show('done', 'Done.');
});

// The plugin gives an upload up only while it runs: not one that has failed, or was not gone on with after a refresh.
uppy.on('file-removed', async (file) => {
  attempts.end(file.id);
  if (file.s3Multipart) await partway.abort(file.s3Multipart.uploadId).catch((error) => uppy.log(error, 'warning'));
  show('idle', '');
});

// The plugin itself tries a request again for about a second. The rest is for longer failures.
const failures = new Map(); // by file, how often it has failed since a part last arrived
const lost = new Map(); // by file, how often in a row a part was lost, although the server answered in between
const silences = new Map(); // by file, how often in a row there was no answer, for a reason that is not transient
uppy.on('s3-multipart:part-uploaded', (file, part) => {
  attempts.arrived(file.id);
  partway.noteUploaded(uppy.getFile(file.id), part);
  failures.delete(file.id);
});
uppy.on('upload-error', async ({ id, data }, error) => {
  const { meaning, message, silentAt } = meaningOf(id, error);
  // A file that was changed or deleted meanwhile looks like a lost connection, too; but reading it fails.
  const isReadable = await data.slice(0, 1).arrayBuffer().then(() => true, () => false);
  if (!isReadable) return show('failed', 'The file was changed or deleted. Choose it again.');
  const reason = silentAt && (await reasonOfSilence(silentAt));
  silences.set(id, reason ? (silences.get(id) ?? 0) + 1 : 0);
  if (silences.get(id) >= MOST_SILENCES) return show('failed', reason);
  const failed = failures.get(id) ?? 0;
  if (meaning === 'final' || (meaning === 'refused' && failed > 3)) return show('failed', message);
  if (meaning === 'too large') {
    const file = uppy.getFile(id);
    const smaller = smallerPartSize(file);
    if (!smaller) return show('failed', message);
    note('A proxy lets no large parts pass: smaller ones are sent.');
    lost.delete(id);
    largestPart = smaller;
    attempts.changed();
    await partway.abort(file.s3Multipart.uploadId).catch((failure) => uppy.log(failure, 'warning'));
  }

  failures.set(id, failed + 1);
  // By chance, so that all whom a server has lost do not come back to it in the same moment.
  const byChance = Math.random() * Math.min(FIRST_PAUSE_MS * 2 ** failed, LONGEST_PAUSE_MS);
  const pauseMs = Math.max(byChance, error.retryAfterMs ?? 0);
  if (isOnline()) show('waiting', `${message}; trying again in ${(pauseMs / 1000).toFixed(1)} s …`);
  else show('offline', 'Waiting for the network …');
  await new Promise((resolve) => {
    setTimeout(resolve, pauseMs);
    window.addEventListener('online', resolve, { once: true });
  });

  // Somebody may have cancelled meanwhile, or tried again by hand.
  if (!uppy.getFile(id)?.error) return;
  if (['over', 'too large'].includes(meaning)) uppy.setFileState(id, { s3Multipart: undefined });
  uppy.retryUpload(id);
});

/** The meaning of an error, also where a proxy is in the way. */
function meaningOf(id, error) {
  const { meaning, message, isCut } = explain(error);
  const { verdict, error: tooLong, arrivedBytes, isSilent } = attempts.failed(id, isCut);
  // Where a part has arrived, such parts pass: the line may be slower for a while.
  const mayPass = !(arrivedBytes < uppy.getFile(id).partSize);
  if (verdict === 'too long') return { meaning: mayPass ? meaning : 'too large', message: tooLong.message };
  if (verdict === 'fewer') note('A proxy ends requests after a fixed time: fewer files are sent at once.');
  lost.set(id, error.code === 'NETWORK' && !mayPass ? (lost.get(id) ?? 0) + 1 : 0);
  if (lost.get(id) >= MOST_LOST && smallerPartSize(uppy.getFile(id))) return { meaning: 'too large', message: MAY_BE_SIZE };
  const silentAt = isSilent ? partway.partUrls.get(id) : error.silentAt;
  const text = lost.get(id) >= MOST_LOST ? MAY_BE_SIZE : message;
  return { meaning: meaning === 'too large' && mayPass ? 'final' : meaning, message: text, silentAt };
}

if (!query.get('key')) show('failed', 'Open this page with ?server=…&key=pk_… after its address.');

function show(state, text) {
  const status = document.querySelector('#status');
  status.dataset.state = state;
  status.textContent = text;
}

function note(text) {
  document.querySelector('#note').textContent = text;
}
