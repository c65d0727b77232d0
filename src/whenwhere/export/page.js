// The page: one video, its sentences, their spans on a timeline, their boxes over the picture.
// All it knows is in the JSON of #data; text reaches the document as text nodes only.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const video = $("video"), canvas = $("canvas"), picture = $("picture"), tracks = $("tracks"), ruler = $("ruler");
const { duration, width, height, fps, times } = data.video;
const offset = data.media.offset;   // the media's clock where ours is 0
const NUDGE = 1e-3;                 // seek into a frame, not onto its rounded edge
const GLANCE = 0.5;                 // a candidate's one box is shown this long before and after its time
// Told apart in most forms of colour blindness (after Okabe and Ito), as in overlays.
const COLOURS = ["#56b4e9", "#e69f00", "#00c882", "#d55e00", "#cc79a7", "#7a8cff", "#d6c400"];
const STATUS = { answered: "Found", absent: "Not there", unsure: "Not sure", failed: "Failed" };

const answers = data.records.map((record, i) => ({
  record,
  colour: COLOURS[i % COLOURS.length],
  tracks: record.tubes.map((tube) => track(record, tube, data.video.longest)),
  files: data.files[i],
}));

const state = {
  chosen: 0,        // sentence
  focus: null,      // what is highlighted: a span, or {start, end, of: candidate}
  until: null,      // stop playing there
  time: 0,          // of the frame on show, our seconds
  ready: false,     // the video has pictures
};

// ------------------------------------------------------------------------------------------------ small tools

/** An element; properties that are functions are event handlers, "class" and "style" as in HTML. */
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
const percent = (t) => `${(100 * Math.min(Math.max(t / duration, 0), 1)).toFixed(4)}%`;
const digits = (s) => (s.end - s.start < 1 ? 2 : 1);
const between = (s) => `${clock(s.start, digits(s))} – ${clock(s.end, digits(s))}`;
const length = (s) => `${(s.end - s.start).toFixed(digits(s))} s`;
const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("on"), 2200);
}

/** A value of the record's free-form parts in plain words. */
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

// ------------------------------------------------------------------------------------------------ time and playing

/** Time of the frame that is shown at t, and of the one `step` frames further. */
function frameTime(t, step = 0) {
  if (times) return times[Math.min(Math.max(countUpTo(times, t + SLACK / 2) - 1 + step, 0), times.length - 1)];
  const last = Math.max(0, Math.round(duration * fps) - 1);
  return Math.min(Math.max(Math.floor((t + 2 * SLACK) * fps) + step, 0), last) / fps;
}

function show(t) {
  state.time = frameTime(t);
  draw();
}

function seek(t, keep = false) {
  const to = Math.min(Math.max(t, 0), duration);
  if (!keep) state.until = null;
  if (state.ready) video.currentTime = Math.max(0, to + offset + NUDGE);
  show(to);
}

/** Where we are, even while a seek is under way. */
const now = () => (state.ready ? Math.max(0, video.currentTime - offset) : state.time);

function toggle() {
  state.until = null;
  if (video.paused) {
    if (now() >= duration - 1.5 / fps) seek(0);
    play();
  } else video.pause();
}

function play() {
  if (state.ready) video.play().catch(() => {});
}

function playSpan(span) {
  focusOn(span);
  seek(span.start);
  state.until = span.end;
  play();
}

function onFrame(t) {
  if (!state.ready) return;   // the first picture comes before the first seek
  state.time = frameTime(t);
  if (state.until !== null && !video.paused && state.time >= state.until - 1.5 / fps) {
    video.pause();
    seek(frameTime(state.until - 4 * SLACK));   // the last frame before the end, however fast it went
    return;
  }
  draw();
}

function watch() {
  if ("requestVideoFrameCallback" in HTMLVideoElement.prototype) {
    const next = (_, frame) => { onFrame(frame.mediaTime - offset); video.requestVideoFrameCallback(next); };
    video.requestVideoFrameCallback(next);
  } else {
    const next = () => { if (!video.paused) onFrame(now()); requestAnimationFrame(next); };
    requestAnimationFrame(next);
  }
  video.addEventListener("seeked", () => show(now()));
  for (const event of ["play", "pause", "ended"]) video.addEventListener(event, showPlaying);
}

