// The page where a book is made: files, a voice with a microphone, a preview, the order.

import { busy, call, counted, duration, fill, icon, part, say, texts, upload } from "/static/studio.js";

const MICROPHONE_SECONDS = 60; // at most
const find = (id) => document.getElementById(id);
const step = find("book-step");
const accept = JSON.parse(step.dataset.accept);
const limits = JSON.parse(step.dataset.bytes);
const player = new Audio();
let playing = ""; // which sample
const made = { kind: "", id: "", video: "", sample: "", sampleAudio: "" };

// files

function takeFiles(id, kindOf, taken) {
  const zone = find(`${id}-drop`);
  const field = find(`${id}-file`);
  const take = async (file) => {
    if (!file) return;
    const kind = kindOf(file.name);
    if (!kind) return say(texts.errors.type);
    if (file.size > limits[kind]) {
      return say(fill(texts.errors.large, { megabytes: Math.floor(limits[kind] / 1e6) }));
    }
    const [progress, bar] = [find(`${id}-progress`), find(`${id}-bar`)];
    find(`${id}-bar-name`).textContent = fill(texts.make.uploading, { name: file.name });
    progress.hidden = false;
    bar.value = 0;
    try {
      await taken(await upload(file, kind, file.name, (done) => { bar.value = done; }), kind, file);
    } catch (error) {
      say(error);
    } finally {
      progress.hidden = true;
      field.value = "";
    }
  };
  field.addEventListener("change", () => take(field.files[0]));
  for (const name of ["dragenter", "dragover"]) {
    zone.addEventListener(name, (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
}

const ends = (name, kind) => accept[kind].some((end) => name.toLowerCase().endsWith(end));

takeFiles(
  "book",
  (name) => ["subtitles", "book", "video"].find((kind) => ends(name, kind)) ?? "",
  (file, kind) => showBook(file.id, kind),
);

async function showBook(id, kind, query = "") {
  const contents = find("contents");
  const waiting = document.createElement("p");
  waiting.className = "busy";
  waiting.textContent = texts.make.looking;
  contents.prepend(waiting);
  const path = kind !== "book" ? `/parts/subtitles/${id}` : `/parts/book/${id}${query}`;
  try {
    await part(path, "#contents");
  } finally {
    waiting.remove();
  }
  const book = find("book");
  if (!book || book.dataset.id !== id) return;
  const first = made.id !== id;
  Object.assign(made, { kind: book.dataset.kind, id });
  find("book-drop").hidden = true;
  find("another").addEventListener("click", another);
  if (first) {
    made.video = kind === "video" ? id : "";
    find("sentence").value = book.dataset.sentence;
    find("preview-audio").hidden = true;
  }
  for (const element of document.querySelectorAll(".for-book")) element.hidden = made.kind !== "book";
  for (const element of document.querySelectorAll(".for-dub")) element.hidden = made.kind !== "dub";
  if (made.kind === "dub") {
    find("video-drop").hidden = Boolean(made.video);
    takeFiles("video", (name) => (ends(name, "video") ? "video" : ""), (file) => {
      made.video = file.id;
      find("video-name").textContent = `${texts.make.video}: ${file.name}`;
      find("video-name").hidden = false;
      find("video-drop").hidden = true;
      ready();
    });
  } else {
    for (const element of book.querySelectorAll(".reading")) {
      element.addEventListener("change", reread);
    }
    for (const button of book.querySelectorAll("[data-tick]")) {
      button.addEventListener("click", () => {
        for (const box of chapters()) box.checked = button.dataset.tick === "all";
        chosen();
      });
    }
    for (const box of chapters()) box.addEventListener("change", chosen);
    chosen();
  }
  ready();
}

function another() {
  made.id = "";
  find("contents").replaceChildren();
  find("book-drop").hidden = false;
  find("book-file").focus();
  ready();
}

function readings() {
  const include = [...document.querySelectorAll('#left-out [name="include"]:checked')];
  return { include: [...new Set(include.map((box) => box.value))], notes: find("notes").value };
}

async function reread(event) {
  const { include, notes } = readings();
  const id = event.target.id;
  await showBook(made.id, "book", `?${new URLSearchParams({ include, notes })}`);
  (find(id) ?? find("left-out")?.querySelector("summary"))?.focus();
}

const chapters = () => [...document.querySelectorAll('[name="chapter"]')];

function chosen() {
  const boxes = chapters().filter((box) => box.checked);
  const sum = (name) => boxes.reduce((all, box) => all + Number(box.dataset[name]), 0);
  find("chosen").textContent = fill(texts.make.chosen, {
    chapters: counted(texts.units.chapters, boxes.length),
    words: counted(texts.units.words, sum("words")),
    time: duration(sum("minutes") * 60),
  });
  ready();
}

// the voice

takeFiles("voice", (name) => (ends(name, "voice") ? "voice" : ""), newSample);

async function newSample(file, kind, blob) {
  made.sample = file.id;
  if (made.sampleAudio) URL.revokeObjectURL(made.sampleAudio);
  made.sampleAudio = URL.createObjectURL(blob);
  find("keep").hidden = false;
  find("transcript").value = "";
  showSample(file.name);
  document.querySelector('[value="sample"]').checked = true;
  ready();
}

function showSample(name) {
  find("sample-choice").hidden = !made.sample;
  find("sample-name").textContent = name;
  find("sample-choice").querySelector("button").dataset.audio = made.sampleAudio;
  const none = find("no-voices");
  if (none) none.hidden = Boolean(made.sample);
}

find("keep-voice").addEventListener("click", (event) => busy(event.currentTarget, async () => {
  const name = find("voice-name").value.trim();
  if (!consented() || !name) return find("voice-name").focus();
  const transcript = find("transcript").value;
  await call("POST", "/api/voices", { name, upload: made.sample, transcript, consent: true });
  await part(`/parts/voices?${new URLSearchParams({ chosen: name })}`, "#voices");
  made.sample = "";
  find("keep").hidden = true;
  find("voice-name").value = "";
  say(fill(texts.make.kept, { name }));
  ready();
}));

find("voices").addEventListener("click", (event) => {
  const button = event.target.closest(".hear-voice");
  if (!button) return;
  event.preventDefault();
  play(button);
});
find("voices").addEventListener("change", ready);
find("consent").addEventListener("change", ready);

function play(button) {
  const going = !player.paused && playing === button.dataset.audio;
  player.pause();
  if (going) return;
  for (const one of document.querySelectorAll(".hear-voice")) icon(one, "play");
  player.src = button.dataset.audio;
  playing = button.dataset.audio;
  player.onplay = () => icon(button, "stop");
  player.onpause = player.onended = () => icon(button, "play");
  player.play().catch((error) => say(error));
}

function voice() {
  const value = document.querySelector('[name="voice"]:checked')?.value ?? "";
  const consent = find("consent").checked;
  if (value.startsWith("name:")) return { name: value.slice(5), consent };
  const transcript = find("transcript").value.trim() || null;
  if (value === "sample" && made.sample) return { upload: made.sample, transcript, consent };
  return null;
}

function hasVoice() {
  if (voice() || own()) return true;
  say(texts.make.voice_needed);
  document.querySelector('[name="voice"]')?.focus();
  return false;
}

const own = () => document.querySelector('[name="voice"]:checked')?.value === "own";

function consented() {
  if (find("consent").checked) return true;
  say(texts.make.consent_needed);
  find("consent").focus();
  return false;
}

// the microphone

let recorder = null;

find("record").addEventListener("click", async () => {
  if (recorder) return recorder.stop();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch {
    return say(texts.make.no_microphone);
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const stopMeter = meter(stream);
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1000).toFixed(0);
  const tick = setInterval(() => {
    find("recorded").textContent = fill(texts.units.seconds, { seconds: seconds() });
    if (seconds() >= MICROPHONE_SECONDS) recorder?.stop();
  }, 250);
  recorder.onstop = async () => {
    const length = seconds();
    const type = recorder.mimeType;
    recorder = null;
    clearInterval(tick);
    stopMeter();
    for (const track of stream.getTracks()) track.stop();
    recording(false);
    find("recorded").textContent = fill(texts.make.recorded, { seconds: length });
    const blob = new Blob(pieces, { type });
    const name = `recording.${type.includes("mp4") ? "m4a" : type.includes("ogg") ? "ogg" : "webm"}`;
    await busy(find("record"), async () => {
      await newSample(await upload(blob, "voice", name, () => {}), "voice", blob);
    });
  };
  recorder.start();
  recording(true);
});

function recording(yes) {
  const button = find("record");
  button.setAttribute("aria-pressed", String(yes));
  button.querySelector("span").textContent = yes ? texts.make.record_stop : texts.make.record;
  icon(button, yes ? "stop" : "microphone");
  find("level").hidden = !yes;
}

function meter(stream) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    find("level").value = Math.min(1, 3 * Math.max(...samples.map(Math.abs)));
  }, 100);
  return () => {
    clearInterval(timer);
    context.close();
  };
}

