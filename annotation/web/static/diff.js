// What was changed between two texts, by word, or by character in scripts without spaces.

const UNSPACED = /^(zh|ja|th|lo|my|km)(-|$)/;

export const split = (text, language) =>
  UNSPACED.test(language) ? [...text] : text.split(/(\s+)/).filter(Boolean);

/** Edits that lead from one list to another: [kind, item], kind "same", "ins" or "del". */
export function edits(before, after) {
  const longest = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      longest[i][j] = before[i] === after[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const found = [];
  let i = 0;
  let j = 0;
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) { found.push(["same", before[i]]); i += 1; j += 1; }
    else if (j >= after.length || (i < before.length && longest[i + 1][j] >= longest[i][j + 1])) { found.push(["del", before[i]]); i += 1; }
    else { found.push(["ins", after[j]]); j += 1; }
  }
  return found;
}

/** Shows in element how `after` differs from `before`; nothing of either text is read as HTML. */
export function showDiff(element, before, after, language) {
  const parts = edits(split(before, language), split(after, language)).map(([kind, text]) => {
    if (kind === "same") return document.createTextNode(text);
    const marked = document.createElement(kind);
    marked.textContent = text;
    return marked;
  });
  element.replaceChildren(...parts);
}
