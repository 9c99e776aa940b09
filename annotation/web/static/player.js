// Plays one clip at a time, and goes from one to another at the same position without a click.
import { AHEAD_S, begin, end } from "./fade.js";
import { stretch } from "./stretch.js";

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5];
// Decodes before any key was pressed, when a context for playing would not be let start.
const DECODER = new OfflineAudioContext(1, 1, 48000);

/** A clip: { key, url, buffer (once loaded), failed }. */
export class Player extends EventTarget {
  #context = null;
  #playing = null; // { clip, source, gain, from, startedAt, speed }
  #stretched = new Map(); // `key speed` -> buffer

  constructor() {
    super();
    this.clips = new Map();
    this.current = null;
    this.position = 0; // shared, in seconds of the original
    this.speed = 1;
  }

  get context() {
    this.#context ??= new AudioContext({ latencyHint: "interactive" });
    return this.#context;
  }

  get playing() { return this.#playing?.clip ?? null; }

  /** Where in the clip that plays the present stretch began. */
  get startedFrom() { return this.#playing?.from ?? this.position; }

  /** Fetches and decodes; calls for the same clip share one download. */
  load(clip) {
    this.clips.set(clip.key, clip);
    clip.loaded ??= this.#fetch(clip);
    return clip.loaded;
  }

  async #fetch(clip) {
    try {
      const response = await fetch(clip.url, { credentials: "same-origin", signal: clip.signal });
      if (!response.ok) throw new Error(`status ${response.status}`);
      clip.buffer = await DECODER.decodeAudioData(await response.arrayBuffer());
      clip.duration = clip.buffer.duration;
    } catch (error) {
      clip.failed = String(error);
      if (clip.signal?.aborted) return;
      this.#tell("failed", clip);
      return;
    }
    this.#tell("loaded", clip);
  }

  /** Seconds of the original at which the clip that plays, or played last, is. */
  now() {
    return this.#playing ? this.#position(this.#playing, this.context.currentTime) : this.position;
  }

  #position(live, time) {
    const passed = Math.max(0, time - live.startedAt) * live.speed;
    return Math.min(live.clip.duration, live.from + passed);
  }

  /** Plays clip from a position, by default where the other one was; the beginning when that was its end. */
  async play(clip, wanted = null) {
    await this.load(clip);
    if (!clip.buffer) return;
    await this.context.resume();
    this.#at(clip, this.speed); // takes a while the first time: not after the moment was chosen
    const at = this.#stop();
    const from = wanted ?? this.position;
    const start = from >= clip.duration - 0.05 || from < 0 ? 0 : from;
    this.#start(clip, start, at);
    this.current = clip;
    this.#tell("play", clip);
  }

  #start(clip, from, at = this.context.currentTime + AHEAD_S) {
    const voice = begin(this.context, this.#at(clip, this.speed), from / this.speed, at, this.context.destination);
    const live = { clip, voice, from, startedAt: at, speed: this.speed };
    voice.source.onended = () => { if (this.#playing === live) this.#finish(live); };
    this.#playing = live;
  }

  #at(clip, speed) {
    const name = `${clip.key} ${speed}`;
    if (!this.#stretched.has(name)) this.#stretched.set(name, stretch(clip.buffer, speed));
    return this.#stretched.get(name);
  }

  #finish(live) {
    this.#playing = null;
    this.position = 0;
    this.#report(live, live.clip.duration);
    this.#tell("ended", live.clip);
  }

  /** Ends what plays at a moment just ahead, at which something else may begin; the position there is kept. */
  #stop() {
    const at = this.context.currentTime + AHEAD_S;
    const live = this.#playing;
    if (!live) return at;
    const reached = this.#position(live, at);
    this.#playing = null;
    this.position = reached;
    end(live.voice, at);
    this.#report(live, reached);
    return at;
  }

  #report(live, end) {
    if (end <= live.from) return;
    const detail = { clip: live.clip, start: live.from, end, speed: live.speed };
    this.dispatchEvent(new CustomEvent("listened", { detail }));
  }

  pause() {
    const clip = this.playing;
    if (!clip) return;
    this.#stop();
    this.#tell("pause", clip);
  }

  /** Pauses the clip when it plays; else plays it, from where the other one was. */
  toggle(clip) {
    if (this.playing === clip) { this.pause(); return Promise.resolve(); }
    return this.play(clip);
  }

  seek(clip, seconds) {
    const wanted = Math.min(Math.max(0, seconds), Math.max(0, (clip.duration ?? 0) - 0.06));
    const live = this.playing;
    if (live) return this.play(clip, wanted);
    this.current = clip;
    this.position = wanted;
    this.#tell("seek", clip);
    return Promise.resolve();
  }

  setSpeed(speed) {
    const clip = this.playing;
    if (clip) this.#at(clip, speed);
    const at = clip && this.#stop();
    this.speed = speed;
    if (clip) { this.#start(clip, this.position, at); this.#tell("play", clip); }
    this.#tell("speed", clip);
  }

  /** Forget the clips of a task that is over, but those loaded for the next one. */
  clear(keep = []) {
    this.pause();
    this.#stretched.clear();
    for (const key of this.clips.keys()) if (!keep.includes(key)) this.clips.delete(key);
    this.current = null;
    this.position = 0;
  }

  #tell(what, clip) { this.dispatchEvent(new CustomEvent(what, { detail: { clip } })); }
}

/** Stretches of a clip that were heard, merged; stretches faster than normal do not count. */
export class Coverage {
  constructor(stretches = []) { this.stretches = stretches; }

  add(start, end) {
    const merged = [];
    for (const [from, to] of [...this.stretches, [start, end]].sort((a, b) => a[0] - b[0])) {
      const last = merged.at(-1);
      if (last && from <= last[1] + 0.03) last[1] = Math.max(last[1], to);
      else merged.push([from, to]);
    }
    this.stretches = merged;
  }

  get seconds() { return this.stretches.reduce((sum, [from, to]) => sum + to - from, 0); }
}
