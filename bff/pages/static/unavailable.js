/** Goes on once the application can be reached, and until then leaves alone whoever is reading this. */

const PAUSE_MS = 10_000;

setInterval(() => void look(), PAUSE_MS);
document.addEventListener("visibilitychange", () => void look());

async function look() {
  if (document.visibilityState === "hidden") return;
  try {
    const { status } = await fetch(location.href, { method: "HEAD", cache: "no-store", redirect: "manual" });
    if (status < 500) location.reload();
  } catch {
    // The gateway is away as well: later.
  }
}
