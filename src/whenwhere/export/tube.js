// Where a thing is at any time: the rules of whenwhere.tubes for the browser. This file does not touch the page.
// Filled boxes (one for each frame) are used if the record has them; otherwise boxes are interpolated linearly,
// held before the first and after the last one of a span, and absent across gaps of more than 1.5 / rate.
"use strict";

const GAP = 1.5;
const SLACK = 1e-3;   // records keep milliseconds

/** A time rounded to milliseconds, as in the record. */
const milli = (t) => Math.round(t * 1000) / 1000;

/** The number of sorted values that are <= x. */
function countUpTo(values, x) {
  let lo = 0, hi = values.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (values[mid] <= x) lo = mid + 1; else hi = mid;
  }
  return lo;
}

/** Merge spans that touch, because they are the same set of instants. */
function joined(spans) {
  const out = [];
  for (const s of spans) {
    const last = out[out.length - 1];
    if (last && s.start <= last.end) last.end = Math.max(last.end, s.end);
    else out.push({ start: s.start, end: s.end });
  }
  return out;
}

const spanAt = (spans, t) => spans.findIndex((s) => s.start <= t && t < s.end);

/** The data that `boxAt` reads, made once for each tube; `longest` is the longest time that a frame is shown. */
function track(record, tube, longest) {
  const spans = joined(record.spans);
  const spanOf = (t) => {
    const i = spanAt(spans, t);
    return i >= 0 ? i : spans.findIndex((s) => t >= s.start - SLACK && t <= s.end + SLACK);
  };
  const filled = record.filled && record.filled.tube === tube.id && record.filled.t.length ? record.filled : null;
  return {
    spans, filled, longest,
    gap: GAP / (record.settings ? record.settings.rate : 1) + SLACK,
    times: tube.boxes.map((b) => b.t),
    boxes: tube.boxes,
    of: tube.boxes.map((b) => spanOf(b.t)),
  };
}

/** The box at t seconds, `{box, source}` with source model | smoothed | propagated | filled | between, or null. */
function boxAt(tr, time) {
  const t = milli(time), span = spanAt(tr.spans, t);
  if (span < 0) return null;
  if (tr.filled) {
    const i = countUpTo(tr.filled.t, t + SLACK / 2) - 1;
    if (i < 0 || spanAt(tr.spans, tr.filled.t[i]) !== span || t - tr.filled.t[i] > tr.longest + SLACK) return null;
    const near = countUpTo(tr.times, t + SLACK) - 1;
    const own = near >= 0 && t - tr.times[near] <= SLACK;
    return { box: tr.filled.boxes[i], source: own ? tr.boxes[near].source : "filled" };
  }
  const first = tr.of.indexOf(span), last = tr.of.lastIndexOf(span);
  if (first < 0) return null;
  const left = countUpTo(tr.times, t) - 1;
  const lo = Math.min(Math.max(left, first), last), hi = Math.min(Math.max(left + 1, first), last);
  const step = tr.times[hi] - tr.times[lo];
  const inside = t > tr.times[lo] && t < tr.times[hi];
  if (inside && step > tr.gap) return null;
  const a = tr.boxes[lo], b = tr.boxes[hi], w = step > 0 ? (t - tr.times[lo]) / step : 0;
  return {
    box: a.box.map((v, i) => (1 - w) * v + w * b.box[i]),
    source: w === 0 && t === a.t ? a.source : w === 1 ? b.source : "between",
  };
}

/** 83.2 -> "1:23.20", the one form of times; `digits` after the point are 0 where only whole seconds occur. */
function clock(t, digits = 2) {
  const unit = 10 ** digits, n = Math.round(Math.max(0, t) * unit), s = Math.floor(n / unit);
  const two = (x) => String(x).padStart(2, "0");
  const head = s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}` : `${Math.floor(s / 60)}`;
  return `${head}:${two(s % 60)}` + (digits ? "." + String(n % unit).padStart(digits, "0") : "");
}
