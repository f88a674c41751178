/** UTF-8: QuickJS has neither TextEncoder nor TextDecoder. */

export function encodeUtf8(text) {
  const escaped = unescape(encodeURIComponent(text));
  const bytes = new Uint8Array(escaped.length);
  for (let i = 0; i < escaped.length; i++) bytes[i] = escaped.charCodeAt(i);
  return bytes;
}

export function decodeUtf8(bytes) {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 4096) binary += String.fromCharCode(...bytes.subarray(i, i + 4096));
  try {
    return decodeURIComponent(escape(binary));
  } catch {
    // Not UTF-8: as Latin-1, rather than not at all.
    return binary;
  }
}
