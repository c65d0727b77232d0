// The list of sentences: each answer, its confidence, how the sentence was read, other candidates, and downloads.

/** Candidates that have a time, which can be clicked although they are not the answer. */
function guessesOf({ record }) {
  return (record.candidates || []).filter((c) => Number.isFinite(c.start) && c.start < c.end)
    .filter((c) => !record.spans.some((s) => same(s, c)))
    .map((c) => ({ start: c.start, end: c.end, of: c }));
}

const same = (a, b) => Math.abs(a.start - b.start) < 2 * SLACK && Math.abs(a.end - b.end) < 2 * SLACK;

/** Seek to the start of a span, or to the time of a candidate's box. */
function goTo(span) {
  focusOn(span);
  seek(span.of && Number.isFinite(span.of.t) ? span.of.t : firstFrame(span));
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

// Of an answer only its confidence is shown; the scores of candidates say how they rank.
const scoreNote = (s) => (s.score === null || s.score === undefined ? "" : `score ${s.score.toFixed(2)}`);

/** The score that the answer's ranking gives a candidate, or nothing. */
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
    return h("p", { class: "claim" }, `Not sure${doubts}. `, some ? "This is what was seen, best guess first." : "No candidates were found.");
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

function downloads({ stored, files }) {
  const kinds = [["JSON", ".json", "application/json", () => JSON.stringify(stored) + "\n"],
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
  if (record.spans.length) parts.push(h("ul", { class: "rows" }, record.spans.map((s) => row(i, s, length(s), "", "sure"))));
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

/** The files beside the page, closed at first because there may be hundreds: grouped by sentence, as they are numbered. */
function filesBeside() {
  const groups = new Map();
  for (const { name, href } of data.beside) {
    const [, stem, ending] = /^(\d+-[^.]*)\.(.+)$/.exec(name) || [null, "", name];
    if (!groups.has(stem)) groups.set(stem, []);
    groups.get(stem).push(h("li", {}, h("a", { href, download: name, title: name }, ending)));
  }
  return h("details", { class: "beside" }, h("summary", {}, `${plural(data.beside.length, "file")} beside this page`),
    [...groups].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))
      .map(([stem, links]) => [stem ? h("h3", {}, stem) : null, h("ul", {}, links)]));
}

function fold(title, content, open = false) {
  return h("details", { open }, h("summary", {}, title), content);
}

function card(answer, i) {
  const { record } = answer;
  const note = record.status === "answered"
    ? [record.spans.length === 1 ? between(record.spans[0]) : plural(record.spans.length, "span")]
    : [data.statuses[record.status]];
  if (record.confidence !== null) note.push(`confidence ${Math.round(record.confidence * 100)} %`);
  return h("li", { class: "card", id: `sentence-${i + 1}`, "data-status": record.status, style: { "--c": answer.colour } },
    h("button", { class: "head", type: "button", "aria-expanded": "false", click: () => goToSentence(i) },
      h("span", { class: "number", "aria-hidden": "true" }, String(i + 1)),
      h("span", { class: "sentence" }, record.query),
      h("span", { class: "status" }, note.join(" · "))),
    h("div", { class: "body" }, details(answer, i)));
}

/** Seek to the first span of a sentence, or to its best candidate. */
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
  // In a layout of one column, the open card starts below the picture, which stays in view.
  const block = matchMedia("(max-width: 900px)").matches ? "start" : "nearest";
  $(`sentence-${i + 1}`).scrollIntoView({ block, behavior: calm ? "auto" : "smooth" });
}

function hop(by) {
  const all = [...stops(state.chosen)].sort((a, b) => a.start - b.start), t = now();
  const to = by > 0 ? all.find((s) => s.start > t + 0.05) : all.filter((s) => s.start < t - 0.3).pop();
  if (to) goTo(to);
  else toast(all.length ? (by > 0 ? "No later span" : "No earlier span") : "This sentence has no spans");
}
