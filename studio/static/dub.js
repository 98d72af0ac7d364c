// The player of a dub: the table of subtitles follows the picture.

import { busy, call, part, say, texts, watchJobs } from "/static/studio.js";

const job = document.getElementById("dub").dataset.job;
const media = document.getElementById("media");
const rows = [...document.querySelectorAll("#cues tbody tr")];

media.addEventListener("timeupdate", () => {
  for (const row of rows) {
    const now = media.currentTime >= Number(row.dataset.start) && media.currentTime < Number(row.dataset.end);
    row.classList.toggle("now", now);
  }
});

document.getElementById("cues").addEventListener("click", (event) => {
  const button = event.target.closest("[data-seek]");
  if (!button) return;
  media.currentTime = Number(button.dataset.seek);
  media.play().catch((error) => say(error.message));
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest('[data-edit="cast"]');
  if (!form) return;
  event.preventDefault();
  busy(form.querySelector('[type="submit"]'), async () => {
    const members = [...new FormData(form)].map(([speaker, voice]) => ({ speaker, voice }));
    await call("PUT", `/api/jobs/${job}/cast`, members);
    say(texts.listen.saved);
  });
});

let rebuilding = false;

watchJobs((changed) => {
  if (changed.id !== job) return;
  part(`/parts/jobs/${job}/changes`, "#changes", "outerHTML");
  if (["running", "queued"].includes(changed.state)) rebuilding = true;
  else if (rebuilding && changed.state === "finished") location.reload();
});
