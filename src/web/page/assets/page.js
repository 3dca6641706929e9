// Refreshes the page: requests it again and replaces only what has changed, so that focus, scroll positions, selections, unfolded
// parts and unfinished input stay. The page works without this script.
"use strict";

/** The times from a response to the next request, for a response, and from the last key to the search, in milliseconds. */
const REFRESH_INTERVAL = 10_000;
const RESPONSE_LIMIT = 8_000;
const TYPING_PAUSE = 250;

/** The height of the first rows below the caption, in pixels. */
const FIRST_ROWS = 120;

const silence = document.getElementById("silence");
const form = document.getElementById("filter");
let asking = null;
let timer = 0;
let title = document.title;

/** Makes a node equal to another one, with as few changes as possible. */
function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // The server sends all parts folded: unfolded ones stay unfolded.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  // A focused list may be open.
  if (old.nodeName === "SELECT" && old === document.activeElement) return;
  morphChildren(old, fresh);
}

/** Children with a key are moved instead of rewritten. */
function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) {
    if (child.dataset?.key !== undefined) keyed.set(child.dataset.key, child);
  }
  let next = old.firstChild;
  for (const wanted of fresh.childNodes) {
    const key = wanted.dataset?.key;
    let found = key === undefined ? next : keyed.get(key);
    if (key === undefined) {
      while (found?.dataset?.key !== undefined) found = found.nextSibling;
    }
    if (!found) {
      old.insertBefore(document.importNode(wanted, true), next);
      continue;
    }
    keyed.delete(key);
    if (found === next) next = next.nextSibling;
    else old.insertBefore(found, next);
    morph(found, wanted);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

/** Whether text in it is selected, for copying. */
function isSelected(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

/** Shows the content of a fresh page. `isAsked` is whether it answers a query of the reader. */
function show(fresh, isAsked) {
  const script = (page) => page.querySelector("script[src]")?.getAttribute("src");
  if (script(fresh) !== script(document)) {
    // The exporter runs another release, whose page needs its own script.
    location.reload();
    return;
  }
  const focused = document.activeElement;
  for (const part of document.querySelectorAll("[data-live]")) {
    const wanted = fresh.getElementById(part.id);
    if (wanted && (isAsked || !isSelected(part))) morph(part, wanted);
  }
  title = fresh.title;
  if (isAsked) fill(fresh);
  prepare();
  if (focused && focused !== document.activeElement) {
    const home = focused.isConnected ? focused : document.getElementById("list");
    home?.focus({ preventScroll: true });
  }
}

/** Fills the form with the query, except the field that has the focus. */
function fill(fresh) {
  for (const control of form?.elements ?? []) {
    const wanted = fresh.getElementById("filter")?.elements[control.name];
    if (control.name && wanted && control !== document.activeElement) control.value = wanted.value;
  }
}

/** The parts of the page with a heading. */
const PARTS = "main section, #head";

/** Marks the page as out of date: at the top, in the title, and at the heading of each part that `fresh` lacks. */
function markOutdated(text, fresh) {
  const since = silence.hidden ? `${new Date().toISOString().slice(11, 19)} UTC` : silence.dataset.since;
  silence.dataset.since = since;
  const message = `${text.replace("SINCE", since)} Data below is out of date.`;
  if (silence.textContent !== message) silence.textContent = message;
  silence.hidden = false;
  document.title = `Out of date: ${title}`;
  for (const part of document.querySelectorAll(PARTS)) {
    const live = part.matches("[data-live]") ? [part] : [...part.querySelectorAll("[data-live]")];
    mark(part, !live.every(({ id }) => fresh?.getElementById(id)));
  }
  if (fresh?.getElementById("verdict")) return;
  const verdict = document.querySelector("#verdict .verdict");
  if (!verdict) return;
  verdict.className = "verdict bad";
  verdict.querySelector(".sign").textContent = "✕";
  verdict.querySelector("strong").textContent = "Unknown";
  verdict.querySelector(".because").textContent = "The state of the exporter is not known.";
}

function mark(part, isOutdated) {
  part.classList.toggle("outdated", isOutdated);
  const old = part.querySelector(".outdated-note");
  if (isOutdated === Boolean(old)) return;
  if (old) return old.remove();
  const note = document.createElement("span");
  note.className = "outdated-note";
  note.textContent = " – out of date";
  part.querySelector("h1, h2").append(note);
}

/** Removes these marks. */
function markCurrent() {
  silence.hidden = true;
  document.title = title;
  for (const part of document.querySelectorAll(PARTS)) mark(part, false);
}

/** Requests a page and shows it. */
async function ask(address, isAsked) {
  asking?.abort();
  clearTimeout(timer);
  const mine = new AbortController();
  asking = mine;
  const limit = setTimeout(() => mine.abort("slow"), RESPONSE_LIMIT);
  try {
    const answer = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (asking !== mine) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const isOurs = fresh.getElementById("main") !== null;
    if (isOurs) show(fresh, isAsked);
    // A page that says what is wrong with the query (400), or lists all devices instead of those of an unknown account (404), is complete.
    if (isOurs && (answer.ok || answer.status === 400 || fresh.getElementById("devices"))) markCurrent();
    else if (isOurs && answer.status === 404) markOutdated("The exporter no longer knows this device (since SINCE).", fresh);
    else if (isOurs && answer.status >= 500) markOutdated("The exporter has been unable to show the fleet since SINCE.", fresh);
    else markOutdated(`Something other than the exporter has answered since SINCE, with status ${answer.status}.`);
  } catch {
    if (asking === mine) markOutdated("Connection to the exporter lost at SINCE.");
  } finally {
    clearTimeout(limit);
    if (asking === mine) {
      asking = null;
      schedule();
    }
  }
}

function refresh() {
  if (!document.hidden && !asking) ask(location.href, false);
}

function schedule() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, REFRESH_INTERVAL);
}

