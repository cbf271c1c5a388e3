"""What each demo patient is there to show, as a clinician would give the reason; the chart prints it."""

from collections.abc import Mapping

STORIES: Mapping[str, str] = {
    "demo-a": (
        "The nodule grew from 6 to 9 mm within 12 months: by more than 1.5 mm, so it is growing, and a growing solid nodule of"
        " 8 mm or more is Lung-RADS 4B. The AI saw the same 9 mm without the prior examination and says 4A, which is what 9 mm"
        " would be at a first screening. The signed category counts, the AI's stands beside it as unsigned. For 4B the"
        " management depends on the patient (chest CT, PET/CT or tissue), so nothing is ordered by itself."
    ),
    "demo-b": (
        "A single solid nodule below 6 mm in a patient at low risk needs no routine follow-up by Fleischner 2017, and the"
        " radiologist says the same. The right answer is to say so once, quietly: a CT ordered all the same would be exposure"
        " without use."
    ),
    "demo-c": (
        "A single solid nodule of 6 to 8 mm in a patient at high risk calls for CT at 6 to 12 months and again at 18 to 24."
        " Eight months have passed since the CT that was made for another reason, and nobody has ordered the next one: the"
        " window is open, so a draft order is offered. The chest radiograph that waits to be booked for her cough cannot show"
        " whether such a nodule grows: made in these months, it must not be taken for the CT. A CT booked for after month 12"
        " would come too late."
    ),
    "demo-d": (
        "The CT of abdomen and pelvis in the draft order was made 20 days ago with the same contrast and found no cause of the"
        " pain; whoever orders it again should see that report first. Since then the eGFR has fallen to 27: below 30 he belongs"
        " to those at highest risk from iodinated contrast, so prophylaxis is due if the CT is really needed, and metformin has"
        " to be held until the kidneys have been checked again. None of this forbids the examination."
    ),
    "demo-e": (
        "A pulmonary embolism can kill within hours and is a finding of ACR category 1, to be told to the treating clinician"
        " directly within minutes. The report was signed last night, and neither a Communication nor a section on the"
        " communication of critical results is on record. A missing record does not prove that nobody called, so the card says"
        " just that; it does not count as the call. Before the CT a chest radiograph was made in bed, and nobody has reported"
        " it: whoever discharges her must know that its result is still to come, or it will reach nobody."
    ),
    "demo-f": (
        "The category BI-RADS 3 stands in the words of the report alone. Words are quoted, never turned into a date or an"
        ' order, and the "previously BI-RADS 2" of the same report must not be taken for today\'s result. A further mammography'
        " lies in the archive under a PatientID that is nobody's (a digit is missing): it may be hers, but guessing would put"
        " one woman's images into another's chart, so it stays out until a person has decided."
    ),
}
