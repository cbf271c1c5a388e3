// The studies as the scripts know them: read once from each <li class="study">, which stays the only place of their words.
const TONES = ["critical", "warning", "info"];

export function folded(text) {
  return text
    .toLowerCase()
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "");
}

function listed(value) {
  return value.split(" ").filter(Boolean);
}

export class StudyRow {
  constructor(element, words) {
    const told = element.dataset;
    this.element = element;
    this.uid = told.uid;
    this.started = told.started;
    this.moment = this.started ? Date.parse(this.started) : NaN;
    this.year = told.year;
    this.regions = listed(told.region);
    this.lanes = words.lanesOf(this.regions);
    this.families = listed(told.families);
    this.text = folded(told.search);
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

// Notes what the reader has unfolded in an element and where in it the keyboard is. What is returned brings both back in the
// element's new content: what stands there in the same words, for something new may stand above it.
export function readersPlaceIn(former) {
  const unfolded = new Set([...former.querySelectorAll("details[open]")].map(identityOf));
  const focused = former.contains(document.activeElement) ? identityOf(document.activeElement) : null;
  return (renewed) => {
    for (const details of renewed.querySelectorAll("details")) details.open = unfolded.has(identityOf(details));
    if (focused === null) return;
    const same = [...renewed.querySelectorAll("a[href], summary, button")].find((one) => identityOf(one) === focused);
    same?.focus({ preventScroll: true });
  };
}

// A link is known by where it leads (a row has two that lead to its images), all else by its words.
function identityOf(element) {
  if (element.matches("a[href]")) return `${element.className} ${element.href}`;
  return (element.closest("details") ?? element).textContent;
}

// Puts a row in the place of its former self; its picture, unfolded report and focus stay.
function keepWhatTheReaderHas(former, element) {
  const picture = former.querySelector(".thumbnail img");
  if (picture) element.querySelector(".thumbnail")?.replaceChildren(picture);
  const bringBack = readersPlaceIn(former);
  former.replaceWith(element);
  bringBack(element);
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
    return element ? this.#byUid.get(element.dataset.uid) : undefined;
  }
}
