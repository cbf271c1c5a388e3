// Sequences and codes in metadata that OHIF has naturalised: keywords as keys, sequences as arrays (or one bare item).
export function items(sequence) {
  if (sequence === undefined || sequence === null) return [];
  return Array.isArray(sequence) ? sequence : [sequence];
}

export function codeOf(sequence) {
  return items(sequence)[0]?.CodeValue ?? null;
}

export function meaningOf(sequence) {
  return items(sequence)[0]?.CodeMeaning ?? "";
}

// The concept name of a content item.
export function nameOf(item) {
  return codeOf(item.ConceptNameCodeSequence);
}

export function textOf(content, code) {
  return content.find((item) => nameOf(item) === code)?.TextValue ?? "";
}

// A person's name for people: "Reader, Rita" for "Reader^Rita".
export function personName(name) {
  const value = items(name)[0];
  const alphabetic = typeof value === "string" ? value : (value?.Alphabetic ?? "");
  const [family, ...given] = String(alphabetic).split("^").filter(Boolean);
  return [family, given.join(" ")].filter(Boolean).join(", ");
}
