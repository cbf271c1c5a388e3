// The sections of the list: by year as the server made them, or by body region.
import { newestFirst } from "./rows.js";

export class Groups {
  #host;
  #words;
  #sections = new Map();
  #by = "year";

  constructor(host, rows, words) {
    this.#host = host;
    this.#words = words;
    const sections = [...host.querySelectorAll("section:has(> ul.studies > li.study)")];
    if (sections.every((section) => section.matches(".year"))) {
      for (const section of sections) this.#takeOver(section, rows);
    } else {
      // The server grouped by region; the script does that itself.
      this.#by = "lane";
      for (const section of sections) section.remove();
      this.insert(rows.all);
    }
  }

  #takeOver(section, rows) {
    const list = section.querySelector("ul.studies");
    const members = rows.all.filter((row) => list.contains(row.element));
    if (members.length === 0) return;
    this.#sections.set(this.#keyOf(members[0]), { section, list, members });
  }

  get by() {
    return this.#by;
  }

  // Sorts all rows anew by "year" or "lane".
  regroup(by, rows) {
    if (by === this.#by) return;
    this.#by = by;
    for (const { section } of this.#sections.values()) section.remove();
    this.#sections.clear();
    this.insert(rows.all);
  }

  // Puts rows where they belong; those that are there stay where they are, so nothing above the reader moves.
  insert(rows) {
    const byKey = new Map();
    for (const row of rows) {
      const key = this.#keyOf(row);
      if (!byKey.has(key)) byKey.set(key, []);
      byKey.get(key).push(row);
    }
    for (const [key, members] of byKey) this.#insertInto(this.#sections.get(key) ?? this.#open(key, members[0]), members);
  }

  #insertInto(group, rows) {
    for (const row of rows.sort(newestFirst)) {
      // Mostly what arrives is older than all that is there.
      const isLast = group.members.length === 0 || newestFirst(row, group.members.at(-1)) >= 0;
      const at = isLast ? -1 : group.members.findIndex((member) => newestFirst(row, member) < 0);
      if (at < 0) {
        group.list.append(row.element);
        group.members.push(row);
      } else {
        group.members[at].element.before(row.element);
        group.members.splice(at, 0, row);
      }
    }
  }

  // A row took the place of its former self.
  replaced(rows) {
    for (const group of this.#sections.values()) group.members = group.members.map((row) => rows.of(row.uid) ?? row);
  }

  // Hides sections in which every row is filtered away.
  hideEmpty() {
    for (const { section, members } of this.#sections.values()) {
      section.hidden = members.every((row) => row.element.hidden);
    }
  }

  #keyOf(row) {
    if (this.#by === "lane") return row.lanes.join(" ");
    return row.isDated ? row.year : "";
  }

  #open(key, row) {
    const section = document.createElement("section");
    const heading = document.createElement("h2");
    const list = document.createElement("ul");
    section.className = "year";
    list.className = "studies";
    heading.id = `group-${this.#by}-${key.replaceAll(" ", "-") || "undated"}`;
    heading.textContent = this.#title(key, row);
    section.setAttribute("aria-labelledby", heading.id);
    section.append(heading, list);
    const group = { section, list, members: [] };
    const after = [...this.#sections].find(([other]) => this.#order(key) < this.#order(other));
    if (after) after[1].section.before(section);
    else this.#host.append(section);
    this.#sections.set(key, group);
    this.#sections = new Map([...this.#sections].sort(([one], [other]) => (this.#order(one) < this.#order(other) ? -1 : 1)));
    return group;
  }

  #title(key, row) {
    if (this.#by === "lane") return row.lanes.map((lane) => this.#words.lane(lane)).join(" · ");
    return key || this.#words.say("undated");
  }

  // A text that sorts sections: years downwards, undated last; regions as in the page's table, alone before combined.
  #order(key) {
    if (this.#by === "year") return key ? String(99999 - Number(key)).padStart(5, "0") : "~";
    const order = [...this.#words.lanes.keys()];
    return key
      .split(" ")
      .map((lane) => String(order.indexOf(lane) + 1).padStart(2, "0"))
      .join(" ");
  }
}
