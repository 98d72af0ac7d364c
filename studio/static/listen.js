// The player of an audiobook: its text follows the sound word by word, and sentences are mended.

import { busy, call, clock, icon, part, say, texts, watchJobs } from "/static/studio.js";

const find = (id) => document.getElementById(id);
const listen = find("listen");
const job = listen.dataset.job;
const [audio, takeAudio] = [find("audio"), find("take-audio")];
const [seek, text] = [find("seek"), find("text")];
const place = `voxloom-place-${job}`; // where the listener is, remembered by the browser
const phone = matchMedia("(max-width: 50rem)");
let chapter = Number(listen.dataset.chapter);
let words = []; // of the chapter, in order: element, start, end
let sentences = [];
let word = null; // the ones that are heard
let sentence = null;
let chosen = ""; // the sentence that is mended
let until = Infinity; // where to stop when one sentence is heard
const hint = find("mend").innerHTML;

// chapters

const links = () => [...document.querySelectorAll(".chapters a[data-number]")];
const link = (number) => links().find((one) => Number(one.dataset.number) === number);

function load() {
  const here = link(chapter);
  if (audio.getAttribute("src") !== here.dataset.audio) audio.src = here.dataset.audio;
  audio.playbackRate = Number(find("speed").value);
  for (const one of links()) one.removeAttribute("aria-current");
  here.setAttribute("aria-current", "true");
  find("playing").textContent = here.dataset.title;
  find("previous").disabled = !neighbour(-1);
  find("next").disabled = !neighbour(1);
  const times = (element) => ({
    element, start: Number(element.dataset.start), end: Number(element.dataset.end),
  });
  sentences = [...text.querySelectorAll(".sentence")].map(times);
  words = [...text.querySelectorAll(".sentence span")].map(times);
  word = sentence = null;
  if (sentences.length) sentences[0].element.tabIndex = 0;
}

function neighbour(step) {
  const all = links();
  return all[all.indexOf(link(chapter)) + step];
}

async function open(number, seconds = 0, play = !audio.paused) {
  if (number !== chapter) {
    await part(`/parts/listen/${job}/chapters/${number}`, "#text");
    chapter = number;
    history.replaceState(null, "", `?chapter=${number}`);
    load();
  }
  audio.currentTime = seconds;
  show();
  if (play) await audio.play();
}

document.querySelector(".chapter-side").addEventListener("click", (event) => {
  const one = event.target.closest("a[data-number]");
  if (!one) return;
  event.preventDefault();
  until = Infinity;
  open(Number(one.dataset.number)).catch((error) => say(error));
});

// the player

function toggle() {
  until = Infinity;
  if (audio.paused) audio.play().catch((error) => say(error));
  else audio.pause();
}

function jump(seconds) {
  until = Infinity;
  audio.currentTime = Math.max(0, Math.min(audio.duration || 0, audio.currentTime + seconds));
}

find("play").addEventListener("click", toggle);
find("back").addEventListener("click", () => jump(-15));
find("forth").addEventListener("click", () => jump(15));
for (const [id, step] of [["previous", -1], ["next", 1]]) {
  find(id).addEventListener("click", () => {
    const one = neighbour(step);
    if (one) open(Number(one.dataset.number)).catch((error) => say(error));
  });
}
seek.addEventListener("input", () => {
  until = Infinity;
  audio.currentTime = Number(seek.value);
});
find("speed").addEventListener("change", (event) => {
  audio.playbackRate = Number(event.target.value);
});

for (const name of ["play", "pause"]) {
  audio.addEventListener(name, () => {
    const button = find("play");
    icon(button, audio.paused ? "play" : "pause");
    button.setAttribute("aria-label", audio.paused ? button.dataset.play : button.dataset.pause);
    if (audio.paused) remember();
    else {
      takeAudio.pause();
      requestAnimationFrame(follow);
    }
  });
}
audio.addEventListener("timeupdate", show);
audio.addEventListener("seeked", show);
audio.addEventListener("loadedmetadata", () => {
  seek.max = audio.duration;
  find("length").textContent = clock(audio.duration);
});
audio.addEventListener("ended", () => {
  const next = neighbour(1);
  if (next && until === Infinity) {
    open(Number(next.dataset.number), 0, true).catch((error) => say(error));
  }
});

function follow() {
  show();
  if (!audio.paused) requestAnimationFrame(follow);
}

/** What is heard now: the last one that has begun, as long as it lasts. */
function heard(list, now, slack) {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].start <= now) low = middle + 1;
    else high = middle;
  }
  const found = list[low - 1];
  return found && now < found.end + slack ? found.element : null;
}

function show() {
  const now = audio.currentTime;
  if (now >= until) {
    until = Infinity;
    audio.pause();
  }
  seek.value = now;
  seek.setAttribute("aria-valuetext", clock(now));
  find("time").textContent = clock(now);
  const [newWord, newSentence] = [heard(words, now, 0.2), heard(sentences, now, 0.3)];
  if (newWord !== word) {
    word?.classList.remove("now");
    newWord?.classList.add("now");
    word = newWord;
  }
  if (newSentence !== sentence) {
    sentence?.classList.remove("now");
    newSentence?.classList.add("now");
    sentence = newSentence;
    if (sentence && find("follow").checked && !audio.paused) {
      sentence.scrollIntoView({ block: "center", behavior: "smooth" });
    }
  }
}

function remember() {
  localStorage.setItem(place, JSON.stringify([chapter, audio.currentTime]));
}

window.addEventListener("pagehide", remember);

// keys: the space bar plays, arrows go through the sentences

document.addEventListener("keydown", (event) => {
  if (event.key === " " && !event.target.closest("button, input, select, textarea, summary, a")) {
    event.preventDefault();
    toggle();
  }
});

