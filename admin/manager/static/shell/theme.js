// Runs before the first paint, so that a chosen theme does not flash: no module, no imports.
{
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
