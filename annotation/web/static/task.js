// The screen on which people judge: one task after the other without leaving the page.
import { get, post, Refused, say, send } from "./api.js";
import { Board } from "./board.js";
import { keysAreOn, listen, turnKeys } from "./keys.js";
import { KINDS } from "./kinds.js";
import { Marks } from "./marks.js";
import { Player, SPEEDS } from "./player.js";
import { nameLanguages } from "./site.js";

const SAVE_AFTER_MS = 700;
const TOLD_MS = 3500;
const UI_VERSION = "web@1";
const work = document.getElementById("work");
const campaign = work.dataset.campaign;
const status = document.getElementById("status");
const player = new Player();
let task = null;
let ahead = []; // keys of the clips that were loaded for the next task
let looking = new AbortController(); // of their downloads: taking an answer back gives the next task's lease back

let fading = null;

/** Says it to the eye for a while, and once to a screen reader. */
function tell(text) {
  status.textContent = text;
  status.classList.remove("gone");
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.add("gone"), TOLD_MS);
}

class Task {
  #draftTimer = null;
  #sending = false;
  #key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; // the same for every try to send this answer

  constructor(article) {
    this.article = article;
    this.lease = article.dataset.lease;
    this.board = new Board(article, player);
    const changed = (words) => this.changed(words);
    this.kind = new KINDS[article.dataset.kind](article, changed, this.board);
    this.marks = new Marks(article, this.board, changed);
    this.comment = article.querySelector("[name=comment]");
    this.reasons = [...article.querySelectorAll("[name=reason]")];
    this.button = article.querySelector("[data-do=send]");
    this.problem = article.querySelector(".problem");
    this.#restore();
    this.#wire();
    this.endKeys = listen(Object.fromEntries(Object.entries(this.actions()).map(([key, { run }]) => [key, run])));
    this.board.flush();
    this.show();
    nameLanguages(article);
  }

