// Keeps the page fresh: asks for it again and puts what has changed in its place, so that focus, scrolling, selections and what is
// being typed stay. Without it the page works all the same.
"use strict";

const PERIOD = 10_000;
const PATIENCE = 8_000;
const TYPING = 250;

const silence = document.getElementById("silence");
const form = document.getElementById("filter");
let asking = null;
let timer = 0;

/** Makes a node what another one is, and keeps as much of it as can be. */
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

/** What stands for something follows it when it moves: by its key, where it has one. */
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

/** Whether somebody has selected text in it, to copy it. */
function isSelected(part) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.containsNode(part, true);
}

/** Takes over what a fresh page says. */
function show(fresh, isAsked) {
  const script = (page) => page.querySelector("script[src]")?.getAttribute("src");
  if (script(fresh) !== script(document)) {
    // Another release answers: its page goes with its own script.
    location.reload();
    return;
  }
  const focused = document.activeElement;
  for (const part of document.querySelectorAll("[data-live]")) {
    const wanted = fresh.getElementById(part.id);
    if (wanted && (isAsked || !isSelected(part))) morph(part, wanted);
  }
  if (isAsked) {
    document.title = fresh.title;
    fill(fresh);
  }
  prepare();
  if (focused && focused !== document.activeElement) {
    const home = focused.isConnected ? focused : document.getElementById("list");
    home?.focus({ preventScroll: true });
  }
}

/** The form shows what was asked for, but for the field that is being typed in. */
function fill(fresh) {
  for (const control of form?.elements ?? []) {
    const wanted = fresh.getElementById("filter")?.elements[control.name];
    if (control.name && wanted && control !== document.activeElement) control.value = wanted.value;
  }
}

function complain(text) {
  if (!silence.hidden && silence.dataset.why === text) return;
  const since = silence.hidden ? new Date().toLocaleTimeString() : silence.dataset.since;
  silence.dataset.since = since;
  silence.dataset.why = text;
  silence.textContent = `${text} since ${since}. What is shown is from before.`;
  silence.hidden = false;
}

/** Asks for a page and shows it. */
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
    if (fresh.getElementById("main")) show(fresh, isAsked);
    // A page that says what is wrong with a question is whole.
    if (answer.ok || answer.status === 400) silence.hidden = true;
    else if (answer.status === 404) complain("This device has not been known");
    else if (answer.status >= 500) complain("The exporter has not been able to show the fleet");
    else complain(`The exporter has answered with status ${answer.status}`);
  } catch {
    if (asking === mine) complain("The exporter has not answered");
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

/** Goes to a list of devices without leaving the page. */
function go(address, isNew) {
  const url = new URL(address, location.href);
  url.hash = "";
  if (isNew) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  ask(url.href, true);
}

/** The address that the form would lead to. */
function asked() {
  const pairs = [...new FormData(form)].filter(([, value]) => value !== "");
  return `/?${new URLSearchParams(pairs)}`;
}

/** What works only with this script is offered only by it. */
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
    // A place means nothing before it is whole.
    if (event.target.name !== "near") typing = setTimeout(() => go(asked(), false), event.target.name === "search" ? TYPING : 0);
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const link = event.target.closest?.("a[href]");
    if (link?.closest("[data-live]") && link.origin === location.origin && link.pathname === "/") {
      event.preventDefault();
      const list = document.getElementById("list");
      const isInList = document.getElementById("devices").contains(link);
      go(link.href, true);
      if (!isInList) list.scrollIntoView({ block: "nearest" });
    } else if (!link) near(event);
  });
  addEventListener("popstate", () => ask(location.href, true));
}

if (silence) {
  document.addEventListener("visibilitychange", refresh);
  addEventListener("online", refresh);
  prepare();
  later();
}
