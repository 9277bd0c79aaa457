// Words within a sentence, in scripts with and without spaces between words.

/**
 * Return whether a space follows each word in the text. Recognised words of Chinese, Japanese, Thai and others are parts
 * that follow each other. Where the words are not those of the text, spaces are between all of them.
 * @param {string} text
 * @param {string[]} words
 */
export function spacesAfter(text, words) {
  const spaces = [];
  let place = 0;
  for (const word of words) {
    if (!text.startsWith(word, place)) return words.map(() => true);
    place += word.length;
    const isSpace = /\s/.test(text.charAt(place));
    spaces.push(isSpace);
    while (/\s/.test(text.charAt(place))) place += 1;
  }
  return spaces;
}
