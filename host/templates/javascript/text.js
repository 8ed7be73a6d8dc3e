// A UTF-8 decoder, because the sandbox's JavaScript has no TextDecoder. It has no console and no fetch either.

// Decodes UTF-8. In malformed text, every byte that is not ASCII is replaced, so that an error can still show the text.
export function decode(bytes) {
  let text = "";
  for (let begin = 0; begin < bytes.length; begin += 4096) {
    text += String.fromCharCode(...bytes.slice(begin, begin + 4096));
  }
  try {
    return /^[\x00-\x7f]*$/.test(text) ? text : decodeURIComponent(escape(text));
  } catch {
    return text.replace(/[^\x00-\x7f]/g, "\ufffd");
  }
}
