/** Asking again and again until what goes on elsewhere is over. */

import { call } from "../signed_in.js";

const POLL_MS = 1500;
const LONGEST_MS = 12_000;

/**
 * What is away for a moment is asked again, less and less often, and told of by `trouble` once, null when it is
 * back; a refusal rejects. Nobody is asked while the page is hidden.
 * @param {string} path
 * @param {{seen: (found: any) => void, trouble: (problem: Error | null) => void, isOver: (found: any) => boolean}} on
 */
export async function follow(path, { seen, trouble, isOver }) {
  let told = null;
  let pause = POLL_MS;
  for (;;) {
    try {
      const found = await call(path);
      if (told !== null) trouble(null);
      told = null;
      pause = POLL_MS;
      seen(found);
      if (isOver(found)) return found;
    } catch (problem) {
      if (problem.status !== 0 && !(problem.status >= 500)) throw problem;
      if (told !== problem.message) trouble(problem);
      told = problem.message;
      pause = Math.min(pause * 2, LONGEST_MS);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    await shown();
  }
}

async function shown() {
  while (document.visibilityState === "hidden") {
    await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
  }
}

/** Whether a task is waiting or being done. */
export const underWay = (state) => state === "queued" || state === "running";
