// Words of a text: what stands between spaces, and the dictionary's words where a script puts none between them.

const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}\p{Script=Tibetan}]/u;

/** Places where words end, in order. */
function ends(text) {
  if (!UNSPACED.test(text)) return [...text.matchAll(/\S+/g)].map(found => found.index + found[0].length);
  const parts = new Intl.Segmenter("en", {granularity: "word"}).segment(text);
  return [...parts].filter(part => part.isWordLike).map(part => part.index + part.segment.length);
}

export const countWords = text => ends(text).length;

/** The first `most` words, white space as single spaces. */
export const firstWords = (text, most) => text.slice(0, ends(text)[most - 1] ?? text.length).trim().replace(/\s+/g, " ");
