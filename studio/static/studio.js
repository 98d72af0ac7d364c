// What every page needs: requests to the API, messages, and the texts in the user's language.

const csrf = document.querySelector('meta[name="csrf"]').content;
export const texts = JSON.parse(document.getElementById("texts").textContent);

/** Asks the API; returns what it answers, or throws an Error with the sentence it says. */
export async function call(method, path, body) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error(texts.errors.network);
  }
  if (!answer.ok) throw problem(await answer.text(), answer.headers.get("Content-Language"));
  return answer.status === 204 ? null : answer.json();
}

/** Uploads a file; `progress` gets what part of it is there, 0 to 1. */
export function upload(file, kind, name, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/uploads?${new URLSearchParams({ kind, name })}`);
    request.setRequestHeader("X-CSRF-Token", csrf);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded / (event.total || 1));
    request.onerror = () => reject(new Error(texts.errors.network));
    request.onload = () => {
      if (request.status === 201) resolve(JSON.parse(request.responseText));
      else reject(problem(request.responseText, request.getResponseHeader("Content-Language")));
    };
    request.send(file);
  });
}

/** Shows a sentence, or what an Error says, for a while; screen readers say it. */
export function say(what) {
  const sentence = what.message ?? what;
  const line = document.createElement("p");
  const text = document.createElement("span");
  text.textContent = sentence;
  if (what.language && !document.documentElement.lang.startsWith(what.language)) {
    text.lang = what.language;
    line.append(texts.errors.english);
  }
  line.append(text);
  document.getElementById("messages").append(line);
  setTimeout(() => line.remove(), 6000 + 100 * sentence.length); // as long as it takes to read
}

/** Runs something that a button began: the button waits, and what goes wrong is shown. */
export async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    say(error);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/** A part of a page from the server, put into an element. */
export async function part(path, target, swap = "innerHTML") {
  try {
    await window.htmx.ajax("GET", path, { target, swap });
  } catch (error) {
    throw error ?? new Error(texts.errors.network); // htmx gives no reason where nobody answers
  }
}

/** "{count} word|{count} words", for a number. */
export function counted(forms, count) {
  const [one, many] = forms.split("|");
  return fill(count === 1 || !many ? one : many, { count: count.toLocaleString("en") });
}

/** A text with its {names} filled in. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A duration as one says it: 40 s, 3 min, 2 h 5 min. */
export function duration(seconds) {
  if (Math.round(seconds) < 60) {
    return fill(texts.units.seconds, { seconds: Math.max(1, Math.round(seconds)) });
  }
  const all = Math.round(seconds / 60);
  const [hours, minutes] = [Math.floor(all / 60), all % 60];
  return fill(hours ? texts.units.hours : texts.units.minutes, { hours, minutes });
}

/** A time as a player shows it: 3:07, 1:02:33. */
export function clock(seconds) {
  const all = Math.floor(seconds || 0);
  const [hours, minutes] = [Math.floor(all / 3600), Math.floor(all / 60) % 60];
  const rest = String(all % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Puts another symbol of icons.svg into a button. */
export function icon(button, name) {
  button.querySelector("use").setAttribute("href", `/static/icons.svg#${name}`);
}

/** Calls back with every job that changes, while the page is open. */
export function watchJobs(changed, removed, connected) {
  const source = new EventSource("/api/events");
  source.addEventListener("job", (event) => changed(JSON.parse(event.data)));
  source.addEventListener("removed", (event) => removed?.(event.data.replaceAll('"', "")));
  source.addEventListener("open", () => connected?.(true));
  source.addEventListener("error", () => connected?.(false));
}

/** What the API says of a request that failed, and in which language it says it. */
function problem(answer, language) {
  try {
    return Object.assign(new Error(JSON.parse(answer).detail), { language });
  } catch {
    return new Error(texts.errors.title);
  }
}

document.body.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = csrf;
});
document.body.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  say(problem(xhr.responseText, xhr.getResponseHeader("Content-Language")));
});
document.body.addEventListener("htmx:sendError", () => say(texts.errors.network));
