// The ruler, and one lane for each sentence with its spans, candidates, second-level boxes and curve. Zoomed in, the
// tracks are wider than their place and scroll sideways in it.

const knob = $("knob");   // the playhead's handle, below the labels of the ruler
const pane = $("timeline");
const CLOSEST = 2;        // the fewest seconds that fill the timeline

/** The width of the part of the tracks that is in view, in pixels; it begins at `pane.scrollLeft`. */
const shownWidth = () => pane.clientWidth - tracks.offsetLeft - parseFloat(getComputedStyle(pane).paddingRight);
const placeOf = (t) => t / duration * tracks.offsetWidth;
const inView = (t) => placeOf(t) >= pane.scrollLeft - 1 && placeOf(t) <= pane.scrollLeft + shownWidth() + 1;

/** Scroll the timeline so that t seconds are in view. */
function reveal(t) {
  if (state.zoom > 1 && !inView(t)) pane.scrollLeft = placeOf(t) - shownWidth() * 0.1;
}

/** Zoom the timeline around t seconds, which stay at their place: x pixels from the left, or where they are. */
function zoomTo(zoom, t = state.time, x = null) {
  const room = shownWidth();
  if (x === null) x = inView(t) ? placeOf(t) - pane.scrollLeft : room / 2;
  state.zoom = Math.min(Math.max(zoom, 1), Math.max(1, duration / CLOSEST));
  tracks.style.setProperty("--zoom", state.zoom);
  pane.scrollLeft = placeOf(t) - x;
  $("zoom-out").disabled = state.zoom === 1;
  $("zoom-in").disabled = state.zoom >= duration / CLOSEST;
  ticks();
  drawStrip();
}

function ticks() {
  const room = tracks.clientWidth || 600;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
  const step = steps.find((s) => (s / duration) * room >= (s < 1 || duration >= 3600 ? 84 : 64)) || 14400;
  const out = [], shown = duration * shownWidth() / room, from = duration * pane.scrollLeft / room;
  // Only labels near the part in view are made: hours have thousands of them.
  for (let k = Math.max(0, Math.floor((from - shown) / step)); k * step <= Math.min(duration + 1e-9, from + 2 * shown); k++) {
    const t = k * step;
    const edge = t / duration > 1 - 24 / room ? "end" : k === 0 ? "start" : null;
    out.push(h("span", { class: "tick", style: { left: percent(t) }, "data-edge": edge }, clock(t, step < 1 ? 2 : 0)));
  }
  ruler.replaceChildren(...out, knob);
}

/** A span on a lane. A click seeks to it; shift-click and Enter play only it. */
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
  // Not Math.min(...values): a long video has more values than a call may have arguments.
  const lo = values.reduce((a, b) => Math.min(a, b)), range = values.reduce((a, b) => Math.max(a, b)) - lo || 1;
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
  // Candidates would clutter the lane of an answer, so they are drawn only if there is none.
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

/** Zoom and move the timeline with two fingers: the times under them stay under them. */
function pinch(fingers, moved) {
  const [a, b] = [...fingers.values()], other = a === moved.before ? b : a;
  const apart = (p) => Math.max(24, Math.abs(p.clientX - other.clientX));
  const middle = (moved.before.clientX + other.clientX) / 2, t = timeAt({ clientX: middle });
  const left = pane.getBoundingClientRect().left + tracks.offsetLeft;
  zoomTo(state.zoom * apart(moved.now) / apart(moved.before), t, (moved.now.clientX + other.clientX) / 2 - left);
}

function wireZoom() {
  pane.addEventListener("scroll", () => { ticks(); drawStrip(); });
  pane.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && !e.metaKey) return;
    e.preventDefault();
    zoomTo(state.zoom * 2 ** (-e.deltaY / 200), timeAt(e), e.clientX - pane.getBoundingClientRect().left - tracks.offsetLeft);
  }, { passive: false });
  $("zoom-in").addEventListener("click", () => zoomTo(state.zoom * 2));
  $("zoom-out").addEventListener("click", () => zoomTo(state.zoom / 2));
  zoomTo(1);
}

function wireTimeline() {
  let dragging = false;
  const fingers = new Map();
  tracks.addEventListener("pointerdown", (e) => {
    if (e.pointerType === "touch") fingers.set(e.pointerId, e);
    if (fingers.size > 1) { dragging = false; return; }
    if (e.button !== 0 || e.target.closest(".span")) return;
    dragging = true;
    const i = [...$("lanes").children].indexOf(e.target.closest(".lane"));
    if (i >= 0) choose(i);
    tracks.setPointerCapture(e.pointerId);
    seek(timeAt(e));
  });
  tracks.addEventListener("pointermove", (e) => {
    const before = fingers.get(e.pointerId);
    if (before && fingers.size === 2) pinch(fingers, { before, now: e });
    if (before) fingers.set(e.pointerId, e);
    if (dragging) seek(timeAt(e));
    if (e.pointerType === "mouse" || dragging) {
      const t = timeAt(e);
      $("hair").hidden = false;
      $("hair").style.left = percent(t);
      $("hair").dataset.edge = placeOf(t) - pane.scrollLeft > shownWidth() / 2 ? "end" : "start";
      $("hair-time").textContent = clock(t);
      peekAt(t);
    }
  });
  for (const event of ["pointerup", "pointercancel"]) tracks.addEventListener(event, (e) => { dragging = false; fingers.delete(e.pointerId); });
  tracks.addEventListener("pointerleave", () => { $("hair").hidden = peek.hidden = true; });
  tracks.addEventListener("lostpointercapture", () => { $("hair").hidden = true; });
}