// the preview

find("hear").addEventListener("click", (event) => busy(event.currentTarget, async () => {
  if (!hasVoice() || !consented()) return;
  find("hearing").textContent = texts.make.previewing;
  try {
    const heard = await call("POST", "/api/previews", {
      upload: made.id, voice: voice(), text: find("sentence").value.trim(), model: model(),
    });
    const audio = find("preview-audio");
    audio.src = heard.audio;
    audio.hidden = false;
    await audio.play().catch(() => {});
  } finally {
    find("hearing").textContent = "";
  }
}));

// the order

const model = () => find("model")?.value ?? "";

function order() {
  const chosen = voice();
  if (made.kind === "dub") {
    return {
      kind: "dub", subtitles: made.id, video: made.video || null, voice: own() ? null : chosen,
      mode: find("mode").value, loudness: find("loudness").value,
      consent: find("consent").checked, model: model(),
    };
  }
  const boxes = chapters();
  const ticked = boxes.filter((box) => box.checked).map((box) => Number(box.value));
  const formats = [...document.querySelectorAll('[name="format"]:checked')].map((box) => box.value);
  return {
    kind: "book", book: made.id, voice: chosen ?? {},
    chapters: ticked.length === boxes.length ? [] : ticked, ...readings(), formats,
    mastering: find("mastering").value, credits: find("credits").checked || null,
    layout: find("audiobookshelf").checked ? "audiobookshelf" : "plain", model: model(),
  };
}

