// Volume first, then six rounds of three tones; the server keeps which was the quietest.
import { post } from "./api.js";
import { listen } from "./keys.js";

const at = (id) => document.getElementById(id);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const tones = [...document.querySelectorAll("[data-tone]")];
const API = "/api/v1/me/device-check";
const STEP_S = 1.5; // a tone and the gap after it
let sound = null;
let attempt = null;
let answers = [];

/** Plays a file; resolves at its end. One at a time. */
function play(url) {
  sound?.pause();
  sound = new Audio(url);
  const ended = new Promise((resolve, reject) => {
    sound.addEventListener("ended", resolve);
    sound.addEventListener("error", () => reject(new Error("not played")));
  });
  return sound.play().then(() => ended);
}

async function volume() {
  await play(`${API}/volume`);
  at("volume-done").disabled = false;
}

async function begin() {
  if (at("volume-done").disabled) return;
  attempt = await post(API, {});
  answers = [];
  at("outcome").hidden = true;
  at("again").hidden = true;
  at("phones").hidden = false;
  at("phones-title").focus();
  show();
}

function show() {
  at("round").textContent = fill(at("round").dataset.words, { at: answers.length + 1, of: attempt.rounds });
  for (const tone of tones) tone.disabled = true;
}

async function round() {
  const following = setInterval(() => {
    const now = Math.floor(sound.currentTime / STEP_S);
    tones.forEach((tone, index) => tone.classList.toggle("playing", index === now));
  }, 50);
  try { await play(`${API}/${attempt.id}/${answers.length}`); } finally {
    clearInterval(following);
    for (const tone of tones) tone.classList.remove("playing");
  }
  for (const tone of tones) tone.disabled = false;
}

async function answer(place) {
  if (tones[place].disabled) return;
  answers.push(place);
  if (answers.length < attempt.rounds) { show(); await round(); return; }
  finish(await post(`${API}/${attempt.id}`, { answers }));
}

function finish(told) {
  const words = at("outcome-words");
  words.textContent = fill(told.passed ? words.dataset.passed : words.dataset.failed, told);
  words.className = told.passed ? "note good" : "note warn";
  at("phones").hidden = true;
  at("outcome").hidden = false;
  at("go-on").hidden = !told.passed;
  at("again").hidden = told.passed;
  words.focus();
}

const stage = () => (!at("outcome").hidden ? "outcome" : at("phones").hidden ? "volume" : "phones");

function enter() {
  if (stage() === "volume") begin();
  else if (stage() === "outcome") (at("again").hidden ? location.assign(at("go-on").href) : begin());
}

at("volume-play").addEventListener("click", volume);
at("volume-done").addEventListener("click", begin);
at("phones-play").addEventListener("click", round);
at("again").addEventListener("click", begin);
tones.forEach((tone, place) => tone.addEventListener("click", () => answer(place)));
listen({
  " ": () => (stage() === "volume" ? volume() : stage() === "phones" && round()),
  Enter: enter,
  1: () => answer(0),
  2: () => answer(1),
  3: () => answer(2),
});
