// Slower or faster at the same pitch: waveform similarity overlap-add.
// W. Verhelst and M. Roelands, An overlap-add technique based on waveform similarity (WSOLA), ICASSP 1993.

const FRAME_S = 0.05;
const REACH_S = 0.012; // how far a frame may move to fit
const STEP = 4; // every fourth sample is enough to compare by

/** Where near `wanted` the samples go on most like those at `natural`. */
function bestStart(samples, natural, wanted, reach, length) {
  let best = wanted;
  let bestLikeness = -Infinity;
  const low = Math.max(0, wanted - reach);
  const high = Math.min(samples.length - length, wanted + reach);
  for (let start = low; start <= high; start += STEP) {
    let product = 0;
    let energy = 1e-9;
    for (let i = 0; i < length; i += STEP) {
      product += samples[natural + i] * samples[start + i];
      energy += samples[start + i] ** 2;
    }
    const likeness = product / Math.sqrt(energy);
    if (likeness > bestLikeness) { bestLikeness = likeness; best = start; }
  }
  return best;
}

/** Starts of input frames, one for each hop of the output; found on the first channel, used for all. */
function frameStarts(samples, frame, speed, reach) {
  const hop = frame / 2;
  const latest = Math.max(0, samples.length - frame);
  const starts = [0];
  // Up to the last frame of the output, of which only the first half may still be within it.
  for (let n = 1; (n + 1) * hop < samples.length / speed; n += 1) {
    const natural = Math.min(starts[n - 1] + hop, samples.length - hop);
    const wanted = Math.min(Math.round(n * hop * speed), latest);
    starts.push(Math.min(latest, bestStart(samples, natural, wanted, reach, hop)));
  }
  return starts;
}

/** A buffer that lasts buffer.duration / speed and sounds as high as before. */
export function stretch(buffer, speed) {
  if (speed === 1) return buffer;
  const frame = 2 * Math.round(FRAME_S * buffer.sampleRate / 2);
  const hop = frame / 2;
  const reach = Math.round(REACH_S * buffer.sampleRate);
  const length = Math.max(1, Math.round(buffer.length / speed));
  const { numberOfChannels, sampleRate } = buffer;
  const made = new AudioBuffer({ length, numberOfChannels, sampleRate });
  const starts = frameStarts(buffer.getChannelData(0), frame, speed, reach);
  for (let channel = 0; channel < buffer.numberOfChannels; channel += 1) {
    overlapAdd(buffer.getChannelData(channel), made.getChannelData(channel), starts, frame, hop);
  }
  return made;
}

function overlapAdd(input, output, starts, frame, hop) {
  starts.forEach((start, n) => {
    const last = n === starts.length - 1;
    // The last frame goes on to the end: what is left of the input is played as it is.
    const size = last ? Math.min(input.length - start, output.length - n * hop) : frame;
    for (let i = 0; i < size && n * hop + i < output.length; i += 1) {
      const rising = n === 0 || i >= hop ? 1 : i / hop;
      const falling = last || i < hop ? 1 : 1 - (i - hop) / hop;
      output[n * hop + i] += input[start + i] * rising * falling;
    }
  });
}
