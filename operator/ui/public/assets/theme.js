// The choice of light or dark, before anything is drawn. A file of its own: the pages' policy admits no inline script.
try {
  const chosen = localStorage.getItem("moltbot.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // No storage here: the system's choice stays.
}
