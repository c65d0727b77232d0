// Links, keyboard shortcuts and themes; then the page is built.

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
    a: together,
    "+": () => zoomTo(state.zoom * 2), "=": () => zoomTo(state.zoom * 2), "-": () => zoomTo(state.zoom / 2), 0: () => zoomTo(1),
    m: () => { if (!$("mute").hidden) mute(); }, f: full, l: copyLink, "?": () => $("keys").showModal(),
  };
  if (e.key === "Enter" && !e.target.closest("button, a, summary")) {
    const span = state.focus || stops(state.chosen)[0];
    if (span) playSpan(span);
    return;
  }
  // The space bar presses the focused button; on a span it plays, as it does everywhere else.
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

function together() {
  if ($("together").hidden) return;
  state.all = !state.all;
  $("together").setAttribute("aria-pressed", String(state.all));
  draw();
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

function unpack(packed) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(packed);
  const raw = atob(packed), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

function load() {
  video.addEventListener("loadeddata", () => {
    state.ready = true;
    $("notice").hidden = true;
    seek(state.time);
    startThumbnails();
  });
  video.addEventListener("error", () => {
    $("notice").hidden = false;
    $("notice").textContent = data.media.trouble;
  });
  const holder = $("media"), packed = holder.textContent.trim();
  if (packed) {
    video.src = URL.createObjectURL(new Blob([unpack(packed)], { type: data.media.type }));
    holder.remove();
  } else video.src = data.media.href;
}

function build() {
  $("name").textContent = data.video.name;
  $("facts").textContent = [clock(duration), `${width} × ${height}`, `${Math.round(fps * 100) / 100} fps${data.video.vfr ? ", variable" : ""}`].join("  ·  ");
  picture.style.setProperty("--ratio", width / height);
  document.documentElement.style.setProperty("--lanes", answers.length);
  $("length").textContent = ` / ${clock(duration)}`;
  ruler.setAttribute("aria-valuemax", duration.toFixed(2));
  answers.forEach(({ record }, i) => guarded(record, i, (answer) => {
    const parts = [card(answer, i), lane(answer, i)];
    answers[i] = answer;
    $("sentences").append(parts[0]);
    $("lanes").append(parts[1]);
  }));
  $("gutter").append(...answers.map((a, i) => h("button", { type: "button", style: { "--c": a.colour }, title: a.record.query,
    "aria-label": `Sentence ${i + 1}: ${a.record.query}`, click: () => goToSentence(i) }, String(i + 1))));
  document.body.classList.toggle("single", answers.length === 1);
  $("remarks").append(...data.media.warnings.map((said) => h("p", {}, said)));
  const foot = [];
  if (data.beside.length) foot.push(filesBeside());
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
  $("together").hidden = answers.filter((a) => a.tracks.length).length < 2;
  $("together").addEventListener("click", together);
  $("mute").hidden = !data.video.audio;
  $("mute").addEventListener("click", mute);
  $("full").addEventListener("click", full);
  $("theme").addEventListener("click", theme);
  $("help").addEventListener("click", () => $("keys").showModal());
  document.addEventListener("keydown", onKey);
  // After a click, keys go to the player again; a focus that was set by keyboard stays.
  document.addEventListener("click", (e) => { if (e.detail && e.target.closest("button, summary")) document.activeElement.blur(); });
  addEventListener("hashchange", followLink);
  new ResizeObserver(() => { ticks(); draw(); }).observe(picture);
  new ResizeObserver(() => { ticks(); drawStrip(); }).observe(tracks);
  const stage = document.querySelector(".stage");
  new ResizeObserver(() => document.documentElement.style.setProperty("--stage", `${stage.offsetHeight}px`)).observe(stage);
  wireTimeline();
  wireZoom();
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

// For scripts and tests: returns the boxes of sentence i at t seconds.
window.whenwhere = { boxes: (i, t) => answers[i].tracks.map((tr) => boxAt(tr, t)), state };
