"""Every terminal state of a launch in plain words: what happened, what the user can do.

All text of these pages is here. None of it depends on what an outside server wrote: its codes stand in the folded details only.
"""

from __future__ import annotations

from dataclasses import dataclass

from smart_app.reasons import Explanation, Reason


@dataclass(frozen=True, slots=True)
class _Advice:
    relaunch: str = "Go back to the patient's chart and open Imaging from there again."
    administrator: str = "Please report this with the reference number to whoever runs this application."
    retry: str = "Wait a moment and try again. If it stays so, report the reference number."


_SAY = _Advice()
RELAUNCH = _SAY.relaunch

EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.LAUNCH_PARAMETERS: Explanation(
        400,
        "The launch is incomplete",
        "An EHR starts this application with two parameters, iss and launch. At least one of them was missing or unusable.",
        _SAY.relaunch,
        "The launch URL must be called as …/launch?iss=<FHIR base>&launch=<handle>. A plain bookmark cannot work.",
    ),
    Reason.UNKNOWN_EHR: Explanation(
        403,
        "This EHR is not known here",
        "The application was started by an EHR that nobody has connected to it. Nothing was sent to that address.",
        _SAY.administrator,
        "The iss above must be configured as the EHR's FHIR base, byte for byte, a trailing slash included.",
    ),
    Reason.NOT_A_STUDY: Explanation(
        400,
        "The link does not name a study",
        "The address of a study carries its Study Instance UID. What stands there is not one.",
        "Open the study from the patient's chart.",
    ),
    Reason.STATE_UNKNOWN: Explanation(
        400,
        "This sign-in cannot be continued",
        "The answer of the EHR does not belong to a sign-in that was begun here, or it was begun too long ago.",
        _SAY.relaunch,
    ),
    Reason.OTHER_BROWSER: Explanation(
        403,
        "This sign-in was begun in another window",
        "The sign-in belongs to another browser or frame, so it is not continued here. Cookies may be blocked in this window.",
        _SAY.relaunch,
        "Where this happens inside an EHR frame, allow partitioned (CHIPS) cookies for this site.",
    ),
    Reason.LAUNCH_USED: Explanation(
        403,
        "This launch was already used",
        "Each start from the chart counts once. The session that this one opened has ended.",
        _SAY.relaunch,
        "If the EHR sends the same launch parameter for several starts, set launch_handles_recur for it.",
    ),
    Reason.LAUNCH_EXPIRED: Explanation(
        400,
        "The launch has expired",
        "Too much time passed between the start from the chart and the sign-in.",
        _SAY.relaunch,
    ),
    Reason.ISSUER_MIX_UP: Explanation(
        403,
        "The answer came from another EHR",
        "The sign-in was begun at one EHR and the answer names another one, so it was refused.",
        _SAY.administrator,
    ),
    Reason.DENIED: Explanation(
        403,
        "Access was not allowed",
        "The EHR reports that access to the record was declined, by you or by a rule of your organisation.",
        "If that was not intended, go back to the patient's chart, open Imaging again and allow access.",
    ),
    Reason.SIGN_IN_FAILED: Explanation(
        403,
        "The sign-in did not succeed",
        "The EHR could not sign you in.",
        "Sign in to the EHR first, then open Imaging from the patient's chart.",
    ),
    Reason.SCOPE_REFUSED: Explanation(
        403,
        "The EHR refused the permissions asked for",
        "The application asked for permissions that this EHR does not give it.",
        _SAY.administrator,
        "Compare the scopes registered at the EHR with those in the settings of this EHR.",
    ),
    Reason.CLIENT_REJECTED: Explanation(
        403,
        "The EHR does not accept this application",
        "The EHR did not recognise the application's registration. Nobody can sign in until that is put right.",
        _SAY.administrator,
        "Compare client id, redirect URI, authentication method and keys with the registration at the EHR. "
        "Some EHRs take up to 15 minutes to apply a change.",
    ),
    Reason.CODE_REFUSED: Explanation(
        403,
        "The sign-in has run out",
        "The EHR's one-time code was no longer valid: it lives about a minute and counts once.",
        _SAY.relaunch,
    ),
    Reason.REQUEST_REFUSED: Explanation(
        403,
        "The EHR did not accept the sign-in request",
        "The EHR refused what this application asked for. The start from the chart may have been used before or be too old, "
        "or the application is not set up as this EHR expects.",
        f"{_SAY.relaunch} If it stays so, report the reference number.",
        "Where it happens at every launch, the request itself is at fault: compare fhir_base, redirect URI and PKCE with the "
        "registration. The aud that was sent is shown above; EHRs refuse one that differs from their FHIR base in a single "
        "character.",
    ),
    Reason.AUTHORIZATION_FAILED: Explanation(
        502,
        "The EHR could not complete the sign-in",
        "The EHR answered with an error.",
        f"{_SAY.relaunch} If it stays so, report the reference number.",
        "The error and the aud that was sent are shown above.",
    ),
    Reason.EHR_UNAVAILABLE: Explanation(
        503,
        "The EHR does not answer",
        "A server of the EHR did not answer in time or is not available.",
        _SAY.retry,
        can_retry=True,
    ),
    Reason.EHR_SERVER_REFUSED: Explanation(
        502,
        "A server of the EHR may not be used",
        "The EHR's configuration names a server that has not been allowed for it, so nothing was sent there.",
        _SAY.administrator,
        "Add the origin above to server_origins of this EHR if it belongs to it.",
    ),
    Reason.NO_CONFIGURATION: Explanation(
        502,
        "The EHR's SMART configuration cannot be read",
        "The EHR did not say where its sign-in is.",
        _SAY.retry,
        "The address that was tried is shown above.",
        can_retry=True,
    ),
    Reason.TOKEN_UNREADABLE: Explanation(
        502,
        "The EHR's answer cannot be used",
        "The sign-in succeeded, but the EHR's answer lacks what the standard requires.",
        _SAY.administrator,
    ),
    Reason.IDENTITY_INVALID: Explanation(
        403,
        "Your identity could not be confirmed",
        "The EHR sent a statement about who you are that does not hold, so the session was not opened.",
        _SAY.administrator,
        "The fault is named above. An EHR whose id_tokens carry another issuer needs it among issuer_aliases.",
    ),
    Reason.NO_PATIENT: Explanation(
        403,
        "No patient was handed over",
        "The EHR allowed access but did not say for which patient. A patient is never guessed.",
        "Open a patient's chart and start Imaging from there.",
        "The token response must carry patient; check that launch or launch/patient is granted to the application.",
    ),
    Reason.TWO_PATIENTS: Explanation(
        403,
        "The EHR named two patients",
        "For the record and for the images the EHR named different patients, so nothing is shown.",
        _SAY.administrator,
        "authorization_details of the token response names another patient for a FHIR base that this application asks.",
    ),
    Reason.SESSION_UNKNOWN: Explanation(
        403,
        "There is no session here",
        "This address belongs to a session that has ended or that was opened in another window.",
        _SAY.relaunch,
    ),
    Reason.SESSION_ENDED: Explanation(
        403,
        "The session has ended",
        "The EHR's permission has run out and could not be renewed. The images are no longer shown.",
        _SAY.relaunch,
        "To stay signed in longer, register and grant online_access for this application.",
    ),
    Reason.PATIENT_CHANGED: Explanation(
        403,
        "The session was stopped: the patient changed",
        "On renewal the EHR named another patient. To exclude a mix-up, this session was closed.",
        _SAY.relaunch,
    ),
    Reason.NO_IMAGING_PERMISSION: Explanation(
        403,
        "The list of studies is not permitted",
        "The EHR signed you in but did not allow this application to search for imaging studies.",
        _SAY.administrator,
        "Grant patient/ImagingStudy.rs (or patient/ImagingStudy.read) to the application.",
    ),
    Reason.IMAGING_UNAVAILABLE: Explanation(
        502,
        "The list of studies cannot be had",
        "The server that knows the patient's imaging studies did not answer as it should. That does not mean there are none.",
        _SAY.retry,
        can_retry=True,
    ),
    Reason.IMAGING_BUSY: Explanation(
        503,
        "The imaging server is busy",
        "The server that knows the patient's imaging studies asked to be given some time. That does not mean there are none.",
        "Wait a moment; the list is asked for again.",
        can_retry=True,
    ),
    Reason.NO_IMAGING_SERVICE: Explanation(
        502,
        "No imaging service is connected",
        "The EHR keeps no list of imaging studies that this application could ask, and no other imaging server is set up. "
        "That does not mean that the patient has no images.",
        "Look for the images in the imaging department's own viewer. " + _SAY.administrator,
        "Set imaging_base of this EHR to the FHIR server that knows its ImagingStudy resources, or have the EHR name one among "
        "the associated_endpoints of its SMART configuration.",
    ),
    Reason.STUDY_NOT_OF_PATIENT: Explanation(
        403,
        "This study is not among this patient's",
        "The study asked for is not in the list of the patient of this session, so it is not opened here.",
        "Check the patient above. Open the study from the chart of the patient it belongs to.",
    ),
    Reason.STUDY_NOT_AVAILABLE: Explanation(
        409,
        "The images of this study cannot be opened",
        "The study is known, but no image server that this application may use is named for it.",
        "The study list says why. Ask the imaging department if the images are needed.",
    ),
    Reason.STUDY_OF_ANOTHER_PERSON: Explanation(
        403,
        "These images seem to be of another person",
        "The EHR lists this study under the patient of this session, but the image archive has it under somebody else. No "
        "image was loaded.",
        "Do not use this study for this patient. Tell the imaging department, which can find out whose images these are.",
        "PatientID or IssuerOfPatientID of the study in the archive differs from the patient's identifier in the EHR "
        "(imaging_server.patient_identifiers). Correct the study in the archive, or its ImagingStudy in the EHR.",
    ),
    Reason.REPORT_NOT_AVAILABLE: Explanation(
        404,
        "This report cannot be opened",
        "The document is not among this patient's reports, may not be read, or cannot be had from the EHR just now.",
        "Close this window. The report's own words, as far as the EHR gives them, stand in the study list.",
    ),
    Reason.VIEWER_MISSING: Explanation(
        503,
        "No viewer is installed",
        "The application runs, but its image viewer has not been installed.",
        _SAY.administrator,
        "Run: python -m imaging_cds viewer",
        can_retry=True,
    ),
    Reason.NOT_SAME_ORIGIN: Explanation(
        403,
        "This request did not come from the application",
        "Another site tried to use this session.",
        _SAY.relaunch,
    ),
    Reason.DISPLAY_REQUEST: Explanation(
        400,
        "The request for images cannot be understood",
        "Another application asked for images in a way that this one cannot read. Nothing was opened.",
        "Open the images from the patient's chart, and report this with the reference number.",
        "The fault is named above. The link must follow IHE Invoke Image Display (RAD-106).",
    ),
    Reason.DISPLAY_OTHER_PATIENT: Explanation(
        403,
        "The images asked for are another patient's",
        "Another application asked for the images of a patient who is not the one open here, so nothing was opened.",
        "Check which patient is open. Open Imaging from the chart of the patient whose images you want.",
    ),
    Reason.DISPLAY_PATIENT_NOT_COMPARED: Explanation(
        403,
        "It cannot be told whose images are asked for",
        "Another application named a patient by a number that this record does not know, so nothing was opened.",
        "Open Imaging from the chart of the patient whose images you want.",
        "patientID must be id^^^issuer, where the issuer is the system of one of the Patient's identifiers in FHIR, and the "
        "application must be allowed to read the Patient.",
    ),
}
