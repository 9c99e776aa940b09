"use strict";
// One comparison: two clips, of which one plays at a time, and an answer once both were heard to the end.

const HEARD = 0.95; // of a clip, as on the server
const page = document.getElementById("comparison");
const status = document.getElementById("status");
const answers = [...document.querySelectorAll("[data-choice]")];
const keysOn = document.getElementById("keys");
let sending = false;

const clips = [...document.querySelectorAll(".clip")].map((card) => ({
  card,
  side: card.dataset.side,
  audio: card.querySelector("audio"),
  button: card.querySelector("button"),
  verb: card.querySelector(".verb"),
  bar: card.querySelector("progress"),
  state: card.querySelector(".state"),
  ended: false,
}));
let current = clips[0];

const say = (text) => { status.textContent = text; };

/** Seconds of different audio played: repeats count once. */
function heardSeconds(clip) {
  let seconds = 0;
  for (let i = 0; i < clip.audio.played.length; i += 1) {
    seconds += clip.audio.played.end(i) - clip.audio.played.start(i);
  }
  return seconds;
}

const heard = (clip) => clip.ended && heardSeconds(clip) >= HEARD * clip.audio.duration;
const unlocked = () => clips.length === 2 && clips.every(heard);

function show(clip) {
  const playing = !clip.audio.paused && !clip.audio.ended;
  clip.card.classList.toggle("playing", playing);
  clip.card.classList.toggle("heard", heard(clip));
  clip.verb.textContent = playing ? "Pause" : "Listen to";
  clip.bar.value = clip.audio.currentTime;
  if (!Number.isFinite(clip.audio.duration)) return;
  const length = `${clip.audio.duration.toFixed(1)} s`;
  clip.bar.max = clip.audio.duration;
  const words = playing ? "playing" : heard(clip) ? "✓ heard" : clip.audio.currentTime > 0 ? "paused" : "not heard yet";
  clip.state.textContent = `${words} · ${length}`;
}

function unlock() {
  if (!unlocked()) return;
  for (const answer of answers) answer.disabled = false;
  document.getElementById("lock").hidden = true;
}

function follow(clip) {
  if (clip.audio.paused) return;
  clip.bar.value = clip.audio.currentTime;
  requestAnimationFrame(() => follow(clip));
}

async function toggle(clip) {
  current = clip;
  if (!clip.audio.paused) return clip.audio.pause();
  for (const other of clips) if (other !== clip) other.audio.pause();
  try {
    await clip.audio.play();
  } catch (error) {
    if (error.name !== "AbortError") broken(clip);
  }
}

function broken(clip) {
  clip.state.textContent = "cannot be played";
  say(`Clip ${clip.side} cannot be played: skip this pair, with the first reason.`);
}

for (const clip of clips) {
  clip.button.addEventListener("click", () => toggle(clip));
  clip.audio.addEventListener("play", () => { say(""); show(clip); follow(clip); });
  for (const event of ["pause", "loadedmetadata", "durationchange"]) {
    clip.audio.addEventListener(event, () => show(clip));
  }
  clip.audio.addEventListener("error", () => broken(clip));
  clip.audio.addEventListener("ended", () => {
    const first = !clip.ended;
    clip.ended = true;
    show(clip);
    unlock();
    if (!first) return;
    say(unlocked() ? "Both heard: choose an answer." : `${clip.side} heard. Now listen to the other one.`);
  });
  if (clip.audio.error) broken(clip);
}

async function send(choice, reason) {
  if (sending) return;
  sending = true;
  for (const clip of clips) clip.audio.pause();
  say("Saving …");
  const body = { view: page.dataset.view, choice, heard_s: [0, 0] };
  if (clips.length === 2) body.heard_s = clips.map(heardSeconds);
  if (reason) body.reason = reason;
  try {
    const response = await fetch("/judgements", {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content,
      },
      body: JSON.stringify(body),
    });
    if (response.ok) return location.replace("/");
    const { error } = await response.json();
    say(`Not saved: ${error || "the server did not understand the answer"}`);
  } catch {
    say("Not saved: the server does not answer. Is the command in the terminal still running?");
  }
  sending = false;
}

function choose(choice) {
  if (unlocked()) send(choice);
  else say("First listen to both clips to the end.");
}

for (const answer of answers) {
  answer.addEventListener("click", () => choose(answer.dataset.choice));
}
document.getElementById("skip-form").addEventListener("submit", (event) => {
  event.preventDefault();
  send("skip", new FormData(event.target).get("reason"));
});

/** Open or close a list, with the focus in it or on its heading. */
function unfold(id) {
  const details = document.getElementById(id);
  details.open = !details.open;
  const inside = details.open && details.querySelector("input");
  (inside || details.querySelector("summary")).focus();
}

const keys = new Map(answers.map((answer) => [answer.getAttribute("aria-keyshortcuts"), () => choose(answer.dataset.choice)]));
for (const clip of clips) keys.set(clip.side.toLowerCase(), () => toggle(clip));
if (clips.length) keys.set(" ", () => toggle(current));
keys.set("s", () => unfold("skip"));
keys.set("?", () => unfold("help"));

document.addEventListener("keydown", (event) => {
  // Not while text is composed (Chinese input), not with a modifier, not on a held key.
  if (!keysOn.checked || event.isComposing || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const onControl = event.target.closest("button, summary, input, a");
  if (event.key === " " && onControl) return; // the control's own key
  const action = keys.get(event.key.length === 1 ? event.key.toLowerCase() : event.key);
  if (!action) return;
  event.preventDefault();
  action();
});

// Some people work with speech input, which types letters: they can turn the keys off for good.
keysOn.checked = localStorage.getItem("trivox-keys") !== "off";
keysOn.addEventListener("change", () => localStorage.setItem("trivox-keys", keysOn.checked ? "on" : "off"));

for (const tag of document.querySelectorAll("[data-language]")) {
  try {
    tag.textContent = new Intl.DisplayNames(["en"], { type: "language" }).of(tag.dataset.language);
  } catch { /* not a tag that the browser knows: it stays as it is */ }
}
