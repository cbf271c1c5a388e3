// The studies as the scripts know them: read once from each <li class="study">, which stays the only place of their words.
const TONES = ["critical", "warning", "info"];

export function folded(text) {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "");
}

function listed(value) {
  return (value ?? "").split(" ").filter(Boolean);
}

export class StudyRow {
  constructor(element, words) {
    const told = element.dataset;
    this.element = element;
    this.uid = told.uid ?? element.id.replace(/^study-/, "");
    this.started = told.started ?? "";
    this.moment = this.started ? Date.parse(this.started) : NaN;
    this.year = told.year ?? this.started.slice(0, 4);
    this.regions = listed(told.region);
    this.lanes = words.lanesOf(this.regions);
    this.families = listed((told.families ?? told.modalities ?? "").toLowerCase());
    if (this.families.length === 0) this.families = ["other"];
    this.text = folded(told.search ?? element.textContent);
    this.readSlots();
  }

  get isDated() {
    return !Number.isNaN(this.moment) && /^\d{4}$/.test(this.year);
  }

  // Findings and reports may arrive after the row.
  readSlots() {
    const finding = this.element.querySelector(TONES.map((tone) => `.finding.${tone}`).join(","));
    this.finding = this.element.querySelector(".finding strong")?.textContent.trim() ?? null;
    this.tone = finding && TONES.find((tone) => finding.classList.contains(tone));
    this.hasFinding = this.tone !== null;
    this.hasReport = this.element.querySelector(".report") !== null;
  }

  get link() {
    return this.element.querySelector(".title a[href], .images a[href]");
  }

  get title() {
    return this.element.querySelector(".title")?.textContent.trim() ?? "";
  }

  get date() {
    return this.element.querySelector(".date")?.textContent.trim() ?? "";
  }

  get isOpened() {
    return this.element.classList.contains("opened");
  }

  get isPrior() {
    return this.element.classList.contains("prior");
  }
}

// Newest first; a study without a date comes last. The year shown decides first, as on the server.
export function newestFirst(one, other) {
  if (one.isDated !== other.isDated) return one.isDated ? -1 : 1;
  if (!one.isDated) return 0;
  return other.year - one.year || other.moment - one.moment;
}

// Puts a row in the place of its former self; its picture, unfolded report and focus stay.
function keepWhatTheReaderHas(former, element) {
  const picture = former.querySelector(".thumbnail img");
  if (picture) element.querySelector(".thumbnail")?.replaceChildren(picture);
  const unfolded = [...former.querySelectorAll("details")].map((details) => details.open);
  for (const [index, details] of element.querySelectorAll("details").entries()) details.open = unfolded[index] ?? false;
  const focusable = "a[href], summary, button";
  const focused = [...former.querySelectorAll(focusable)].indexOf(document.activeElement);
  former.replaceWith(element);
  if (focused >= 0) element.querySelectorAll(focusable)[focused]?.focus({ preventScroll: true });
}

// All rows of the page, newest first, by UID.
export class StudyRows {
  #byUid = new Map();
  #words;
  all = [];

  constructor(elements, words) {
    this.#words = words;
    this.add(elements);
  }

  // Takes rows in; one that is known already takes the place of its former self. Returns the new rows.
  add(elements) {
    const added = [];
    for (const element of elements) {
      const row = new StudyRow(element, this.#words);
      const known = this.#byUid.get(row.uid);
      if (known) this.#replace(known, row);
      else added.push(row);
      this.#byUid.set(row.uid, row);
    }
    this.all.push(...added);
    this.all.sort(newestFirst);
    return added;
  }

  #replace(known, row) {
    keepWhatTheReaderHas(known.element, row.element);
    this.all[this.all.indexOf(known)] = row;
  }

  of(uid) {
    return this.#byUid.get(uid);
  }

  holding(node) {
    const element = node?.closest?.("li.study");
    return element ? this.#byUid.get(element.dataset.uid ?? "") : undefined;
  }

  get shown() {
    return this.all.filter((row) => !row.element.hidden);
  }
}
