// How each kind of question is answered: what was chosen so far, and the keys for it.
import { say } from "./api.js";
import { showDiff } from "./diff.js";

const TIES = ["both_good", "both_bad", "cannot_tell"];

/** A choice among radio buttons of one name. */
class Choice {
  constructor(article, changed) {
    this.article = article;
    this.changed = changed;
    this.radios = [...article.querySelectorAll("input[name=choice]")];
    for (const radio of this.radios) radio.addEventListener("change", changed);
  }

  get value() { return this.radios.find((radio) => radio.checked)?.value ?? null; }

  keys() {
    const entries = this.radios.map((radio) => [
      radio.getAttribute("aria-keyshortcuts").toLowerCase(),
      { run: () => this.pick(radio.value), words: radio.closest("label").innerText.replace(/\s+/g, " ").trim().replace(/^\S+ /, "") },
    ]);
    return Object.fromEntries(entries);
  }

  pick(value) {
    const radio = this.radios.find((one) => one.value === value);
    if (!radio || radio.matches(":disabled")) return false;
    radio.checked = true;
    this.changed();
    return true;
  }

  values() { return { choice: this.value }; }

  restore(values) { if (values.choice) this.#check(values.choice); }

  #check(value) { for (const radio of this.radios) radio.checked = radio.value === value; }
}

class Compare extends Choice {
  constructor(article, changed) {
    super(article, changed);
    const [first, second] = article.querySelectorAll("[data-hypothesis]");
    if (second) {
      const [one, other] = [first.textContent, second.textContent];
      showDiff(first, other, one, article.dataset.language);
      showDiff(second, one, other, article.dataset.language);
      for (const gone of article.querySelectorAll(".diff del")) gone.remove();
    }
  }

  given() {
    const { value } = this;
    if (value === null) return null;
    return TIES.includes(value) ? { kind: "tie", tie: value } : { kind: "comparison", comparison: Number(value) };
  }
}

class Check extends Choice {
  given() { return this.value === null ? null : { kind: "check", check: this.value === "yes" }; }
}

/** Several scales, one shown at a time. */
class Rate {
  constructor(article, changed) {
    this.article = article;
    this.changed = changed;
    this.steps = [...article.querySelectorAll("[data-dimension]")];
    this.at = 0;
    article.addEventListener("change", (event) => { if (event.target.name?.startsWith("rating-")) changed(); });
    this.show();
  }

  #picked(step) { return step.querySelector("input:checked")?.value ?? null; }

  keys() {
    const pick = (value) => ({ run: () => this.#pick(value), words: say("rate", { value }) });
    const keys = Object.fromEntries([1, 2, 3, 4, 5].map((value) => [String(value), pick(value)]));
    return { ...keys, Backspace: { run: () => this.back(), words: say("step_back") } };
  }

  #pick(value) {
    const radio = this.steps[this.at].querySelector(`input[value="${value}"]`);
    if (radio.matches(":disabled")) return;
    radio.checked = true;
    this.changed();
  }

  show() {
    this.steps.forEach((step, index) => { step.hidden = index !== this.at; });
    const last = this.at === this.steps.length - 1;
    this.article.querySelector(".last-step").hidden = !last;
    this.article.querySelector("[data-do=send] .words").textContent = say(last ? "send" : "next_scale");
  }

  back() { if (this.at > 0) { this.at -= 1; this.show(); this.changed(); } }

  /** Goes to the next scale; false on the last one, when there is something to send. */
  advance() {
    if (this.at === this.steps.length - 1) return false;
    if (this.#picked(this.steps[this.at]) !== null) { this.at += 1; this.show(); this.changed(); }
    return true;
  }

  get ready() { return this.#picked(this.steps[this.at]) !== null; }

  given() {
    const ratings = Object.fromEntries(this.steps.map((step) => [step.dataset.dimension, this.#picked(step)]));
    if (Object.values(ratings).includes(null)) return null;
    for (const name of Object.keys(ratings)) ratings[name] = Number(ratings[name]);
    return { kind: "rating", ratings };
  }

  values() { return { ratings: Object.fromEntries(this.steps.map((step) => [step.dataset.dimension, this.#picked(step)])) }; }

  restore(values) {
    for (const step of this.steps) {
      const radio = step.querySelector(`input[value="${Number(values.ratings?.[step.dataset.dimension]) || 0}"]`);
      if (radio) radio.checked = true;
    }
  }
}

/** Clips put in order, the best first. */
class Rank {
  constructor(article, changed, board) {
    this.list = article.querySelector(".ranking");
    this.changed = changed;
    this.board = board;
    this.list.addEventListener("click", (event) => {
      const button = event.target.closest("[data-move]");
      if (button) { this.move(button.closest("li"), Number(button.dataset.move)); button.focus(); }
    });
  }

  get order() { return [...this.list.children].map((row) => Number(row.dataset.position)); }

  keys() {
    const selected = () => this.board.selected?.element.closest("li");
    return {
      ArrowUp: { run: () => this.move(selected(), -1), words: say("rank_up") },
      ArrowDown: { run: () => this.move(selected(), 1), words: say("rank_down") },
    };
  }

  move(row, by) {
    const neighbour = by < 0 ? row?.previousElementSibling : row?.nextElementSibling;
    if (!neighbour) return;
    if (by < 0) neighbour.before(row); else neighbour.after(row);
    this.#number();
    const label = row.querySelector(".clip").dataset.label;
    this.changed(say("ranked", { label, place: this.order.indexOf(Number(row.dataset.position)) + 1 }));
  }

  #number() { [...this.list.children].forEach((row, index) => { row.querySelector(".place").textContent = index + 1; }); }

  given() { return { kind: "ranking", ranking: this.order }; }

  values() { return { ranking: this.order }; }

  restore(values) {
    const rows = new Map([...this.list.children].map((row) => [Number(row.dataset.position), row]));
    const order = values.ranking ?? [];
    if (order.length === rows.size && order.every((place) => rows.has(place))) this.list.append(...order.map((place) => rows.get(place)));
    this.#number();
  }
}

class Transcribe {
  constructor(article, changed) {
    this.field = article.querySelector("[name=transcript]");
    this.hypotheses = [...article.querySelectorAll("[data-hypothesis]")];
    this.texts = this.hypotheses.map((element) => element.textContent);
    this.language = article.dataset.language;
    this.changed = changed;
    this.field.addEventListener("input", () => { this.diff(); changed(); });
    for (const button of article.querySelectorAll("[data-take]")) button.addEventListener("click", () => this.take(Number(button.dataset.take)));
    this.diff();
  }

  keys() {
    const keys = { i: { run: () => this.field.focus(), words: say("edit") } };
    if (this.texts.length > 1) this.texts.forEach((_, index) => { keys[String(index + 1)] = { run: () => this.take(index), words: say("take", { label: "AB"[index] }) }; });
    return keys;
  }

  take(index) { this.field.value = this.texts[index]; this.diff(); this.changed(); }

  diff() { this.hypotheses.forEach((element, index) => showDiff(element, this.texts[index], this.field.value, this.language)); }

  given() { return { kind: "transcript", transcript: this.field.value.trim() }; }

  values() { return { transcript: this.field.value }; }

  restore(values) { if (typeof values.transcript === "string") { this.field.value = values.transcript; this.diff(); } }
}

export const KINDS = { compare: Compare, check: Check, rate: Rate, rank: Rank, transcribe: Transcribe };
