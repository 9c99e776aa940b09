// The clips of one task: rows with buttons and waveforms, what was heard of each, and the report of it.
import { post, say } from "./api.js";
import { Coverage } from "./player.js";
import { Wave } from "./wave.js";

const HEARD = 0.95; // shown until the server says what it counts

export class Board extends EventTarget {
  #queue = [];
  #sending = null;
  #number = Date.now(); // reports are told apart by number, also after a reload
  #off = new AbortController();

  constructor(article, player) {
    super();
    this.player = player;
    this.lease = article.dataset.lease;
    this.article = article;
    this.unlocked = false;
    this.sealed = false;
    this.clips = [...article.querySelectorAll("[data-audio]")].map((element) => this.#clip(element));
    this.rows = this.clips.filter((clip) => clip.wave);
    this.selected = this.rows[0] ?? null;
    this.#listen();
    for (const clip of this.clips) player.load(clip).then(() => this.#loaded(clip));
    this.#frame();
  }

  #clip(element) {
    const { audio, url, label, role, must, duration } = element.dataset;
    const known = this.player.clips.get(audio);
    const usable = known && known.url === url && !known.failed; // one loaded ahead under a lease that was lost is not
    const clip = usable ? known : { key: audio, url, duration: Number(duration) };
    Object.assign(clip, { element, label, role, must: must === "yes", coverage: new Coverage(), enough: false });
    const canvas = element.querySelector("canvas");
    clip.wave = canvas ? new Wave(canvas) : null;
    return clip;
  }

  #listen() {
    const options = { signal: this.#off.signal };
    for (const clip of this.clips) {
      const button = clip.element.matches("button") ? clip.element : clip.element.querySelector(".name");
      button.addEventListener("click", () => this.toggle(clip), options);
      clip.wave?.canvas.addEventListener("click", (event) => this.seek(clip, clip.wave.at(event.clientX)), options);
      clip.wave?.canvas.addEventListener("keydown", (event) => this.#slide(clip, event), options);
    }
    this.player.addEventListener("listened", (event) => this.#heard(event.detail), options);
    for (const name of ["play", "pause", "ended", "seek", "failed"]) {
      this.player.addEventListener(name, ({ detail }) => this.#changed(name, detail.clip), options);
    }
    addEventListener("pagehide", () => { this.player.pause(); this.flush(true); }, options);
  }

  #slide(clip, event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const from = this.player.current === clip ? this.player.now() : 0;
    this.seek(clip, from + steps[event.key]);
  }

  toggle(clip) {
    if (this.player.playing === clip) { this.player.pause(); return Promise.resolve(); }
    // A turn or a voice stands alone: it starts at its beginning, and leaves no position behind.
    const shared = clip.wave && this.player.current?.wave;
    if (clip.wave) this.selected = clip;
    return this.player.play(clip, shared ? null : 0);
  }

  seek(clip, seconds) { this.selected = clip; return this.player.seek(clip, seconds); }

  step(seconds) { if (this.selected) this.seek(this.selected, this.#position() + seconds); }

  #position() { return this.player.current === this.selected ? this.player.now() : 0; }

  pause() { return this.player.playing ? this.player.pause() : this.selected && this.toggle(this.selected); }

  replay() { return this.selected && this.player.play(this.selected, 0); }

  /** To the next clip at the same position. */
  switch() {
    if (this.rows.length < 2) return;
    this.toggle(this.rows[(this.rows.indexOf(this.selected) + 1) % this.rows.length]);
  }

  #loaded(clip) {
    if (clip.failed || !clip.wave) return;
    const longest = Math.max(...this.rows.map((row) => row.duration || 0));
    for (const row of this.rows) { row.wave.longest = longest; row.wave.draw(); }
    clip.wave.buffer = clip.buffer;
    clip.wave.draw();
    performance.mark(`clip-ready-${clip.label}`);
  }

  #changed(name, clip) {
    if (name === "failed") this.#failed(clip);
    if (name === "play" && !performance.getEntriesByName("audio-start").length) performance.mark("audio-start");
    if (clip?.wave) this.selected = clip;
    for (const row of this.rows) {
      this.#show(row);
      Object.assign(row.wave, { heard: row.coverage.stretches, current: this.selected === row });
      row.wave.draw();
    }
    this.dispatchEvent(new CustomEvent(name, { detail: clip }));
  }

  #failed(clip) {
    if (!this.clips.includes(clip)) return; // of the next question, which loads it again
    const state = clip.element.querySelector(".words");
    if (state) state.textContent = say("broken");
    clip.element.classList.add("broken");
  }

  #show(row) {
    const playing = this.player.playing === row;
    row.element.classList.toggle("playing", playing);
    row.element.classList.toggle("current", this.selected === row);
    row.element.classList.toggle("heard", row.enough);
    row.element.querySelector(".verb").textContent = playing ? say("pause") : say("listen");
    if (row.failed) return;
    const state = playing ? "playing" : row.enough ? "heard" : row.coverage.seconds > 0 ? "partly" : "unheard";
    row.element.querySelector(".words").textContent = say(state);
  }

  #heard({ clip, start, end, speed }) {
    if (!this.clips.includes(clip)) return;
    if (speed <= 1) clip.coverage.add(start, end);
    this.#queue.push({ number: (this.#number += 1), audio_id: clip.key, start_s: start, end_s: end, rate: speed });
    this.flush();
  }

