// Copying. `navigator.clipboard` is missing on plain HTTP; there the old way still works.

export async function copyText(source: string): Promise<boolean> {
  if (navigator.clipboard !== undefined) {
    try {
      await navigator.clipboard.writeText(source);
      return true;
    } catch {
      // Refused (no focus, no permission): try the other way.
    }
  }
  const field = document.createElement("textarea");
  field.value = source;
  field.readOnly = true;
  field.className = "sr-only";
  const before = document.activeElement;
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus();
  }
}