text.addEventListener("keydown", (event) => {
  const at = sentences.findIndex((one) => one.element === event.target);
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  if (at < 0) return;
  if (event.key in steps) {
    const next = sentences[at + steps[event.key]];
    if (next) roam(next.element);
  } else if (event.key === "Enter") {
    choose(event.target.dataset.place);
  } else if (event.key === "Escape" && chosen) {
    close();
  } else return;
  event.preventDefault();
});

text.addEventListener("click", (event) => {
  const one = event.target.closest(".sentence");
  if (!one) return;
  const from = event.target.closest("[data-start]");
  until = Infinity;
  audio.currentTime = Number(from.dataset.start);
  show();
  roam(one);
  choose(one.dataset.place);
});

function roam(element) {
  for (const one of sentences) one.element.tabIndex = -1;
  element.tabIndex = 0;
  element.focus();
}

// mending

const element = (where) => find(`line-${where.replace(":", "-")}`);

async function choose(where) {
  chosen = where;
  for (const one of sentences) one.element.classList.toggle("chosen", one.element.dataset.place === where);
  await part(`/parts/listen/${job}/lines/${where}`, "#mend");
  if (phone.matches) element(where)?.scrollIntoView(); // above the sheet
}

/** Goes back to the text; what can be done with a sentence gives way to what was there. */
function close() {
  find("mend").innerHTML = hint;
  element(chosen)?.classList.remove("chosen");
  element(chosen)?.focus();
  chosen = "";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.go) go(button.dataset.go);
  if (button.matches(".hear-line")) hear(Number(button.dataset.start), Number(button.dataset.end));
  if (button.matches(".play-take")) playTake(button);
  if (button.id === "make-again") busy(button, makeAgain);
  if (button.dataset.take) busy(button, () => useTake(Number(button.dataset.take)));
  if (button.id === "close-line") close();
  if (button.id === "pause-planned") busy(button, () => edit({ pause_after: -1 }));
  if (button.dataset.forget) busy(button, () => forget(button.dataset.forget));
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-edit]");
  if (!form) return;
  event.preventDefault();
  const given = new FormData(form);
  const edits = {
    word: () => sayAs(given.get("word").trim(), given.get("say").trim()),
    speaker: () => edit({ speaker: given.get("speaker") }),
    pause: () => edit({ pause_after: Number(given.get("pause")) }),
    cast: () => setCast(given),
  };
  busy(form.querySelector('[type="submit"]'), edits[form.dataset.edit]);
});

async function go(where) {
  const number = Number(where.split(":")[0]);
  await open(number, audio.currentTime, false);
  const line = element(where);
  if (!line) return;
  await choose(where);
  line.scrollIntoView({ block: "center" });
  hear(Number(line.dataset.start), Number(line.dataset.end));
}

function hear(start, end) {
  audio.currentTime = start;
  until = end;
  audio.play().catch((error) => say(error));
}

function playTake(button) {
  audio.pause();
  takeAudio.src = button.dataset.audio;
  takeAudio.play().catch((error) => say(error));
}

const showTakes = () => part(`/parts/listen/${job}/lines/${chosen}/takes`, "#takes");
const lineAddress = () => `/api/jobs/${job}/lines/${chosen}`;

async function makeAgain() {
  const where = chosen;
  await call("POST", `${lineAddress()}/takes`);
  if (where !== chosen) return;
  await showTakes();
  const all = document.querySelectorAll(".play-take");
  all[all.length - 1]?.focus();
}

async function useTake(seed) {
  await call("PUT", `${lineAddress()}/take`, { seed });
  await showTakes();
  kept();
}

async function edit(change) {
  await call("PATCH", lineAddress(), change);
  kept();
}

async function sayAs(entry, spoken) {
  await call("PUT", `/api/jobs/${job}/lexicon`, { word: entry, say: spoken });
  window.htmx.trigger(document.body, "lexicon-changed");
  kept();
}

async function forget(entry) {
  await call("POST", `/api/jobs/${job}/lexicon/remove`, { word: entry });
  window.htmx.trigger(document.body, "lexicon-changed");
  kept();
}

async function setCast(given) {
  const members = [...given].map(([speaker, voice]) => ({ speaker, voice }));
  await call("PUT", `/api/jobs/${job}/cast`, members);
  kept();
}

function kept() {
  say(texts.listen.saved);
}

// changes that are brought in

let drawing = 0;
let rebuilding = false;

watchJobs((changed) => {
  if (changed.id !== job) return;
  clearTimeout(drawing);
  drawing = setTimeout(() => part(`/parts/jobs/${job}/changes`, "#changes", "outerHTML"), 300);
  if (["running", "queued"].includes(changed.state)) rebuilding = true;
  else if (rebuilding) {
    rebuilding = false;
    if (changed.state === "finished") brought().catch((error) => say(error));
  }
});

async function brought() {
  const now = audio.currentTime;
  await part(`/parts/listen/${job}/chapters?chapter=${chapter}`, "#chapters");
  await part(`/parts/listen/${job}/chapters/${chapter}`, "#text");
  await part(`/parts/listen/${job}/suspects`, "#suspects");
  load();
  audio.currentTime = now;
  if (chosen && element(chosen)) await choose(chosen);
  say(texts.listen.brought);
}

// where the listener was

if (phone.matches) find("chapter-list").open = false;
load();
const [lastChapter, lastTime] = JSON.parse(localStorage.getItem(place) ?? "[null, 0]");
if (lastTime && link(lastChapter) && !location.search) {
  open(lastChapter, lastTime, false).catch((error) => say(error));
} else show();