function showPlaying() {
  setIcon($("play"), video.paused ? "play" : "pause");
  $("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
}

// ------------------------------------------------------------------------------------------------ the picture

/** The boxes of the chosen sentence now: `[{box, source, label, guess}]`. */
function boxesNow() {
  const { record, tracks: mine } = answers[state.chosen];
  const out = mine.map((tr, i) => ({ ...boxAt(tr, state.time), label: record.tubes[i].label }));
  const guess = state.focus && state.focus.of;
  if (guess && Array.isArray(guess.box) && Math.abs(state.time - guess.t) <= GLANCE) out.push({ box: guess.box, source: "candidate", guess: true });
  return out.filter((b) => b.box);
}

function draw() {
  const found = boxesNow();
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(picture.clientWidth * ratio), hgt = Math.round(picture.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== hgt) { canvas.width = w; canvas.height = hgt; }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, w, hgt);
  for (const b of found) drawBox(pen, b, w / width, hgt / height, ratio);
  const t = Math.min(state.time, duration);
  $("playhead").style.left = percent(t);
  $("clock").textContent = clock(t, 2);
  ruler.setAttribute("aria-valuenow", t.toFixed(2));
  ruler.setAttribute("aria-valuetext", `${clock(t, 1)} of ${clock(duration, 1)}`);
  const b = found[0];
  const [x1, y1, x2, y2] = b ? b.box.map(Math.round) : [];
  $("where").textContent = b ? `${x2 - x1} × ${y2 - y1} at ${x1}, ${y1} · ${b.source}` : "";
  for (const el of document.querySelectorAll(".span")) el.classList.toggle("now", el.start <= t && t < el.end);
}

function drawBox(pen, { box, label, guess }, sx, sy, ratio) {
  const colour = answers[state.chosen].colour, thick = 2.5 * ratio;
  const x = box[0] * sx, y = box[1] * sy, w = (box[2] - box[0]) * sx, hgt = (box[3] - box[1]) * sy;
  pen.lineJoin = "round";
  pen.setLineDash(guess ? [7 * ratio, 5 * ratio] : []);
  pen.strokeStyle = "rgba(0, 0, 0, .5)";
  pen.lineWidth = thick + 2 * ratio;
  pen.strokeRect(x, y, w, hgt);
  pen.strokeStyle = colour;
  pen.lineWidth = thick;
  pen.strokeRect(x, y, w, hgt);
  if (!label) return;
  pen.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  const room = pen.measureText(label).width + 10 * ratio, tall = 18 * ratio;
  const top = y >= tall ? y - tall : y;
  pen.fillStyle = colour;
  pen.fillRect(x - thick / 2, top, room, tall);
  pen.fillStyle = "#111";
  pen.textBaseline = "middle";
  pen.fillText(label, x + 5 * ratio - thick / 2, top + tall / 2 + ratio);
}

// ------------------------------------------------------------------------------------------------ the timeline

function ticks() {
  const room = tracks.clientWidth || 600;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
  const step = steps.find((s) => (s / duration) * room >= 64) || 14400;
  const out = [];
  for (let k = 0; k * step <= duration + 1e-9; k++) {
    const t = k * step;
    const edge = t / duration > 1 - 24 / room ? "end" : k === 0 ? "start" : null;
    out.push(h("span", { class: "tick", style: { left: percent(t) }, "data-edge": edge }, clock(t, step < 1 ? 1 : 0)));
  }
  ruler.replaceChildren(...out);
}

/** A span on a lane: click seeks, shift-click and Enter play it alone. */
function spanBar(i, span, kind, name) {
  const bar = h("button", {
    class: "span " + kind, type: "button",
    style: { left: percent(span.start), width: `max(4px, ${percent(span.end - span.start)})` },
    "aria-label": `${name} ${between(span)}`,
    title: between(span),
    click: (e) => { choose(i); if (e.shiftKey) playSpan(span); else goTo(span); },
    keydown: (e) => { if (e.key === "Enter") { e.preventDefault(); e.stopPropagation(); choose(i); playSpan(span); } },
  });
  bar.start = span.start;
  bar.end = span.end;
  bar.span = span;
  bar.dataset.of = i;
  return bar;
}

