// Tells the page around the viewer what the shown studies hold beside their pictures, as soon as their metadata is there:
// { event: "contents", study, objects }; each object says its own series. Nothing is asked of the archive for it that the
// viewer did not ask already.
import { imageAt, readKeyObject } from "./key_objects.js";

const NOT_PICTURES = new Set(["SR", "KO", "SEG", "PR", "DOC"]);
// What a person chose to show comes first.
const ORDER = ["KO", "SR", "SEG"];
const SETTLE_MS = 150;

export class StudyContents {
  #page;
  #tell;
  #services = null;
  #timer = null;
  #told = new Map();

  constructor(page, tell) {
    this.#page = page;
    this.#tell = tell;
  }

  extension() {
    return {
      id: "imaging-cds.contents",
      preRegistration: ({ servicesManager }) => {
        this.#services = servicesManager.services;
        const { displaySetService } = this.#services;
        displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, () => this.#soon());
      },
    };
  }

  // Everything once more, for a page that came later than the studies.
  tellAgain() {
    this.#told.clear();
    if (this.#services) this.#report();
  }

  // Series come one by one; a report that came before its pictures can be placed only with them.
  #soon() {
    clearTimeout(this.#timer);
    this.#timer = this.#page.setTimeout(() => this.#report(), SETTLE_MS);
  }

  #report() {
    const displaySets = this.#services.displaySetService.getActiveDisplaySets();
    const pictures = displaySets.filter(isPicture).flatMap(imagesOf);
    for (const study of new Set(displaySets.map(({ StudyInstanceUID }) => StudyInstanceUID))) {
      const others = displaySets.filter((one) => one.StudyInstanceUID === study && !isPicture(one));
      const read = new Map(others.flatMap(imagesOf).map((instance) => [instance.SOPInstanceUID, readKeyObject(instance)]));
      const objects = [...read.values()]
        .filter(Boolean)
        .sort((one, other) => ORDER.indexOf(one.kind) - ORDER.indexOf(other.kind))
        .map((object) => placed(object, pictures));
      const said = JSON.stringify(objects);
      if (this.#told.get(study) === said) continue;
      this.#told.set(study, said);
      this.#tell({ event: "contents", study, objects });
    }
  }
}

// Whether a series (OHIF's display set) is one of pictures.
export function isPicture({ Modality }) {
  return !NOT_PICTURES.has(Modality);
}

function imagesOf(displaySet) {
  return displaySet.images ?? displaySet.instances ?? (displaySet.instance ? [displaySet.instance] : []);
}

// The object with each item's picture in place of its place in space.
function placed({ items, ...object }, pictures) {
  return {
    ...object,
    items: items.map(({ place, ...item }) => {
      const image = imageAt(place, pictures);
      if (!image) return item;
      const { StudyInstanceUID: study, SeriesInstanceUID: series, SOPInstanceUID: instance, InstanceNumber } = image;
      const over = object.kind === "SEG" ? object.series : undefined;
      return { ...item, study, series, instance, over, number: Number(InstanceNumber) || undefined };
    }),
  };
}
