// What the page around the viewer may ask of it (postMessage of our own origin, from the parent window alone), and what
// the viewer tells it. All of it happens inside the running viewer: nothing is loaded anew.
//
// Page to viewer, each with `source: "imaging-cds-page"`:
//   { type: "open", studies: [uid, …], dataSource?, series?, instance?, protocol? }
//   { type: "jump", study, series, instance, over? } `over`: the series of a segmentation, to be drawn over the slice
//   { type: "compare", studies: [current, prior], dataSource? }
//   { type: "contents" }                             asks for "ready" and the "contents" of the studies once more
// Viewer to page, each with `source: "imaging-cds-viewer"`:
//   { event: "ready" }                               commands are taken from now on
//   { event: "first-image", study, instance }        the first picture after each opening has been drawn
//   { event: "jumped", study, instance }             the slice asked for has been drawn
//   { event: "failed", type, reason }                "unknown-command", "not-uids", "not-found", "not-ready"
// A later "open" or "compare" overrules every command that still waits, a later "jump" only an earlier one; nothing more is
// told of what was overruled, nor of a slice that the reader left before its pixels came.
// contents.js, keys.js and main.js tell more: "contents", "leave-images", "session-ended".
import { COMPARE_PROTOCOL } from "./compare_protocol.js";
import { drawOver, imagePlace, instancesOf, picturedImage, showImage } from "./slices.js";

const PAGE = "imaging-cds-page";
const UID = /^[0-9]+(\.[0-9]+)+$/;
const SOURCE_NAME = /^[A-Za-z0-9_-]{1,40}$/;
const PROTOCOLS = new Set([COMPARE_PROTOCOL]);
const TRY_EVERY_MS = 50;
const TRY_FOR_MS = 20000;

export class Commands {
  #page;
  #tell;
  #managers = null;
  #awaitsPicture = true;
  #picture = null;
  #onContents;
  // What each viewport's element has on it: its image's address as of its last drawing.
  #drawn = new WeakMap();
  // How many commands of each kind there were. A later opening overrules all that still waits, a later jump only jumps.
  #turns = { open: 0, jump: 0 };

  // `tell` gets each event for the page around the viewer; `onContents` is called when it asks for the contents again.
  constructor(page, tell, onContents = () => {}) {
    this.#page = page;
    this.#tell = tell;
    this.#onContents = onContents;
    page.addEventListener("message", (event) => {
      const isOurPage = event.origin === page.location.origin && event.source === page.parent && page.parent !== page;
      if (isOurPage && event.data?.source === PAGE) void this.#obey(event.data);
    });
  }

  // Registered after cornerstone's own extension, whose globals it uses.
  extension() {
    return {
      id: "imaging-cds.commands",
      preRegistration: ({ servicesManager, commandsManager }) => {
        this.#managers = { services: servicesManager.services, commandsManager };
        this.#watchPictures();
        this.#page.setTimeout(() => this.#tell({ event: "ready" }));
      },
    };
  }

