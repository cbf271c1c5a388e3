// Filters the study list in place: by text and by modality. Without JavaScript the whole list stays.
const form = document.getElementById("filters");
const rows = [...document.querySelectorAll("li.study")];
const years = [...document.querySelectorAll("section.year")];
const count = document.getElementById("count");
const nothing = document.getElementById("nothing-found");

function apply() {
  const words = document.getElementById("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = new Set([...form.querySelectorAll("input[name=modality]:checked")].map((box) => box.value));
  let shown = 0;
  for (const row of rows) {
    const modalities = row.dataset.modalities.split(" ");
    const fits =
      words.every((word) => row.dataset.search.includes(word)) &&
      (wanted.size === 0 || modalities.some((code) => wanted.has(code)));
    row.hidden = !fits;
    shown += fits;
  }
  for (const year of years) year.hidden = !year.querySelector("li.study:not([hidden])");
  nothing.hidden = shown > 0;
  count.textContent = shown === rows.length ? original : `${shown} of ${rows.length} studies shown`;
}

const original = count.textContent;
if (form) {
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    form.reset();
    apply();
    document.getElementById("find").focus();
  });
}