function ready() {
  find("own-choice").hidden = !(made.kind === "dub" && made.video);
  for (const name of ["voice-step", "outputs-step"]) {
    const section = find(name);
    section.classList.toggle("waiting", !made.id);
    section.querySelector(".body").hidden = !made.id;
    section.querySelector(".waits").hidden = Boolean(made.id);
  }
  find("preview").hidden = own(); // those voices are not there yet
  estimate();
}

let estimating = 0;

function estimate() {
  clearTimeout(estimating);
  if (!made.id) return;
  estimating = setTimeout(async () => {
    try {
      const found = await call("POST", "/api/estimates", order());
      find("spoken").textContent = fill(texts.make.estimate, { spoken: duration(found.spoken_seconds) });
      const work = fill(texts.make.estimate_work, { work: duration(found.work_seconds) });
      find("work").textContent = found.measured ? work : `${work} ${texts.make.estimate_unknown}`;
    } catch (error) {
      find("spoken").textContent = "";
      find("work").textContent = error.message;
    }
  }, 400);
}

find("outputs-step").addEventListener("change", ready);

find("start").addEventListener("click", (event) => busy(event.currentTarget, async () => {
  if (made.kind === "book" && !chapters().some((box) => box.checked)) {
    return say(texts.make.chapters_needed);
  }
  if (!hasVoice() || !consented()) return;
  await call("POST", "/api/jobs", order());
  location.assign("/watch");
}));

ready();