  async #obey(command) {
    const refusal = faultOf(command);
    if (refusal) return this.#fail(command, refusal);
    if (command.type === "contents") return this.#greet();
    if (command.type === "jump") return this.#jump(command);
    const protocol = command.type === "compare" ? COMPARE_PROTOCOL : command.protocol;
    return this.#open({ ...command, protocol });
  }

  async #open(command) {
    const { studies, series, instance } = command;
    const counts = this.#take("open");
    if (this.#isShown(studies, command.protocol)) return this.#showAgain({ study: studies[0], series, instance });
    const target = { to: viewerRoute(command), options: { replace: true } };
    this.#awaitsPicture = true;
    this.#picture = null;
    const navigate = () => this.#managers.commandsManager.run("navigateHistory", target);
    // Until the viewer has drawn itself for the first time there is nothing that could navigate.
    const isDone = await this.#untilDone(() => this.#managers !== null && didRun(navigate), counts);
    if (!isDone && counts()) this.#fail(command, "not-ready");
  }

  // Whether the command that calls this still counts, asked as often as it likes.
  #take(kind) {
    this.#turns.jump += 1;
    if (kind === "open") this.#turns.open += 1;
    const mine = this.#turns[kind];
    return () => this.#turns[kind] === mine;
  }

  // A page that began to listen only now has missed what was told before.
  #greet() {
    if (this.#managers) this.#tell({ event: "ready" });
    this.#onContents();
  }

  // What is loaded already (ahead of the click, say) is not loaded again.
  #showAgain({ study, series, instance }) {
    if (this.#picture) this.#tell({ event: "first-image", ...this.#picture });
    return instance ? this.#jump({ type: "jump", study, series, instance }) : undefined;
  }

  async #jump(command) {
    const { study, instance } = command;
    const counts = this.#take("jump");
    const isThere = () => this.#managers !== null && imagePlace(this.#managers.services, study, instance);
    const drawn = (viewport) => viewport && this.#drawn.get(viewport.element);
    const isShown =
      (await this.#untilDone(isThere, counts)) && (await showImage(this.#managers, this.#page, command, counts, drawn));
    // What was overruled, or left again, neither counts as shown nor as failed.
    if (!counts() || isShown === null) return;
    if (isShown && command.over) drawOver(this.#managers, command.over);
    if (isShown) this.#tell({ event: "jumped", study, instance });
    else this.#fail(command, "not-found");
  }

  #isShown(studies, protocol) {
    const query = new URLSearchParams(this.#page.location.search);
    const isSame = query.get("StudyInstanceUIDs") === studies.join(",");
    return isSame && (query.get("hangingProtocolId") ?? undefined) === protocol;
  }

  async #untilDone(attempt, counts) {
    const giveUpAt = Date.now() + TRY_FOR_MS;
    while (counts() && Date.now() < giveUpAt) {
      if (attempt()) return true;
      await new Promise((resolve) => this.#page.setTimeout(resolve, TRY_EVERY_MS));
    }
    return false;
  }

  #watchPictures() {
    const { cornerstone } = this.#page;
    const { ELEMENT_ENABLED, IMAGE_RENDERED } = cornerstone.Enums.Events;
    cornerstone.eventTarget.addEventListener(ELEMENT_ENABLED, ({ detail }) =>
      detail.element.addEventListener(IMAGE_RENDERED, () => this.#notePicture(detail.element)),
    );
  }

  #notePicture(element) {
    const viewport = this.#page.cornerstone.getEnabledElement(element)?.viewport;
    const imageId = viewport && picturedImage(viewport);
    this.#drawn.set(element, imageId);
    if (!this.#awaitsPicture) return;
    const { study, instance } = instancesOf(imageId);
    const wanted = new URLSearchParams(this.#page.location.search).get("StudyInstanceUIDs")?.split(",") ?? [];
    if (!wanted.includes(study)) return;
    this.#awaitsPicture = false;
    this.#picture = { study, instance };
    this.#tell({ event: "first-image", study, instance });
  }

  #fail(command, reason) {
    this.#tell({ event: "failed", type: String(command.type), reason });
  }
}

// Why a command is not obeyed; null when it may be.
export function faultOf(command) {
  const isUid = (value) => typeof value === "string" && value.length <= 64 && UID.test(value);
  const mayBeUid = (value) => value === undefined || value === null || isUid(value);
  if (command.type === "contents") return null;
  if (command.type === "jump") {
    const areUids = isUid(command.study) && isUid(command.instance) && mayBeUid(command.series) && mayBeUid(command.over);
    return areUids ? null : "not-uids";
  }
  if (command.type !== "open" && command.type !== "compare") return "unknown-command";
  const { studies, dataSource, protocol } = command;
  if (!Array.isArray(studies) || studies.length === 0 || !studies.every(isUid)) return "not-uids";
  if (command.type === "compare" && studies.length !== 2) return "not-uids";
  if (!mayBeUid(command.series) || !mayBeUid(command.instance)) return "not-uids";
  if (dataSource && !SOURCE_NAME.test(dataSource)) return "unknown-command";
  return protocol && !PROTOCOLS.has(protocol) ? "unknown-command" : null;
}

// The viewer's own address for studies, beneath its base.
export function viewerRoute({ studies, dataSource, series, instance, protocol }) {
  const query = [`StudyInstanceUIDs=${studies.join(",")}`];
  if (series) query.push(`initialSeriesInstanceUID=${series}`);
  if (instance) query.push(`initialSOPInstanceUID=${instance}`);
  if (protocol) query.push(`hangingProtocolId=${protocol}`);
  return `/viewer${dataSource ? `/${dataSource}` : ""}?${query.join("&")}`;
}

function didRun(action) {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
