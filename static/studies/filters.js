// Which rows are shown: by words, modality, region, findings and reports, without asking the server.
import { folded } from "./rows.js";

const DEBOUNCE_MS = 120;

export class Filters {
  #form;
  #rows;
  #words;
  #onChange;
  #timer = null;
  #chips = { family: new Map(), lane: new Map() };

  constructor(form, rows, words, onChange) {
    this.#form = form;
    this.#rows = rows;
    this.#words = words;
    this.#onChange = onChange;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => this.#changed(event));
  }

  get field() {
    return this.#form.elements.find;
  }

  get grouping() {
    return this.#form.elements.group.value;
  }

  // What is chosen, small enough for the history entry.
  get state() {
    return {
      text: this.field.value,
      family: this.#chosen("family"),
      lane: this.#chosen("lane"),
      only: this.#chosen("only"),
      group: this.grouping,
    };
  }

  set state({ text = "", family = [], lane = [], only = [], group = "year" }) {
    this.field.value = text;
    const wanted = { family, lane, only };
    for (const [name, values] of Object.entries(wanted)) {
      for (const box of this.#boxes(name)) box.checked = values.includes(box.value);
    }
    for (const radio of this.#form.querySelectorAll("input[name=group]")) radio.checked = radio.value === group;
  }

  get isActive() {
    const { text, family, lane, only } = this.state;
    return text.trim() !== "" || family.length + lane.length + only.length > 0;
  }

  clear() {
    this.state = { group: this.grouping };
    this.#onChange();
  }

  // The chips for what occurs in the rows, with how many there are.
  refreshChips() {
    this.#refresh("family", (row) => row.families, [...this.#words.families.keys()], (key) => this.#words.family(key).words);
    const lanes = this.#refresh("lane", (row) => row.lanes, [...this.#words.lanes.keys()], (key) => this.#words.lane(key));
    this.#count("finding", (row) => row.hasFinding);
    this.#count("report", (row) => row.hasReport);
    const [more, grouping] = ["#more-filters", ".grouping"].map((which) => this.#form.querySelector(which));
    more.hidden = [...more.querySelectorAll("fieldset")].every((fieldset) => fieldset.hidden);
    grouping.hidden = lanes < 2;
    this.#form.hidden = this.#rows.all.length < 2;
  }

  // Hides what does not fit and returns how many fit.
  apply() {
    const { text, family, lane, only } = this.state;
    const tokens = folded(text).split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of this.#rows.all) {
      const fits =
        (family.length === 0 || row.families.some((one) => family.includes(one))) &&
        (lane.length === 0 || row.lanes.some((one) => lane.includes(one))) &&
        (!only.includes("finding") || row.hasFinding) &&
        (!only.includes("report") || row.hasReport) &&
        tokens.every((token) => row.text.includes(token));
      if (row.element.hidden === fits) row.element.hidden = !fits;
      shown += fits;
    }
    return shown;
  }

  #changed(event) {
    clearTimeout(this.#timer);
    if (event.target === this.field) this.#timer = setTimeout(() => this.#onChange(), DEBOUNCE_MS);
    else this.#onChange();
  }

  #boxes(name) {
    return [...this.#form.querySelectorAll(`input[name=${name}]`)];
  }

  #chosen(name) {
    return this.#boxes(name).flatMap((box) => (box.checked ? [box.value] : []));
  }

  #refresh(name, keysOf, order, wordsOf) {
    const counts = new Map();
    for (const row of this.#rows.all) for (const key of keysOf(row)) counts.set(key, (counts.get(key) ?? 0) + 1);
    const place = (key) => (order.includes(key) ? order.indexOf(key) : order.length - 0.5);
    const keys = [...counts.keys()].sort((one, other) => place(one) - place(other) || (one < other ? -1 : 1));
    const fieldset = this.#form.querySelector(`[data-chips=${name}]`);
    let before = fieldset.querySelector("legend");
    for (const key of keys) {
      const chip = this.#chips[name].get(key) ?? this.#makeChip(name, key, wordsOf(key));
      chip.querySelector(".number").textContent = this.#words.number(counts.get(key));
      // A chip that is moved loses the keyboard's focus, so those in their place stay there.
      if (before.nextElementSibling !== chip) before.after(chip);
      before = chip;
    }
    fieldset.hidden = keys.length < 2;
    return keys.length;
  }

  #makeChip(name, key, words) {
    const chip = document.getElementById("chip").content.firstElementChild.cloneNode(true);
    const box = chip.querySelector("input");
    box.name = name;
    box.value = key;
    chip.querySelector(".words").textContent = words;
    this.#chips[name].set(key, chip);
    return chip;
  }

  #count(value, fits) {
    const box = this.#form.querySelector(`input[name=only][value=${value}]`);
    const count = this.#rows.all.filter(fits).length;
    box.closest(".chip").querySelector(".number").textContent = this.#words.number(count);
    // What all have, or none, is nothing to choose by.
    box.closest(".chip").hidden = (count === 0 || count === this.#rows.all.length) && !box.checked;
    const fieldset = box.closest("fieldset");
    fieldset.hidden = [...fieldset.querySelectorAll(".chip")].every((chip) => chip.hidden);
  }
}
