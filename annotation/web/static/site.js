// What every page has: light or dark, languages by their names, forms that speak to the API.
import { send } from "./api.js";


const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");
const kept = localStorage.getItem("trivox-theme");
if (kept) root.dataset.theme = kept;

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const button = document.getElementById("theme");
if (button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem("trivox-theme", root.dataset.theme);
    dispatchEvent(new Event("resize"));
  });
}

export function nameLanguages(within) {
  for (const tag of within.querySelectorAll("[data-language-name]")) {
    try {
      tag.textContent = new Intl.DisplayNames([root.lang], { type: "language" }).of(tag.dataset.languageName);
    } catch { /* no tag that the browser knows: it stays as it is */ }
  }
}
nameLanguages(document);

/** Forms with data-send="METHOD /path": their fields as JSON; then to data-then. What is refused is said in place. */
for (const form of document.querySelectorAll("form[data-send]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [method, path] = form.dataset.send.split(" ");
    const values = [...form.elements].filter((field) => field.name)
      .map((field) => [field.name, "number" in field.dataset ? Number(field.value) : field.value]);
    try {
      await send(method, path, Object.fromEntries(values));
      location.assign(form.dataset.then);
    } catch (error) {
      const problem = form.querySelector(".problem") ?? form.appendChild(document.createElement("p"));
      problem.className = "note bad problem";
      problem.setAttribute("role", "alert");
      problem.textContent = error.message;
    }
  });
}
