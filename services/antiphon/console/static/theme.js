// Runs before the first paint: the theme that was chosen here once, else the system's.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("antiphon-theme");
  } catch {
    // Storage may be blocked; the system's theme is fine then.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