  #wire() {
    this.comment?.addEventListener("input", () => this.changed());
    for (const reason of this.reasons) reason.addEventListener("change", () => this.changed());
    const actions = { back: "ArrowLeft", pause: " ", on: "ArrowRight", replay: "r", switch: "x", mark: "m", undo: "u", skip: "s", send: "Enter" };
    for (const button of this.article.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => this.actions()[actions[button.dataset.do]]?.run());
    }
    const speed = this.article.querySelector("#speed");
    speed?.addEventListener("change", () => player.setSpeed(Number(speed.value)));
    if (speed) speed.value = String(player.speed);
    this.board.addEventListener("progress", () => { this.#opened(); this.show(); });
    this.board.addEventListener("trouble", ({ detail }) => this.trouble(detail));
    this.board.addEventListener("play", () => tell(""));
    this.leaving = () => { if (this.#draftTimer !== null) { clearTimeout(this.#draftTimer); this.#save(true); } };
    addEventListener("pagehide", this.leaving);
    this.article.querySelector("[data-do=undo]").disabled = !this.article.dataset.canUndo;
    this.locked = true;
  }

  #opened() {
    if (this.board.unlocked && this.locked) tell(say("open"));
    this.locked = !this.board.unlocked;
  }

  /** key -> what it does and the words for it in the help. */
  actions() {
    // Several clips go by their number: from C on their letters have other work.
    const named = this.article.dataset.kind === "rank" ? (_, place) => "1234567890"[place] : (row) => row.label.toLowerCase();
    const byKey = this.board.rows.map((row, place) => [named(row, place), row]).filter(([key]) => key);
    const clips = Object.fromEntries(byKey.map(([key, row]) => [key, { run: () => this.board.toggle(row), words: say("hear", { label: row.label }) }]));
    const all = {
      ...clips,
      " ": { run: () => this.board.pause(), words: say("space") },
      x: this.board.rows.length > 1 && { run: () => this.board.switch(), words: say("switch") },
      r: { run: () => this.board.replay(), words: say("replay") },
      ArrowLeft: { run: () => this.board.step(-1), words: say("left") },
      ArrowRight: { run: () => this.board.step(1), words: say("right") },
      "<": { run: () => this.#speed(-1), words: say("slower") },
      ">": { run: () => this.#speed(1), words: say("faster") },
      t: this.#small("history") && { run: () => this.#next("history"), words: say("turns") },
      v: this.#small("voice") && { run: () => this.#next("voice"), words: say("voice") },
      ...this.kind.keys(),
      e: this.reasons.length > 0 && { run: () => this.reasons[0].focus(), words: say("reasons") },
      c: this.comment && { run: () => this.comment.focus(), words: say("comment") },
      m: this.marks.possible && { run: () => tell(this.marks.toggle()), words: say("mark") },
      Enter: { run: () => this.send(), words: say("send_key") },
      u: { run: () => this.undo(), words: say("undo") },
      s: { run: () => openDialog("skip"), words: say("skip") },
      g: { run: () => openDialog("guideline"), words: say("guideline") },
      "?": { run: () => openDialog("help"), words: say("help") },
    };
    return Object.fromEntries(Object.entries(all).filter(([, action]) => action));
  }

  #small(role) { return this.board.clips.find((clip) => clip.role === role); }

  /** Plays the next of several, beginning again after the last. */
  #next(role) {
    const clips = this.board.clips.filter((clip) => clip.role === role);
    const playing = clips.indexOf(player.playing ?? player.current);
    this.board.toggle(player.playing && clips.length === 1 ? clips[0] : clips[(playing + 1) % clips.length]);
  }

  #speed(by) {
    const at = SPEEDS.indexOf(player.speed) + by;
    if (at < 0 || at >= SPEEDS.length) return;
    player.setSpeed(SPEEDS[at]);
    const field = this.article.querySelector("#speed");
    if (field) field.value = String(player.speed);
    tell(say(player.speed > 1 ? "speed_fast" : "speed", { speed: player.speed }));
  }

  changed(words) {
    if (words && typeof words === "string") tell(words);
    this.problem.hidden = true;
    this.show();
    this.article.querySelector(".saved").textContent = "";
    clearTimeout(this.#draftTimer);
    this.#draftTimer = setTimeout(() => this.#save(), SAVE_AFTER_MS);
  }

  show() {
    for (const set of this.article.querySelectorAll("fieldset.answers")) set.disabled = !this.board.unlocked;
    this.article.querySelector("#lock").hidden = this.board.unlocked;
    this.button.disabled = !(this.board.unlocked && (this.kind.ready ?? this.kind.given() !== null));
  }

  async #save(leaving = false) {
    this.#draftTimer = null;
    const values = { ...this.kind.values(), reasons: this.#ticked(), comment: this.comment?.value ?? "", marks: this.marks.marks };
    try {
      await send("PUT", `/api/v1/leases/${this.lease}/draft`, { values }, leaving);
      if (this.article.isConnected) this.article.querySelector(".saved").textContent = say("saved");
    } catch { /* the answer itself is kept by `send`; a draft is tried again with the next change */ }
  }

  #ticked() { return this.reasons.filter((box) => box.checked).map((box) => box.value); }

  #restore() {
    const values = JSON.parse(this.article.dataset.draft || "{}");
    this.kind.restore(values);
    if (this.comment && typeof values.comment === "string") this.comment.value = values.comment;
    for (const box of this.reasons) box.checked = (values.reasons ?? []).includes(box.value);
    this.marks.restore(values.marks);
  }

  async send() {
    if (this.kind.advance?.()) return;
    const given = this.kind.given();
    if (!this.board.unlocked) { tell(say("locked")); return; }
    if (given === null) { tell(say("choose")); return; }
    if (this.article.dataset.rationale === "required" && !this.comment.value.trim()) { this.comment.focus(); tell(say("rationale")); return; }
    const comment = this.comment?.value.trim() || null;
    const body = { ...given, reasons: this.#ticked(), comment, marks: this.marks.marks, ui_version: UI_VERSION };
    await this.close(`/api/v1/leases/${this.lease}/answer?language=${document.documentElement.lang}`, body);
  }

  skip(reason, comment) { return this.close(`/api/v1/leases/${this.lease}/skip`, { reason, comment }); }

  /** Sends an answer or a skip, and goes on. Not sent means: still here, with the reason shown. */
  async close(path, body) {
    if (this.#sending) return;
    this.#sending = true;
    player.pause();
    clearTimeout(this.#draftTimer);
    tell("");
    try {
      await this.board.flush();
      this.board.sealed = true;
      const told = await post(path, { ...body, idempotency_key: this.#key });
      if (told.feedback) await showFeedback(told.feedback);
      await go();
    } catch (error) {
      this.board.sealed = false;
      this.trouble(error);
    } finally { this.#sending = false; }
  }

  async undo() {
    if (!this.article.dataset.canUndo) { tell(say("nothing_to_undo")); return; }
    looking.abort();
    looking = new AbortController();
    try { await post(`/api/v1/work/${campaign}/undo`, {}); await go(); } catch (error) { this.trouble(error); }
  }

  trouble(error) {
    this.problem.textContent = wordsFor(error);
    this.problem.hidden = false;
  }

  end() {
    removeEventListener("pagehide", this.leaving);
    clearTimeout(this.#draftTimer);
    this.endKeys();
    this.board.close(ahead);
  }
}

/** Why something was not taken, in the language of the page; what it has no words for, as the server put it. */
function wordsFor(error) {
  if (!(error instanceof Refused)) return say("offline");
  const known = { 401: say("signed_out"), 403: say("signed_out"), 409: say("locked"), 429: say("slow_down") };
  if (error.status === 404) return `${say("lease_lost")} ${say("lost")}`;
  return known[error.status] ?? `${say("refused")} ${error.message}`;
}

/** Puts the task that is due on the page; other pages (a pause, the end) are gone to. */
async function go() {
  const told = await get(`/work/${campaign}/task`);
  if (told.html === null) { location.assign(`/work/${campaign}`); return; }
  task?.end();
  ahead = [];
  const made = new DOMParser().parseFromString(told.html, "text/html").querySelector("article");
  work.replaceChildren(document.adoptNode(made));
  begin();
  made.focus({ preventScroll: true });
  scrollTo({ top: 0 });
  tell(say("next", { count: made.dataset.count }));
}

function begin() {
  const article = work.querySelector("article");
  document.getElementById("count").textContent = article.dataset.count;
  task = new Task(article);
  Promise.all(task.board.clips.map((clip) => clip.loaded)).then(lookAhead);
}

/** Loads the sound of the next task while this one is judged. */
async function lookAhead() {
  const [shown, { signal }] = [task, looking];
  const told = await post(`/api/v1/work/${campaign}/ahead`, {}).catch(() => null);
  if (task !== shown || signal.aborted) return;
  const clips = told?.lease?.clips ?? [];
  ahead = clips.map((clip) => clip.audio_id);
  for (const { audio_id: key, duration_s: duration } of clips) {
    if (!player.clips.has(key)) player.load({ key, url: `/api/v1/leases/${told.lease.id}/audio/${key}`, duration, signal });
  }
}

function openDialog(name) {
  const dialog = document.getElementById(name);
  if (name === "help") fillHelp();
  player.pause();
  dialog.showModal();
}

const KEY_NAMES = { " ": say("space_key"), ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Backspace: "⌫" };

function fillHelp() {
  const rows = Object.entries(task.actions()).map(([key, { words }]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const cap = document.createElement("kbd");
    cap.textContent = KEY_NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
    head.append(cap);
    const text = document.createElement("td");
    text.textContent = words;
    row.append(head, text);
    return row;
  });
  document.getElementById("help-rows").replaceChildren(...rows);
}

function showFeedback({ right, explanation }) {
  const dialog = document.getElementById("feedback");
  dialog.className = right ? "good" : "warn";
  document.getElementById("feedback-title").textContent = say(right ? "right_title" : "not_right");
  document.getElementById("feedback-text").textContent = explanation;
  dialog.showModal();
  return new Promise((resolve) => { dialog.addEventListener("close", resolve, { once: true }); });
}

function wireSkip() {
  const dialog = document.getElementById("skip");
  const form = document.getElementById("skip-form");
  const problem = document.getElementById("skip-problem");
  form.addEventListener("submit", (event) => {
    const data = new FormData(form);
    event.preventDefault();
    problem.hidden = Boolean(data.get("reason"));
    problem.textContent = say("skip_reason");
    if (!data.get("reason")) return;
    dialog.close();
    form.reset();
    task.skip(data.get("reason"), data.get("comment").trim() || null);
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229 || event.target.matches("textarea")) return;
    const radio = form.querySelectorAll("[name=reason]")[Number(event.key) - 1];
    if (radio) { radio.checked = true; radio.focus(); event.preventDefault(); }
    if (event.key === "Enter" && event.target.matches("[name=reason]")) { event.preventDefault(); form.requestSubmit(); }
  });
}

for (const button of document.querySelectorAll("[data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
document.getElementById("open-guideline").addEventListener("click", () => openDialog("guideline"));
document.getElementById("open-help").addEventListener("click", () => openDialog("help"));
// Speech input types letters: who works with it turns the keys off for good.
const keysOn = document.getElementById("keys-on");
keysOn.checked = keysAreOn();
keysOn.addEventListener("change", () => turnKeys(keysOn.checked));
wireSkip();
begin();
performance.mark("page-ready");