  /** Reports what was played; one report at a time, what failed goes with the next. Once the answer is under way
   *  nothing more is: the lease ends with it. */
  async flush(leaving = false) {
    if (this.sealed) return;
    if (this.#sending && !leaving) return this.#sending;
    this.#sending = this.#send(leaving).finally(() => { this.#sending = null; });
    return this.#sending;
  }

  async #send(leaving) {
    do {
      const batch = this.#queue.splice(0, 50);
      try {
        this.#take(await post(`/api/v1/leases/${this.lease}/progress`, { played: batch }, leaving));
      } catch (error) {
        this.#queue.unshift(...batch);
        this.dispatchEvent(new CustomEvent("trouble", { detail: error }));
        return;
      }
    } while (this.#queue.length && !this.#off.signal.aborted);
  }

  /** What the server counts as heard; the answers open when it says so. */
  #take(progress) {
    for (const told of progress.clips) {
      const clip = this.clips.find((one) => one.key === told.audio_id);
      if (!clip) continue;
      clip.enough = told.enough;
      if (told.enough && clip.coverage.seconds < HEARD * told.needed_s) clip.coverage.add(0, clip.duration);
      if (clip.wave) this.#show(clip);
    }
    this.unlocked = progress.unlocked;
    this.dispatchEvent(new CustomEvent("progress", { detail: progress }));
  }

  #frame() {
    if (this.#off.signal.aborted) return;
    for (const row of this.rows) this.#follow(row);
    requestAnimationFrame(() => this.#frame());
  }

  #follow(row) {
    const live = this.player.playing === row;
    const at = this.player.current === row ? this.player.now() : 0;
    if (!live && at === row.wave.position) return;
    row.wave.position = at;
    row.wave.heard = row.coverage.stretches;
    if (live && this.player.speed <= 1) row.wave.heard = [...row.wave.heard, [this.player.startedFrom, at]];
    row.wave.draw();
    row.wave.canvas.setAttribute("aria-valuenow", at.toFixed(1));
    row.wave.canvas.setAttribute("aria-valuetext", say("seconds", { at: at.toFixed(1), of: row.duration.toFixed(1) }));
    row.element.querySelector(".time").textContent = `${at.toFixed(1)} / ${row.duration.toFixed(1)} s`;
  }

  close(keep = []) { this.player.clear(keep); this.#off.abort(); }
}
