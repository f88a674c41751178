/** Why a plugin could not do what it was asked. */

/**
 * Throw this to say what failed, and whether the same call may succeed later: the server retries only what is
 * retryable, and not before `retryAfterMs`. Anything else that is thrown counts as retryable, and the server shows its
 * stack.
 */
export class PluginError extends Error {
  /**
   * @param {string} message
   * @param {{retryable?: boolean, retryAfterMs?: number}} [how]
   */
  constructor(message, { retryable = false, retryAfterMs = undefined } = {}) {
    super(message);
    this.retryable = retryable;
    this.retryAfterMs = retryAfterMs;
  }
}