function curve({ start, step, values }) {
  const lo = Math.min(...values), range = Math.max(...values) - lo || 1;
  const points = values.map((v, i) => `${((start + i * step) / duration * 1000).toFixed(2)},${(96 - 88 * (v - lo) / range).toFixed(2)}`);
  const first = (start / duration * 1000).toFixed(2), last = ((start + (values.length - 1) * step) / duration * 1000).toFixed(2);
  return svg("svg", { class: "curve", viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "area", d: `M${first},100 L${points.join(" L")} L${last},100 Z` }),
    svg("polyline", { points: points.join(" ") }));
}

function lane(answer, i) {
  const { record } = answer;
  const dots = record.tubes.flatMap((tube) => tube.boxes.map((b) =>
    h("i", { class: b.source === "propagated" ? "dot held" : "dot", style: { left: percent(b.t) } })));
  // Candidates are in the way of an answer; without one they are all there is.
  const guesses = record.spans.length ? [] : guessesOf(answer).map((g, k) => spanBar(i, g, "guess", `Candidate ${k + 1}`));
  return h("div", { class: "lane", style: { "--c": answer.colour } },
    record.curve && record.curve.values.length ? curve(record.curve) : null,
    guesses,
    record.spans.map((s, k) => spanBar(i, s, "sure", `Span ${k + 1}`)),
    h("div", { class: "dots", "aria-hidden": "true" }, dots));
}

function timeAt(event) {
  const edge = tracks.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - edge.left) / edge.width, 0), 1) * duration;
}

function wireTimeline() {
  let dragging = false;
  tracks.addEventListener("pointerdown", (e) => {
    if (e.button !== 0 || e.target.closest(".span")) return;
    dragging = true;
    const i = [...$("lanes").children].indexOf(e.target.closest(".lane"));
    if (i >= 0) choose(i);
    tracks.setPointerCapture(e.pointerId);
    seek(timeAt(e));
  });
  tracks.addEventListener("pointermove", (e) => {
    if (dragging) seek(timeAt(e));
    if (e.pointerType === "mouse" || dragging) {
      const t = timeAt(e);
      $("hair").hidden = false;
      $("hair").style.left = percent(t);
      $("hair").dataset.edge = t / duration > 0.5 ? "end" : "start";
      $("hair-time").textContent = clock(t, 2);
    }
  });
  for (const event of ["pointerup", "pointercancel"]) tracks.addEventListener(event, () => { dragging = false; });
  tracks.addEventListener("pointerleave", () => { $("hair").hidden = true; });
  tracks.addEventListener("lostpointercapture", () => { $("hair").hidden = true; });
}

// ------------------------------------------------------------------------------------------------ sentences

/** Candidates with a time of their own: what can be clicked although it was not answered. */
function guessesOf({ record }) {
  return (record.candidates || []).filter((c) => Number.isFinite(c.start) && c.start < c.end)
    .filter((c) => !record.spans.some((s) => same(s, c)))
    .map((c) => ({ start: c.start, end: c.end, of: c }));
}

const same = (a, b) => Math.abs(a.start - b.start) < 2 * SLACK && Math.abs(a.end - b.end) < 2 * SLACK;

/** To the start of a span; to the moment of a candidate's box. */
function goTo(span) {
  focusOn(span);
  seek(span.of && Number.isFinite(span.of.t) ? span.of.t : span.start);
}

function focusOn(span) {
  state.focus = span;
  for (const el of document.querySelectorAll("[data-focused]")) el.removeAttribute("data-focused");
  for (const el of document.querySelectorAll(".span, .row")) if (span && el.span && el.dataset.of === String(state.chosen) && same(el.span, span)) el.setAttribute("data-focused", "");
}

function row(i, span, text, note, kind) {
  const el = h("li", { class: "row " + kind },
    h("button", { class: "go", type: "button", click: (e) => (e.shiftKey ? playSpan(span) : goTo(span)) },
      h("span", { class: "time" }, between(span)),
      h("span", { class: "text" }, text), note ? h("span", { class: "note" }, note) : null),
    h("button", { class: "icon", type: "button", title: "Play only this (enter)", "aria-label": `Play only ${between(span)}`,
      click: () => playSpan(span) }, icon("play")));
  el.span = span;
  el.dataset.of = i;
  return el;
}

const scoreNote = (s) => (s.score === null || s.score === undefined ? "" : s.score.toFixed(2));

/** A candidate's weight among all, where the answer ranks them. */
const shareNote = (record, c) => scoreNote((record.ranked || []).find((r) => same(r, c)) || {});

