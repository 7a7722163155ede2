/**
 * Waits until `condition` gives something true, and returns it. Fails after `seconds`, saying what was waited for: they are
 * for what never comes, not for a slow machine.
 */
export async function until(what, condition, seconds = 150) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
