
// ---- Elements ----

const $ = (id) => document.getElementById(id);

// An element. Texts become text, never markup.
function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// Makes `old` like `now` and touches nothing that is the same already, so that the focus, a
// selection, and what was opened or scrolled stay as they are.
function morph(old, now) {
  if (old.nodeName !== now.nodeName) return old.replaceWith(now);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== now.data) old.data = now.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS")) old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  morphChildren(old, [...now.childNodes]);
}

// Children with data-part are known by it; others by their place.
function morphChildren(parent, children) {
  const parts = new Map([...parent.children].map((child) => [child.dataset.part, child]));
  let place = parent.firstChild;
  for (const child of children) {
    const part = child.dataset?.part;
    const same = part ? parts.get(part) : place?.dataset?.part ? null : place;
    if (same && same === place) place = place.nextSibling;
    else parent.insertBefore(same ?? child, place);
    if (same) morph(same, child);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

// A moment by the arbiter's clock: what the exact time is, and how long ago that was.
const moment = (ms) => {
  const time = el("time", { "data-at": ms, datetime: new Date(ms).toISOString(), title: new Date(ms).toString() });
  time.textContent = when(time);
  return time;
};

// How long ago something was, or in how long something will be.
const since = (ms) => relative("data-since", ms);
const until = (ms) => relative("data-until", ms);
function relative(kind, ms) {
  const time = el("time", { [kind]: ms, title: new Date(ms).toString() });
  time.textContent = when(time);
  return time;
}

function when(time) {
  const { at, since, until } = time.dataset;
  const now = arbiterNow();
  if (since) return span(now - since);
  if (until) return span(until - now);
  const ago = now - at;
  return `${clock(Number(at))} (${ago < 1500 ? "just now" : `${span(ago)} ago`})`;
}

const SHAPES = {
  ok: [["circle", { cx: 8, cy: 8, r: 7.5, fill: "currentColor" }], ["path", { d: "M4.5 8.2l2.4 2.5 4.6-5" }]],
  degraded: [["path", { d: "M8 .8 15.6 15H.4z", fill: "currentColor", stroke: "none" }], ["path", { d: "M8 5.5v4.4M8 12.4v.3" }]],
  critical: [["path", { d: "M4.9.5h6.2l4.4 4.4v6.2l-4.4 4.4H4.9L.5 11.1V4.9z", fill: "currentColor", stroke: "none" }],
    ["path", { d: "M5.2 5.2l5.6 5.6M10.8 5.2l-5.6 5.6" }]],
  warning: [["path", { d: "M8 1.5 15 14.5H1z", stroke: "currentColor" }], ["path", { d: "M8 6v4M8 12v.3", stroke: "currentColor" }]],
};

// The shape that stands for a level.
const shape = (name) =>
  svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", fill: "none", stroke: "var(--paper)", "stroke-width": 2,
    "stroke-linecap": "round", "stroke-linejoin": "round" },
  SHAPES[name].map(([tag, attributes]) => svg(tag, attributes)));

const levelMark = (level) => el("span", { class: `level ${level}` }, shape(level), LEVELS[level].word);
