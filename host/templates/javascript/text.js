// Text of bytes. The sandbox's JavaScript is the language alone: there is no TextDecoder, no console, no fetch.

// Decodes UTF-8. Of what is none, all but ASCII is replaced, so that it can still be shown.
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
