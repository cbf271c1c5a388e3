// All words that the scripts show stand in the page (templates/smart/list_tools.html); here they are only looked up.
export class Words {
  #texts;
  #language;
  #numbers;
  #monthsFormat;
  #monthsSaid = new Map();
  lanes;
  families;
  #laneOfRegion = new Map();

  constructor(page) {
    this.#texts = page.getElementById("list-words").dataset;
    this.#language = page.documentElement.lang || "en";
    this.#numbers = new Intl.NumberFormat(this.#language);
    this.#monthsFormat = new Intl.DateTimeFormat(this.#language, { year: "numeric", month: "short", timeZone: "UTC" });
    const lanes = [...page.querySelectorAll("#lane-words > li")];
    this.lanes = new Map(lanes.map((item) => [item.dataset.lane, item.textContent]));
    for (const item of lanes) {
      for (const region of item.dataset.regions.split(" ")) this.#laneOfRegion.set(region, item.dataset.lane);
    }
    this.families = new Map(
      [...page.querySelectorAll("#family-words > li")].map((item) => [
        item.dataset.family,
        { words: item.textContent, letters: item.dataset.letters },
      ]),
    );
  }

  // One text with its {places} filled; numbers are written as the language writes them.
  say(name, values = {}) {
    return this.#texts[name].replace(/\{(\w+)\}/g, (place, key) => {
      const value = values[key] ?? place;
      return typeof value === "number" ? this.#numbers.format(value) : value;
    });
  }

  // The text for one or for many things, by `count`.
  sayCounted(name, count, values = {}) {
    return this.say(`${name}${count === 1 ? "One" : "Many"}`, values);
  }

  number(value) {
    return this.#numbers.format(value);
  }

  lane(key) {
    return this.lanes.get(key) ?? key;
  }

  family(key) {
    return this.families.get(key) ?? { words: key.toUpperCase(), letters: key.slice(0, 2).toUpperCase() };
  }

  // The lanes of a row's regions, in the order of the page's table; never empty.
  lanesOf(regions) {
    const found = new Set(regions.map((region) => this.#laneOfRegion.get(region) ?? "other"));
    if (found.size > 1) found.delete("other");
    return found.size ? [...this.lanes.keys()].filter((lane) => found.has(lane)) : ["other"];
  }

  // From the first to the last month of a span, such as "Jan – Mar 2024". Said once for each: formatting is slow.
  months(year, firstMonth, lastMonth) {
    const key = `${year} ${firstMonth} ${lastMonth}`;
    const said = this.#monthsSaid.get(key);
    if (said !== undefined) return said;
    const range = this.#monthsFormat.formatRange(Date.UTC(year, firstMonth), Date.UTC(year, lastMonth));
    this.#monthsSaid.set(key, range);
    return range;
  }
}