function candidateText(c) {
  const named = ["description", "text", "label", "name"].map((k) => c[k]).find((v) => typeof v === "string" && v);
  const numbers = ["start", "end", "t", "box", "score", "why", "id"];
  return named || Object.entries(c).filter(([k]) => !numbers.includes(k)).map(([k, v]) => [k.replaceAll("_", " "), v, words(v)])
    .filter(([, , text]) => text).map(([k, v, text]) => (Array.isArray(v) ? text : `${k} ${text}`)).join(" · ");
}

function claim({ record }) {
  if (record.status === "absent") return h("p", { class: "claim" }, "It is not in this video.");
  if (record.status === "failed") return h("p", { class: "claim bad" }, record.error.message);
  if (record.status === "unsure") {
    const doubts = record.reading && Array.isArray(record.reading.doubts) ? `: ${words(record.reading.doubts)}` : "";
    const some = record.candidates && record.candidates.length;
    return h("p", { class: "claim" }, `Not sure${doubts}. `, some ? "This is what was seen, best guess first." : "There is nothing to offer instead.");
  }
  return null;
}

function costLine({ record }) {
  const s = record.settings, c = record.cost;
  const how = s ? [s.model, s.pipeline, `${s.rate} box${s.rate === 1 ? "" : "es"}/s`,
    s.sample_fps ? `${s.sample_fps} frames/s in` : null, record.tubes.length ? `fill ${record.filled ? record.filled.fill : "linear"}` : null,
    s.smooth !== "none" ? `smooth ${s.smooth}` : null, `seed ${s.seed}`] : [];
  const paid = [c.frames_decoded ? `${plural(c.frames_decoded, "frame")} decoded` : null, c.calls ? plural(c.calls, "call") : null,
    c.prompt_tokens + c.output_tokens ? `${plural(c.prompt_tokens, "token")} in, ${c.output_tokens.toLocaleString("en")} out` : null,
    c.seconds ? `${c.seconds < 10 ? c.seconds.toFixed(2) : Math.round(c.seconds)} s` : null];
  return h("p", { class: "cost" }, [...how, ...paid].filter(Boolean).join(" · "));
}

function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function downloads({ record, files }) {
  const kinds = [["JSON", ".json", "application/json", () => JSON.stringify(record) + "\n"],
    ["CSV", ".csv", "text/csv", () => files.csv], ["SRT", ".srt", "application/x-subrip", () => files.srt],
    ["VTT", ".vtt", "text/vtt", () => files.vtt]];
  return h("div", { class: "saves" },
    kinds.map(([name, ending, type, text]) => h("button", { class: "plain", type: "button", title: `Download ${files.stem}${ending}`,
      click: () => save(files.stem + ending, type, text()) }, icon("down"), name)),
    h("button", { class: "plain", type: "button", title: "Copy a link to this sentence and moment (l)", click: copyLink }, icon("link"), "Link"));
}

function details(answer, i) {
  const { record } = answer;
  const parts = [claim(answer)];
  if (record.spans.length) parts.push(h("ul", { class: "rows" }, record.spans.map((s) => row(i, s, length(s), scoreNote(s), "sure"))));
  const seen = guessesOf(answer).map((g) => row(i, g, candidateText(g.of), shareNote(record, g), "guess"));
  const others = record.candidates ? [] : (record.ranked || []).filter((r) => !record.spans.some((s) => same(s, r)))
    .map((s) => row(i, s, length(s), scoreNote(s), "guess"));
  const timeless = (record.candidates || []).filter((c) => !Number.isFinite(c.start)).map((c) => h("li", { class: "row" }, words(c)));
  const offers = [...seen, ...others, ...timeless];
  if (offers.length) {
    const rows = h("ul", { class: "rows" }, offers);
    parts.push(record.status === "unsure" ? rows : fold("What else it could be", rows));
  }
  if (record.reading) parts.push(fold("How the sentence was read", list(record.reading), record.status === "unsure"));
  if (record.warnings.length) parts.push(h("ul", { class: "warnings" }, record.warnings.map((w) => h("li", {}, w))));
  parts.push(costLine(answer), downloads(answer));
  return parts;
}

function fold(title, content, open = false) {
  return h("details", { open }, h("summary", {}, title), content);
}

