// The words for people stand in the viewer's page (templates/viewer/ohif_shell.html), where they can be translated.
export function wordsOf(page, name) {
  const words = page.getElementById("imaging-cds-words")?.content.querySelector(`[data-words="${name}"]`);
  return words?.textContent.trim() ?? "";
}
