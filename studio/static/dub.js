// The player of a dub: the sound leads, and picture, timeline and subtitles follow it.

import { busy, call, clock, fill, part, say, texts, watchJobs } from "/static/studio.js";

const find = (id) => document.getElementById(id);
const job = find("dub").dataset.job;
const [audio, video, strip, cues] = [find("audio"), find("video"), find("strip"), find("cues")];
const seconds = Number(strip.dataset.seconds);
const shown = Number(strip.dataset.window); // seconds of the timeline that are seen at once
const rows = [...cues.children].map((element) => ({
  element, start: Number(element.dataset.start), end: Number(element.dataset.end),
}));
const APART = 0.15; // seconds that picture and sound may be apart

// Browsers play the first sound of a video, which is the original's. So the picture is silent, and
// the mix is heard beside it.

function together() {
  if (video && Math.abs(video.currentTime - audio.currentTime) > APART) {
    video.currentTime = audio.currentTime;
  }
}

function show() {
  const now = audio.currentTime;
  const first = Math.max(0, Math.min(now - shown / 3, seconds - shown));
  strip.setAttribute("viewBox", `${first} 0 ${shown} 3`);
  for (const end of ["x1", "x2"]) find("now").setAttribute(end, now);
  find("strip-from").textContent = clock(first);
  find("strip-to").textContent = clock(first + shown);
  for (const { element, start, end } of rows) {
    const heard = now >= start && now < end;
    if (heard === element.classList.contains("now")) continue;
    element.classList.toggle("now", heard);
    if (heard) {
      element.setAttribute("aria-current", "true");
      if (!audio.paused) cues.scrollTop = element.offsetTop - cues.clientHeight / 3;
    } else element.removeAttribute("aria-current");
  }
}

function follow() {
  show();
  if (!audio.paused) requestAnimationFrame(follow);
}

audio.addEventListener("play", () => {
  together();
  video?.play().catch(() => {}); // without a picture there is still the sound
  requestAnimationFrame(follow);
});
audio.addEventListener("pause", () => video?.pause());
audio.addEventListener("ratechange", () => {
  if (video) video.playbackRate = audio.playbackRate;
});
for (const name of ["timeupdate", "seeking", "seeked"]) {
  audio.addEventListener(name, () => {
    together();
    show();
  });
}

function play(from) {
  audio.currentTime = from;
  audio.play().catch((error) => say(error));
}

function toggle() {
  if (audio.paused) audio.play().catch((error) => say(error));
  else audio.pause();
}

cues.addEventListener("click", (event) => {
  const button = event.target.closest("[data-seek]");
  if (button) play(Number(button.dataset.seek));
});
strip.addEventListener("click", (event) => {
  const box = strip.getBoundingClientRect();
  const first = Number(strip.getAttribute("viewBox").split(" ")[0]);
  play(first + (shown * (event.clientX - box.left)) / box.width);
});
document.addEventListener("keydown", (event) => {
  const elsewhere = "button, input, select, textarea, summary, a, audio";
  if (event.key === " " && !event.target.closest(elsewhere)) {
    event.preventDefault();
    toggle();
  }
});

if (video) {
  const gone = () => {
    video.hidden = find("larger").hidden = true;
    find("no-picture").hidden = false;
  };
  video.addEventListener("click", toggle);
  video.addEventListener("error", gone);
  if (video.error) gone();
  find("larger").addEventListener("click", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else find("screen").requestFullscreen().catch((error) => say(error));
  });
}
show();

// mending: a line is made again from another seed, a word said otherwise, a speaker given a voice

const firstSeed = Number(find("dub").dataset.first);

/** Says of a subtitle's line which of its takes is heard, if that is not the first one. */
function mark(row) {
  const [made, seed] = [Number(row.dataset.made), Number(row.dataset.seed)];
  const [badge, first] = [row.querySelector("[data-take]"), row.querySelector("[data-first]")];
  if (!badge) return;
  const text = seed === made ? texts.listen.take : texts.listen.waits;
  badge.textContent = fill(text, { number: seed - firstSeed + 1 });
  badge.hidden = seed === made && seed === firstSeed;
  first.hidden = seed === firstSeed;
}

for (const { element } of rows) mark(element);

async function make(row, seed) {
  const { place } = row.dataset;
  await call("PUT", `/api/jobs/${job}/lines/${place}/take`, { seed });
  for (const { element } of rows) {
    if (element.dataset.place !== place) continue;
    element.dataset.seed = seed;
    mark(element);
  }
  say(texts.listen.saved_dub);
}

async function change(method, path, body) {
  await call(method, `/api/jobs/${job}/${path}`, body);
  if (path.startsWith("lexicon")) window.htmx.trigger(document.body, "lexicon-changed");
  say(texts.listen.saved_dub);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  const row = button?.closest("[data-place]");
  if (!button) return;
  if ("again" in button.dataset) busy(button, () => make(row, Number(row.dataset.seed) + 1));
  if ("first" in button.dataset) busy(button, () => make(row, firstSeed));
  const word = button.dataset.forget;
  if (word) busy(button, () => change("POST", "lexicon/remove", { word }));
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-edit]");
  if (!form) return;
  event.preventDefault();
  const given = [...new FormData(form)];
  busy(form.querySelector('[type="submit"]'), async () => {
    if (form.dataset.edit === "cast") {
      await change("PUT", "cast", given.map(([speaker, voice]) => ({ speaker, voice })));
    } else {
      await change("PUT", "lexicon", Object.fromEntries(given));
      form.reset();
    }
  });
});

let rebuilding = false;

watchJobs((changed) => {
  if (changed.id !== job) return;
  part(`/parts/jobs/${job}/changes`, "#changes", "outerHTML");
  if (["running", "queued"].includes(changed.state)) rebuilding = true;
  else if (rebuilding && changed.state === "finished") location.reload();
});
