// The queue: cards follow the server's events.

import { part, watchJobs } from "/static/studio.js";

const SECONDS_BETWEEN = 0.7; // how often a card is drawn at most
const jobs = document.getElementById("jobs");
const drawn = new Map(); // when each card was drawn, and what waits to draw it

watchJobs(changed, removed, connected);

async function changed(job) {
  const card = document.getElementById(`job-${job.id}`);
  if (!card) {
    jobs.insertAdjacentHTML("afterbegin", `<li id="job-${job.id}" class="card job"></li>`);
  }
  const same = card && card.dataset.state === job.state
    && Number(card.dataset.changes) === job.changes;
  if (same) later(job.id);
  else await part(`/parts/jobs/${job.id}`, `#job-${job.id}`, "outerHTML");
  count();
}

function later(id) {
  if (drawn.has(id)) return;
  drawn.set(id, setTimeout(async () => {
    drawn.delete(id);
    const list = document.getElementById(`chapters-${id}`);
    const open = list?.open;
    if (!document.getElementById(`progress-${id}`)) return;
    await part(`/parts/jobs/${id}/progress`, `#progress-${id}`, "outerHTML");
    const fresh = document.getElementById(`chapters-${id}`);
    if (list && fresh) fresh.open = open;
  }, SECONDS_BETWEEN * 1000));
}

function removed(id) {
  document.getElementById(`job-${id}`)?.remove();
  count();
}

function count() {
  document.getElementById("no-jobs").hidden = jobs.children.length > 0;
}

function connected(yes) {
  document.getElementById("cut-off").hidden = yes;
}
