// Stretches of the audio that a comment speaks of: M begins one, M again ends it.
import { say } from "./api.js";

const SHORTEST_MS = 50;

export class Marks {
  constructor(article, board, changed) {
    this.board = board;
    this.changed = changed;
    this.button = article.querySelector("[data-do=mark]");
    this.list = article.querySelector(".spans");
    this.kind = article.querySelector("[name=mark-kind]");
    this.marks = [];
    this.open = null;
  }

  get possible() { return Boolean(this.button) && this.board.rows.length > 0; }

  toggle() {
    if (!this.possible) return "";
    const row = this.board.selected;
    const at = Math.round(1000 * (this.board.player.current === row ? this.board.player.now() : 0));
    if (!this.open || this.open.row !== row) this.open = { row, at };
    else { this.#add(row, this.open.at, at); this.open = null; }
    this.#words();
    return this.open ? say("mark_open", { label: row.label }) : say("marked", { label: row.label });
  }

  #add(row, one, other) {
    const position = this.board.rows.indexOf(row);
    const start = Math.min(one, other);
    // A mark set while the clip stands still is a place, a little wide so that it can be seen.
    const end = Math.max(one, other, start + SHORTEST_MS);
    this.marks.push({ position, start_ms: start, end_ms: end, kind: this.kind.value });
    this.show();
    this.changed();
  }

  #words() { this.button.querySelector(".words").textContent = say(this.open ? "mark_end" : "mark_start"); }

  show() {
    this.list.replaceChildren(...this.marks.map((mark, index) => this.#item(mark, index)));
    this.board.rows.forEach((row, position) => {
      row.wave.marks = this.marks.filter((mark) => mark.position === position).map((mark) => [mark.start_ms / 1000, mark.end_ms / 1000]);
      row.wave.draw();
    });
  }

  #item(mark, index) {
    const item = document.createElement("li");
    item.className = "chip";
    const { label } = this.board.rows[mark.position];
    const kind = [...this.kind.options].find((option) => option.value === mark.kind)?.text ?? mark.kind;
    item.textContent = `${label} ${(mark.start_ms / 1000).toFixed(1)}–${(mark.end_ms / 1000).toFixed(1)} s · ${kind} `;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", say("unmark", { label }));
    remove.addEventListener("click", () => { this.marks.splice(index, 1); this.show(); this.changed(); this.button.focus(); });
    item.append(remove);
    return item;
  }

  restore(marks) {
    const fits = (mark) => Number.isInteger(mark?.position) && this.board.rows[mark.position] && mark.end_ms > mark.start_ms;
    this.marks = Array.isArray(marks) ? marks.filter(fits) : [];
    if (this.possible) this.show();
  }
}
