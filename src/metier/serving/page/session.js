// What survives a reload of this tab and nothing longer.

const PREFIX = "metier:";

/** Return what was kept under a name; null if nothing was. */
export function recall(name) {
  try {
    return JSON.parse(sessionStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

/** Keep a value under a name (null: forget it), and return whether there was room for it. */
export function keep(name, value) {
  try {
    if (value === null) sessionStorage.removeItem(PREFIX + name);
    else sessionStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    // Full, or switched off: an older value under this name would be wrong after a reload.
    try {
      sessionStorage.removeItem(PREFIX + name);
    } catch {
      // Nothing can be done, and nothing is wrong until the reload.
    }
    return false;
  }
}