function card(answer, i) {
  const { record } = answer;
  const note = record.status === "answered"
    ? [record.spans.length === 1 ? between(record.spans[0]) : plural(record.spans.length, "span")]
    : [STATUS[record.status]];
  if (record.confidence !== null) note.push(`confidence ${Math.round(record.confidence * 100)} %`);
  return h("li", { class: "card", id: `sentence-${i + 1}`, "data-status": record.status, style: { "--c": answer.colour } },
    h("button", { class: "head", type: "button", "aria-expanded": "false", click: () => goToSentence(i) },
      h("span", { class: "number", "aria-hidden": "true" }, String(i + 1)),
      h("span", { class: "sentence" }, record.query),
      h("span", { class: "status" }, note.join(" · "))),
    h("div", { class: "body" }, details(answer, i)));
}

/** To the first span of a sentence, or to its best candidate. */
function start(i) {
  const first = stops(i)[0];
  if (first) goTo(first);
}

const stops = (i) => (answers[i].record.spans.length ? answers[i].record.spans : guessesOf(answers[i]));

function choose(i) {
  if (i !== state.chosen) focusOn(null);
  state.chosen = i;
  document.querySelectorAll(".card").forEach((el, k) => {
    el.classList.toggle("chosen", k === i);
    el.querySelector(".head").setAttribute("aria-expanded", String(k === i));
  });
  for (const box of ["lanes", "gutter"]) [...$(box).children].forEach((el, k) => el.classList.toggle("chosen", k === i));
  const lane = $("lanes").children[i], list = $("timeline"), top = ruler.offsetHeight + lane.offsetTop;
  if (top - ruler.offsetHeight < list.scrollTop) list.scrollTop = top - ruler.offsetHeight - 4;
  else if (top + lane.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + lane.offsetHeight + 14 - list.clientHeight;
  draw();
}

function step(by) {
  const i = Math.min(Math.max(state.chosen + by, 0), answers.length - 1);
  if (i !== state.chosen) goToSentence(i);
}

function goToSentence(i) {
  choose(i);
  start(i);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  // In one column the open card begins below the picture that stays in view.
  const block = matchMedia("(max-width: 900px)").matches ? "start" : "nearest";
  $(`sentence-${i + 1}`).scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
}

function hop(by) {
  const all = [...stops(state.chosen)].sort((a, b) => a.start - b.start), t = now();
  const to = by > 0 ? all.find((s) => s.start > t + 0.05) : all.filter((s) => s.start < t - 0.3).pop();
  if (to) goTo(to);
  else toast(all.length ? (by > 0 ? "No later span" : "No earlier span") : "This sentence has no spans");
}

// ------------------------------------------------------------------------------------------------ links, keys, looks

async function copyLink() {
  const link = `${location.href.split("#")[0]}#t=${state.time.toFixed(2)}&s=${state.chosen + 1}`;
  try {
    await navigator.clipboard.writeText(link);
  } catch {
    const area = h("textarea", { style: { position: "fixed", opacity: "0" } }, link);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  toast("Link copied");
}

function followLink() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const s = Number(parts.get("s")) - 1, t = parts.get("t");
  if (Number.isInteger(s) && answers[s]) choose(s);
  if (t !== null && t !== "" && Number.isFinite(Number(t))) { seek(Number(t)); return true; }
  return false;
}

function onKey(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || $("keys").open || e.target.closest("select, input, textarea")) return;
  const actions = {
    " ": toggle,
    ArrowLeft: () => seek(now() - 1), ArrowRight: () => seek(now() + 1),
    ",": () => { video.pause(); seek(frameTime(now(), -1)); }, ".": () => { video.pause(); seek(frameTime(now(), 1)); },
    j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
    Home: () => seek(0), End: () => seek(duration), n: () => hop(1), p: () => hop(-1),
    m: () => { if (!$("mute").hidden) mute(); }, f: full, l: copyLink, "?": () => $("keys").showModal(),
  };
  if (e.key === "Enter" && !e.target.closest("button, a, summary")) {
    const span = state.focus || stops(state.chosen)[0];
    if (span) playSpan(span);
    return;
  }
  // Space presses the focused button; on a span it plays, as everywhere else.
  if (e.key === " " && e.target.closest("button:not(.span), summary, a")) return;
  const action = actions[e.key];
  if (!action) return;
  e.preventDefault();
  action();
}

function mute() {
  video.muted = !video.muted;
  setIcon($("mute"), video.muted ? "mute" : "sound");
  $("mute").setAttribute("aria-label", video.muted ? "Sound on" : "Sound off");
}