/** Goes to a list of devices without leaving the page, and scrolls to it. */
async function go(address, isNew) {
  const url = new URL(address, location.href);
  // So that a copied address also opens at the list.
  url.hash = "devices";
  if (isNew) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  await ask(url.href, true);
  reveal();
}

/** Scrolls to the list, unless its caption and first rows are visible. */
function reveal() {
  const list = document.getElementById("list-caption")?.getBoundingClientRect();
  if (!list) return;
  const height = visualViewport?.height ?? innerHeight;
  if (list.top < 0 || list.bottom + FIRST_ROWS > height) document.getElementById("devices").scrollIntoView();
}

/** The address of the form's query. */
function asked() {
  const pairs = [...new FormData(form)].filter(([, value]) => value !== "");
  return `./?${new URLSearchParams(pairs)}`;
}

/** Shows the hints about features that need this script. */
function prepare() {
  for (const hint of document.querySelectorAll(".hint")) hint.hidden = false;
}

function near(event) {
  const map = event.target.closest?.("#map svg");
  if (!map || !form) return;
  const matrix = map.getScreenCTM();
  if (!matrix) return;
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
  const clamp = (value, limit) => Math.min(limit, Math.max(-limit, value)).toFixed(1);
  form.elements.near.value = `${clamp(90 - point.y / 10, 90)},${clamp(point.x / 10 - 180, 180)}`;
  form.elements.sort.value = "";
  go(asked(), true);
}

if (form) {
  document.documentElement.classList.add("lively");
  let typing = 0;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    go(asked(), true);
  });
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    // A location is not valid before it is complete.
    if (event.target.name !== "near") typing = setTimeout(() => go(asked(), false), event.target.name === "search" ? TYPING_PAUSE : 0);
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (link?.closest("[data-live]") && link.origin === location.origin && link.pathname === location.pathname) {
      event.preventDefault();
      go(link.href, true);
    } else if (!link) near(event);
  });
  addEventListener("popstate", () => ask(location.href, true));
}

if (silence) {
  document.addEventListener("visibilitychange", refresh);
  addEventListener("online", refresh);
  prepare();
  if (document.querySelector("[data-asked]") && !location.hash) reveal();
  schedule();
}
