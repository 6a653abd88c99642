// Fetches the page once a second and replaces the blocks that differ. Without it the page refreshes itself.
const EVERY_MS = 1000;
const LOST_MS = 3000;
let heard = Date.now();

function patch(fresh) {
  const here = document.querySelector("main");
  const ids = (root) => [...root.querySelectorAll(":scope > [id], .cards > [id]")].map((block) => block.id);
  const there = fresh.querySelector("main");
  if (ids(here).join() !== ids(there).join()) {
    here.replaceWith(there);
  } else {
    for (const id of ids(there)) replace(document.getElementById(id), fresh.getElementById(id));
  }
  document.title = fresh.title;
  document.getElementById("icon").href = fresh.getElementById("icon").href;
  document.body.classList.remove("lost");
  localTimes();
}

function replace(old, fresh) {
  const opened = [...old.querySelectorAll("details[open]")].map((one) => one.id);
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const id of opened) fresh.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  if (old.isEqualNode(fresh)) return; // a screen reader announces the verdict only when it changes
  old.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus();
}

function lost() {
  const since = new Date(heard).toISOString().slice(11, 19);
  const text = `unknown since ${since}Z: no answer from the orchestrator`;
  document.body.classList.add("lost");
  document.title = `[?] ${text}`;
  document.querySelector("#verdict .word")?.replaceChildren("UNKNOWN");
  document.querySelector("#verdict .mark")?.replaceChildren("?");
  document.querySelector("#verdict .sentence").textContent = text;
  document.getElementById("head").className = "block state-unknown";
}

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = `${new Date(time.dateTime).toLocaleString()} here`;
  }
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(2500) });
    if (!answer.ok) throw new Error(answer.statusText);
    patch(new DOMParser().parseFromString(await answer.text(), "text/html"));
    heard = Date.now();
  } catch {
    if (Date.now() - heard > LOST_MS) lost();
  }
  setTimeout(refresh, EVERY_MS);
}

localTimes();
setTimeout(refresh, EVERY_MS);
