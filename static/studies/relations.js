// After a look at a study, the list marks it and the earlier studies of the same region and kind: its priors.

export function markOpened(uid, rows, words) {
  const opened = uid ? rows.of(uid) : undefined;
  // Without one, the server's marks stay: the address of the list may name the study.
  if (!opened) return;
  unmark(rows);
  mark(opened, "opened", words);
  for (const row of rows.all) if (isPriorOf(row, opened)) mark(row, "prior", words);
}

function unmark(rows) {
  for (const row of rows.all) {
    for (const name of ["opened", "prior"]) {
      row.element.classList.remove(name);
      delete row.element.dataset[name];
      row.element.querySelector(`.tag.${name}`)?.remove();
    }
  }
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
