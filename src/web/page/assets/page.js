// Keeps the page fresh: requests it again and replaces what has changed, so that focus, scrolling, selections and text that is being
// typed stay. The page works without this script.
"use strict";

const PERIOD = 10_000;
const PATIENCE = 8_000;
const TYPING = 250;

/** So many pixels below the caption the first rows are in sight. */
const FIRST_ROWS = 120;

const silence = document.getElementById("silence");
const form = document.getElementById("filter");
let asking = null;
let timer = 0;
let title = document.title;

/** Makes a node equal to another one, and keeps as much of it as possible. */
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
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
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

/** Takes over a fresh page. */
function show(fresh, isAsked) {
  const script = (page) => page.querySelector("script[src]")?.getAttribute("src");
  if (script(fresh) !== script(document)) {
    // Another release answers: its page needs its own script.
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

/** Fills the form with the question, except the field that has the focus. */
function fill(fresh) {
  for (const control of form?.elements ?? []) {
    const wanted = fresh.getElementById("filter")?.elements[control.name];
    if (control.name && wanted && control !== document.activeElement) control.value = wanted.value;
  }
}

/** The parts of the page that have a heading. */
const PARTS = "main section, #head";

/** Says at the top, in the title and at each heading that the page is out of date; parts that `fresh` has are not. */
function complain(text, fresh) {
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

/** The page is as fresh as it can be. */
function calm() {
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
  const patience = setTimeout(() => mine.abort("slow"), PATIENCE);
  try {
    const answer = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (asking !== mine) return;
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const isOurs = fresh.getElementById("main") !== null;
    if (isOurs) show(fresh, isAsked);
    // A page that says what is wrong with a question is whole.
    if (isOurs && (answer.ok || answer.status === 400)) calm();
    else if (isOurs && answer.status === 404) complain("The exporter no longer knows this device (since SINCE).", fresh);
    else if (isOurs && answer.status >= 500) complain("The exporter has been unable to show the fleet since SINCE.", fresh);
    else complain(`Something other than the exporter has answered since SINCE, with status ${answer.status}.`);
  } catch {
    if (asking === mine) complain("Connection to the exporter lost at SINCE.");
  } finally {
    clearTimeout(patience);
    if (asking === mine) {
      asking = null;
      later();
    }
  }
}

function refresh() {
  if (!document.hidden && !asking) ask(location.href, false);
}

function later() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, PERIOD);
}

/** Goes to a list of devices without leaving the page, and scrolls to it. */
async function go(address, isNew) {
  const url = new URL(address, location.href);
  // A copy of the address opens at the list, too.
  url.hash = "devices";
  if (isNew) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  await ask(url.href, true);
  reveal();
}

/** Scrolls to the list, unless its caption and first rows are in sight. */
function reveal() {
  const list = document.getElementById("list-caption")?.getBoundingClientRect();
  if (!list) return;
  const height = visualViewport?.height ?? innerHeight;
  if (list.top < 0 || list.bottom + FIRST_ROWS > height) document.getElementById("devices").scrollIntoView();
}

/** The address that the form would lead to. */
function asked() {
  const pairs = [...new FormData(form)].filter(([, value]) => value !== "");
  return `./?${new URLSearchParams(pairs)}`;
}

/** Shows what works only with this script. */
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
    if (event.target.name !== "near") typing = setTimeout(() => go(asked(), false), event.target.name === "search" ? TYPING : 0);
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
  later();
}
