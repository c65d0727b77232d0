// Time and playing, and the boxes over the picture.

/** Time of the frame that is `step` frames after the one shown at t. */
function frameTime(t, step = 0) {
  if (times) return times[Math.min(Math.max(countUpTo(times, t + SLACK / 2) - 1 + step, 0), times.length - 1)];
  const last = Math.max(0, Math.round(duration * fps) - 1);
  return Math.min(Math.max(Math.floor((t + 2 * SLACK) * fps) + step, 0), last) / fps;
}

/** Time of the first frame inside a span; a span that starts between two frames begins with the later one. */
function firstFrame(span) {
  const shown = frameTime(span.start), next = frameTime(span.start, 1);
  return shown < span.start - SLACK && next < span.end ? next : span.start;
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
  reveal(to);
}

/** The current time; during a seek, the time that is being sought. */
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
  seek(firstFrame(span));
  state.until = span.end;
  play();
}

function onFrame(t) {
  if (!state.ready) return;   // the first picture comes before the first seek
  const followed = inView(state.time);
  state.time = frameTime(t);
  if (followed) reveal(state.time);
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

/** The boxes of a sentence at the current time: `[{box, source, label, colour, guess}]`. */
function boxesOf(i) {
  const { record, colour, tracks: mine } = answers[i];
  // Where boxes of several sentences are drawn, each says whose it is.
  const named = (label) => (state.all ? [i + 1, label].filter(Boolean).join(" ") : label);
  const out = mine.map((tr, k) => ({ ...boxAt(tr, state.time), label: named(record.tubes[k].label), colour }));
  const guess = i === state.chosen && state.focus && state.focus.of;
  if (guess && Array.isArray(guess.box) && Math.abs(state.time - guess.t) <= GLANCE) out.push({ box: guess.box, source: "candidate", colour, guess: true });
  return out.filter((b) => b.box);
}

function draw() {
  const found = boxesOf(state.chosen);
  const others = state.all ? answers.flatMap((_, i) => (i === state.chosen ? [] : boxesOf(i))) : [];
  const ratio = window.devicePixelRatio || 1;
  const w = Math.round(picture.clientWidth * ratio), hgt = Math.round(picture.clientHeight * ratio);
  if (canvas.width !== w || canvas.height !== hgt) { canvas.width = w; canvas.height = hgt; }
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, w, hgt);
  for (const b of [...others, ...found]) drawBox(pen, b, w / width, hgt / height, ratio);
  const t = Math.min(state.time, duration);
  for (const part of [$("playhead"), knob]) part.style.left = percent(t);
  $("clock").textContent = clock(t);
  ruler.setAttribute("aria-valuenow", t.toFixed(2));
  ruler.setAttribute("aria-valuetext", `${clock(t)} of ${clock(duration)}`);
  const b = found[0];
  const [x1, y1, x2, y2] = b ? b.box.map(Math.round) : [];
  $("where").textContent = b ? `${x2 - x1} × ${y2 - y1} at ${x1}, ${y1} · ${b.source}` : "";
  for (const el of document.querySelectorAll(".span")) el.classList.toggle("now", el.start <= t && t < el.end);
}

function drawBox(pen, { box, label, colour, guess }, sx, sy, ratio) {
  const thick = 2.5 * ratio;
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
