// Enter, wherever the focus is, presses the page's main button.
import { listen } from "./keys.js";

listen({ Enter: () => document.querySelector("[data-enter]").click() });
