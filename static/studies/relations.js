// After a look at a study, the list marks it and the earlier studies of the same region and kind: its priors.

export function markOpened(uid, rows, words) {
  const opened = uid ? rows.of(uid) : undefined;
  // Without one, the server's marks stay: the address of the list may name the study.
  if (!opened) return;
  for (const row of rows.all) {
    const wanted = row === opened ? "opened" : isPriorOf(row, opened) ? "prior" : null;
    const has = row.isOpened ? "opened" : row.isPrior ? "prior" : null;
    if (wanted === has) continue;
    if (has) unmark(row, has);
    if (wanted) mark(row, wanted, words);
  }
}

function unmark(row, name) {
  const tag = row.element.querySelector(`.tag.${name}`);
  row.element.classList.remove(name);
  delete row.element.dataset[name];
  // With the blank that parts it from the title.
  if (tag?.previousSibling?.nodeType === Node.TEXT_NODE) tag.previousSibling.remove();
  tag?.remove();
}

function isPriorOf(row, opened) {
  return (
    row.isDated &&
    opened.isDated &&
    row.moment < opened.moment &&
    row.regions.some((region) => region !== "other" && opened.regions.includes(region)) &&
    row.families.some((family) => family !== "other" && opened.families.includes(family))
  );
}

function mark(row, name, words) {
  const tag = document.createElement("span");
  tag.className = `tag ${name}`;
  tag.textContent = words.say(name);
  row.element.classList.add(name);
  row.element.querySelector(".title")?.after(" ", tag);
}
