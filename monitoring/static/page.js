// Listens to the stream and puts the blocks that changed in their places. Without it the page refreshes itself.
const LOST_MS = 3000; // the stream tells something every second
const AGAIN_MS = 1000;
const CRITICAL = ["no_primary", "split_suspected"];
const stream = document.body.dataset.stream;
let heard = Date.now();
let state = document.querySelector("#verdict")?.className.match(/state-(\w+)/)?.[1];
let madeWith;
let source;

function put(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  const fresh = box.content.firstElementChild;
  const old = document.getElementById(fresh.id);
  if (!old) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const one of old.querySelectorAll("details[id]")) {
    fresh.querySelector(`#${CSS.escape(one.id)}`)?.toggleAttribute("open", one.open);
  }
  for (const place of fresh.querySelectorAll("[data-keep]")) {
    const kept = document.getElementById(place.id);
    if (kept) place.replaceWith(kept);
  }
  localTimes(fresh);
  for (const name of ["class", "hidden", "open"]) {
    if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
    else old.removeAttribute(name);
  }
  // The element itself stays, so that a screen reader goes on listening to it.
  if (old.innerHTML !== fresh.innerHTML) old.replaceChildren(...fresh.childNodes);
  if (focused) document.getElementById(focused)?.focus();
}

function take(told) {
  heard = Date.now();
  if (told.made_with && told.made_with !== (madeWith ??= told.made_with)) location.reload();
  for (const html of Object.values(told.blocks)) put(html);
  found();
  if (!told.state) return;
  document.title = told.title;
  document.getElementById("icon").href = told.icon;
  if (told.state !== state && CRITICAL.includes(told.state)) {
    document.getElementById("alarm").textContent = told.title;
  } else if (!CRITICAL.includes(told.state)) {
    document.getElementById("alarm").textContent = "";
  }
  state = told.state;
}

function found() {
  document.body.classList.remove("lost");
  document.body.classList.add("live");
  const actions = document.getElementById("actions");
  if (actions) actions.inert = false;
}

function lost() {
  const since = new Date(heard).toISOString().slice(11, 19);
  const text = `unknown since ${since}Z: no answer from the orchestrator`;
  document.body.classList.add("lost");
  document.body.classList.remove("live");
  const actions = document.getElementById("actions");
  if (actions) actions.inert = true;
  const tag = document.createElement("b");
  tag.className = "tag bad";
  tag.textContent = `STALE ${Math.round((Date.now() - heard) / 1000)} s`;
  document.querySelector("#freshness .link")?.replaceChildren(tag);
  if (state === "lost") return;
  state = "lost";
  document.title = `[?] ${text}`;
  const verdict = document.getElementById("verdict");
  verdict.className = "block state-unknown";
  verdict.querySelector(".word")?.replaceChildren("UNKNOWN");
  verdict.querySelector(".mark")?.replaceChildren("?");
  verdict.querySelector(".sentence").textContent = text;
}

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const here = new Date(time.dateTime);
    if (Number.isNaN(here.valueOf())) continue;
    time.title = `${here.toLocaleString()} here`;
    if (time.className === "clock") {
      time.textContent = `${time.dateTime.slice(11, 19)}Z (${here.toLocaleTimeString([], { timeStyle: "short" })} here)`;
    }
  }
}

function listen() {
  source?.close();
  source = new EventSource(stream + location.search);
  source.addEventListener("blocks", (event) => take(JSON.parse(event.data)));
}

function watch() {
  if (Date.now() - heard > LOST_MS) {
    lost();
    // One that is silent is begun anew: then everything is told again.
    if (source.readyState === EventSource.OPEN) listen();
    if (source.readyState === EventSource.CLOSED) refused();
  }
}

// A session that has ended shows as a page that leads elsewhere, to the login.
async function refused() {
  try {
    const answer = await fetch(location.href, { method: "HEAD", redirect: "manual", signal: AbortSignal.timeout(900) });
    if (answer.type === "opaqueredirect") location.reload();
    else listen();
  } catch {
    listen();
  }
}

async function look() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(2500) });
    const there = new DOMParser().parseFromString(await answer.text(), "text/html");
    const ids = (root) => [...root.querySelectorAll("main > [id]")].map((one) => one.id).join();
    if (!answer.ok || ids(there) !== ids(document)) return location.reload();
    for (const one of there.querySelectorAll("main > [id]")) put(one.outerHTML);
    document.title = there.title;
    document.getElementById("icon").href = there.getElementById("icon").href;
    heard = Date.now();
    found();
  } catch {
    if (Date.now() - heard > LOST_MS) lost();
  }
  setTimeout(look, AGAIN_MS);
}

localTimes(document);
if (stream) {
  listen();
  setInterval(watch, AGAIN_MS);
} else {
  setTimeout(look, AGAIN_MS);
}
for (const radio of document.querySelectorAll(".filter input")) {
  radio.addEventListener("change", () => {
    const query = new URLSearchParams(location.search);
    query.set("severity", radio.value);
    history.replaceState(null, "", `?${query}`);
  });
}
