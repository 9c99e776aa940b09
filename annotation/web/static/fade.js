// Sound that begins and ends within a few milliseconds of silence to full: no step that is heard as a click.

export const FADE_S = 0.012;
// What is asked of a context at its present moment comes too late: it has made that sound already, and the ramp would
// begin in its middle. So everything is set down for a moment that is still to come.
export const AHEAD_S = 0.02;

/** Plays a buffer from a position, in seconds of the buffer, beginning at a time of the context. */
export function begin(context, buffer, from, at, output) {
  const source = context.createBufferSource();
  source.buffer = buffer;
  const gain = context.createGain();
  gain.gain.value = 0; // without it the first sample may slip through before the event of its own moment
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(1, at + FADE_S);
  source.connect(gain).connect(output);
  source.start(at, from);
  return { source, gain, at };
}

/** Ends what `begin` began, at a time of the context; also in the middle of its beginning. */
export function end({ source, gain, at: began }, at) {
  const reached = Math.min(1, Math.max(0, at - began) / FADE_S);
  // This takes away a ramp that is still under way: it is set down anew as far as it comes.
  gain.gain.cancelScheduledValues(at);
  gain.gain.linearRampToValueAtTime(reached, at);
  gain.gain.linearRampToValueAtTime(0, at + FADE_S);
  source.stop(at + FADE_S);
}
