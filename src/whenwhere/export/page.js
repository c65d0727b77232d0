// The page: one video, its sentences, their spans on a timeline, their boxes over the picture.
// Everything it shows is in the JSON of #data. Text reaches the document only as text nodes.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const video = $("video"), canvas = $("canvas"), picture = $("picture"), tracks = $("tracks"), ruler = $("ruler");
const { duration, width, height, fps, times } = data.video;
const offset = data.media.offset;   // what the media's clock shows at our time 0
const NUDGE = 1e-3;                 // added to a seek, because the rounded start of a frame may lie before it
const GLANCE = 0.5;                 // the only box of a candidate is shown for this many seconds before and after its time
// Colours that most forms of colour blindness can tell apart (after Okabe and Ito); overlays use the same.
const COLOURS = ["#56b4e9", "#e69f00", "#00c882", "#d55e00", "#cc79a7", "#7a8cff", "#d6c400"];

const answers = data.records.map((record, i) => guarded(record, i, (answer) => answer));

/** What is drawn of an answer. One that cannot be drawn says so in its place and does not cost the others. */
function guarded(record, i, draw) {
  const answer = (r) => ({
    record: r, stored: record,
    colour: COLOURS[i % COLOURS.length],
    tracks: r.tubes.map((tube) => track(r, tube, data.video.longest)),
    files: data.files[i],
  });
  try {
    return draw(answer(record));
  } catch (e) {
    const message = `This answer is stored, but it cannot be shown here: ${e.message}`;
    const empty = { spans: [], tubes: [], warnings: [], ranked: null, curve: null, filled: null, reading: null, candidates: null };
    return draw(answer({ ...record, ...empty, status: "failed", confidence: null, error: { kind: "page", message } }));
  }
}

const state = {
  chosen: 0,        // index of the chosen sentence
  all: false,       // whether the boxes of the other sentences are drawn too
  focus: null,      // what is highlighted: a span, or {start, end, of: candidate}
  until: null,      // time at which playing stops
  time: 0,          // time of the frame that is shown, in our seconds
  ready: false,     // whether the video has a picture to show
  zoom: 1,          // how many times wider than its place the timeline is
};

/** Make an element. Properties that are functions become event handlers; "class" and "style" are as in HTML. */
function h(tag, props, ...children) {
  const el = document.createElement(tag);
  for (const [k, v] of Object.entries(props || {})) {
    if (v === null || v === undefined || v === false) continue;
    if (typeof v === "function") el.addEventListener(k, v);
    else if (k === "style") for (const [name, x] of Object.entries(v)) el.style.setProperty(name, x);
    else el.setAttribute(k, v === true ? "" : v);
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined));
  return el;
}

function svg(tag, props, ...children) {
  const el = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [k, v] of Object.entries(props)) el.setAttribute(k, v);
  el.append(...children);
  return el;
}

const icon = (name) => svg("svg", { "aria-hidden": "true" }, svg("use", { href: "#i-" + name }));
const setIcon = (button, name) => button.querySelector("use").setAttribute("href", "#i-" + name);
const percent = (t) => `${(100 * Math.min(Math.max(t / duration, 0), 1)).toFixed(6)}%`;
const between = (s) => `${clock(s.start)} – ${clock(s.end)}`;
const length = (s) => `${(s.end - s.start).toFixed(2)} s`;
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("on"), 2200);
}

/** A value from the free-form parts of a record, in plain words. */
function words(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  if (Array.isArray(value)) return value.map(words).filter(Boolean).join(", ");
  if (typeof value === "object") {
    return Object.entries(value).map(([k, v]) => [k.replaceAll("_", " "), words(v)])
      .filter(([, v]) => v).map(([k, v]) => `${k}: ${v}`).join("; ");
  }
  return String(value);
}

function list(facts) {
  const rows = Object.entries(facts).map(([k, v]) => [k.replaceAll("_", " "), words(v)]).filter(([, v]) => v);
  return h("dl", { class: "facts" }, rows.map(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]));
}
