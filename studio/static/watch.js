// The queue: cards follow the server's events.

import { part, say, texts, watchJobs } from "/static/studio.js";

const SECONDS_BETWEEN = 0.7; // how often a card is drawn at most
const jobs = document.getElementById("jobs");
const drawn = new Map(); // when each card was drawn, and what waits to draw it

watchJobs(changed, removed, connected);

async function changed(job) {
  const id = `job-${job.id}`;
  const facts = `${job.state} ${job.changes} ${job.listenable}`; // what its card is drawn anew for
  const known = document.getElementById(id);
  if (!known) jobs.insertAdjacentHTML("afterbegin", `<li id="${id}" class="card job"></li>`);
  const card = known ?? document.getElementById(id);
  if (card.dataset.facts === facts) return later(job.id);
  if (known && card.dataset.state !== job.state) say(`${job.title}: ${texts.watch[job.state]}`);
  Object.assign(card.dataset, { facts, state: job.state });
  try {
    await part(`/parts/jobs/${job.id}`, `#${id}`, "outerHTML");
  } catch {
    card.dataset.facts = ""; // cut off: drawn once the server answers again
  }
  count();
}

function later(id) {
  if (drawn.has(id)) return;
  drawn.set(id, setTimeout(async () => {
    drawn.delete(id);
    const list = document.getElementById(`chapters-${id}`);
    const open = list?.open;
    if (!document.getElementById(`progress-${id}`)) return;
    try {
      await part(`/parts/jobs/${id}/progress`, `#progress-${id}`, "outerHTML");
    } catch {
      return; // cut off, which the page says
    }
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
