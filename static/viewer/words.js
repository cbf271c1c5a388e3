// The words for people stand in the viewer's page (templates/viewer/ohif_shell.html), where they can be translated.
export function wordsOf(page, name) {
  return named(page, name)?.textContent.trim() ?? "";
}

// The words with the elements among them, for a sentence in which something changes.
export function partsOf(page, name) {
  const parts = page.createDocumentFragment();
  parts.append(...(named(page, name)?.cloneNode(true).childNodes ?? []));
  return parts;
}

function named(page, name) {
  return page.getElementById("imaging-cds-words")?.content.querySelector(`[data-words="${name}"]`);
}