function full() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if ($("screen").requestFullscreen) $("screen").requestFullscreen().catch(() => {});
  else if (video.webkitEnterFullscreen) video.webkitEnterFullscreen();
}

function theme() {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("whenwhere-theme", dark ? "light" : "dark"); } catch { /* not every page may store */ }
}

// ------------------------------------------------------------------------------------------------ start

function load() {
  video.addEventListener("loadeddata", () => {
    state.ready = true;
    $("notice").hidden = true;
    seek(state.time);
  });
  video.addEventListener("error", () => {
    $("notice").hidden = false;
    $("notice").textContent = data.media.trouble;
  });
  const holder = $("media"), packed = holder.textContent.trim();
  if (packed) {
    const bytes = Uint8Array.fromBase64 ? Uint8Array.fromBase64(packed) : Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: data.media.type }));
    holder.remove();
  } else video.src = data.media.href;
}

function build() {
  $("name").textContent = data.video.name;
  $("facts").textContent = [clock(duration, 1), `${width} × ${height}`, `${Math.round(fps * 100) / 100} fps${data.video.vfr ? ", varying" : ""}`].join("  ·  ");
  picture.style.setProperty("--ratio", width / height);
  document.documentElement.style.setProperty("--lanes", answers.length);
  $("length").textContent = ` / ${clock(duration, 2)}`;
  ruler.setAttribute("aria-valuemax", duration.toFixed(2));
  $("sentences").append(...answers.map(card));
  $("lanes").append(...answers.map(lane));
  $("gutter").append(...answers.map((a, i) => h("button", { type: "button", style: { "--c": a.colour }, title: a.record.query,
    "aria-label": `Sentence ${i + 1}: ${a.record.query}`, click: () => goToSentence(i) }, String(i + 1))));
  document.body.classList.toggle("single", answers.length === 1);
  const foot = [];
  if (data.beside.length) foot.push(h("h2", {}, "Files beside this page"), h("ul", { class: "beside" }, data.beside.map((f) => h("li", {}, h("a", { href: f.href, download: f.name }, f.name)))));
  if (answers.length > 1) foot.push(h("p", {}, h("button", { class: "plain", type: "button",
    click: () => save("grounding.jsonl", "application/jsonl", data.records.map((r) => JSON.stringify(r) + "\n").join("")) }, icon("down"), "All answers (JSON Lines)")));
  foot.push(h("p", {}, [data.media.note, `Made by ${data.made_by}.`].filter(Boolean).join(" ")));
  $("footer").append(...foot);

  $("play").addEventListener("click", toggle);
  picture.addEventListener("click", toggle);
  $("frame-back").addEventListener("click", () => { video.pause(); seek(frameTime(now(), -1)); });
  $("frame-forth").addEventListener("click", () => { video.pause(); seek(frameTime(now(), 1)); });
  $("previous").addEventListener("click", () => hop(-1));
  $("next").addEventListener("click", () => hop(1));
  $("speed").addEventListener("change", (e) => { video.playbackRate = Number(e.target.value); e.target.blur(); });
  $("mute").hidden = !data.video.audio;
  $("mute").addEventListener("click", mute);
  $("full").addEventListener("click", full);
  $("theme").addEventListener("click", theme);
  $("help").addEventListener("click", () => $("keys").showModal());
  document.addEventListener("keydown", onKey);
  // After a click the keys belong to the player again; who came by keyboard keeps the focus.
  document.addEventListener("click", (e) => { if (e.detail && e.target.closest("button, summary")) document.activeElement.blur(); });
  addEventListener("hashchange", followLink);
  new ResizeObserver(() => { ticks(); draw(); }).observe(picture);
  new ResizeObserver(ticks).observe(tracks);
  const stage = document.querySelector(".stage");
  new ResizeObserver(() => document.documentElement.style.setProperty("--stage", `${stage.offsetHeight}px`)).observe(stage);
  wireTimeline();
  watch();
  ticks();
  choose(0);
  if (!followLink()) start(0);
  load();
}

try {
  const kept = localStorage.getItem("whenwhere-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch { /* as above */ }
build();

// For scripts and tests: the boxes of sentence i at t seconds.
window.whenwhere = { boxes: (i, t) => answers[i].tracks.map((tr) => boxAt(tr, t)), state };
