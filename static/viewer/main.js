// Prepares the page before the viewer's own bundle runs (deferred scripts keep their order, modules included).
import { keepKnownQuery } from "./address.js";
import { AiFindings } from "./ai_findings.js";
import { answerArrayViews } from "./array_views.js";
import { BusyServers } from "./busy.js";
import { Commands } from "./commands.js";
import { viewerConfig } from "./config.js";
import { StudyContents } from "./contents.js";
import { keyCommandsExtension } from "./key_commands.js";
import { leaveByF6 } from "./keys.js";
import { holdUntilShown } from "./hold.js";
import { showEndNotice, showTrouble, tellParent } from "./notice.js";
import { renderingExtension } from "./rendering.js";
import { Recovery } from "./recovery.js";
import { guardRequests } from "./requests.js";
import { ensureStorage } from "./storage.js";
import { TokenKeeper } from "./token.js";
import { ImageTroubles } from "./troubles.js";

const launch = window.imagingCdsViewer;

// The bundle asks for these two globals, which its own index.html would set in inline scripts.
window.PUBLIC_URL = "/";
window.browserImportFunction = (address) => import(address);

ensureStorage(window, ["localStorage", "sessionStorage"]);
answerArrayViews(window);
keepKnownQuery(window);

const keeper = new TokenKeeper({
  tokenPath: launch.tokenPath,
  onEnded: (reason) => {
    showEndNotice(document, reason, launch.newWindowPath);
    tellParent(window, { event: "session-ended", reason });
  },
});
const troubles = new ImageTroubles((trouble) => showTrouble(document, trouble));
const watch = (address) => troubles.watch(address);
const busy = new BusyServers(document, (isCounting) => troubles.hold(isCounting));
const roots = launch.wadoRoots.map((root) => root.root);
const recovery = new Recovery(window, launch.tokenPath.replace(/\/token$/, ""));
guardRequests(window, roots, keeper, watch, holdUntilShown(window), busy, recovery);
keeper.start();
document.addEventListener("visibilitychange", () => keeper.renewIfDue());

const tell = (event) => tellParent(window, event);
const aiFindings = new AiFindings(window, { showsUnsigned: launch.showsUnsignedAi });
const contents = new StudyContents(window, tell);
// A patient or proxy is shown pictures and released reports, no measurements.
const mayTell = launch.showsUnsignedAi;
const commands = new Commands(window, tell, () => mayTell && contents.tellAgain());
const extensions = [renderingExtension(window), keyCommandsExtension(), aiFindings.extension(), commands.extension()];
if (mayTell) extensions.push(contents.extension());
leaveByF6(window, tell);
window.config = viewerConfig(window, launch, keeper, extensions);
