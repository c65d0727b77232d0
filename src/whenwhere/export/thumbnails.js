// Small pictures of the video: a strip of them over the timeline, and one where the pointer is. They come from a second
// player of the same video, which seeks to one time after another, so that the page does not carry pictures of its own.

const finder = h("video", { muted: true, playsinline: true, preload: "auto" });
const strip = $("strip"), peek = $("peek");
const WAIT = 150;   // milliseconds without a change before the strip is drawn again
const LATE = 300;   // milliseconds after a seek in which the new frame is shown, if it is not the one before
const jobs = { strip: [], peek: null, busy: false };

function startThumbnails() {
  finder.muted = true;
  peek.height = 180;
  peek.width = Math.round(180 * width / height);
  finder.addEventListener("loadeddata", () => {
    for (const el of [document.documentElement, $("timeline")]) el.classList.add("pictured");
    drawStrip();
  }, { once: true });
  finder.addEventListener("seeked", () => {
    const job = jobs.busy;
    if (!job) return;
    job.sought = true;
    if (job.shown || !finder.requestVideoFrameCallback) drawThumbnail(job);
    else setTimeout(drawThumbnail, LATE, job);   // the frame that was asked for may be there already
  });
  finder.src = video.src;
}

function drawThumbnail(job) {
  if (jobs.busy !== job) return;
  const { canvas, x, wide, high } = job;
  canvas.getContext("2d").drawImage(finder, x, 0, wide, high);
  if (canvas === peek) peek.hidden = false;
  jobs.busy = false;
  nextThumbnail();
}

function nextThumbnail() {
  if (jobs.busy || finder.readyState < 1) return;
  const job = jobs.peek || jobs.strip.shift();
  if (!job) return;
  if (job === jobs.peek) jobs.peek = null;
  jobs.busy = job;
  // "seeked" may come before the new frame can be drawn
  finder.requestVideoFrameCallback?.(() => {
    job.shown = true;
    if (job.sought) drawThumbnail(job);
  });
  finder.currentTime = Math.max(0, frameTime(job.t) + offset + NUDGE);
}

/** Fill the strip with the frames of the times that are in view, as many as fit side by side. */
function drawStrip() {
  clearTimeout(drawStrip.timer);
  drawStrip.timer = setTimeout(() => {
    const room = shownWidth(), high = strip.clientHeight, ratio = window.devicePixelRatio || 1;
    if (!high || !room) return;
    strip.style.width = `${room}px`;
    strip.width = Math.round(room * ratio);
    strip.height = Math.round(high * ratio);
    const count = Math.max(1, Math.round(room / (high * width / height))), wide = strip.width / count;
    const left = pane.scrollLeft, whole = tracks.offsetWidth;
    jobs.strip = Array.from({ length: count }, (_, k) => ({
      canvas: strip, x: Math.round(k * wide), wide: Math.ceil(wide), high: strip.height,
      t: Math.min((left + room * (k + 0.5) / count) / whole, 1) * duration,
    }));
    nextThumbnail();
  }, WAIT);
}

/** Show the frame at t seconds beside the line that follows the pointer. */
function peekAt(t) {
  jobs.peek = { canvas: peek, x: 0, wide: peek.width, high: peek.height, t };
  nextThumbnail();
}
