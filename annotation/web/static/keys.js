// Keys for every action. Never while text is composed or typed in a field.

const OFF = "trivox-keys";

export const keysAreOn = () => localStorage.getItem(OFF) !== "off";
export const turnKeys = (on) => localStorage.setItem(OFF, on ? "on" : "off");

/** Whether the key belongs to what has the focus: a text field takes all, a control its own. */
function belongsToFocus(event) {
  const at = event.target;
  if (at.isContentEditable || at.matches("textarea, select, input:not([type=radio]):not([type=checkbox]):not([type=range])")) return true;
  const own = ["Enter", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].includes(event.key);
  if (!own) return false;
  if (at.matches("input")) return event.key !== "Enter";
  return at.matches("button, summary, a, [role=slider]");
}

/** actions: key as in KeyboardEvent.key, letters small -> function. Returns a function that ends the listening. */
export function listen(actions) {
  const onKey = (event) => {
    // 229: some input methods say so instead of isComposing on the first key.
    if (event.isComposing || event.keyCode === 229 || event.repeat) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (document.querySelector("dialog[open]")) return;
    if (!keysAreOn() || belongsToFocus(event)) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action(event);
  };
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}
