// What a script adds to the router's own pages; each of them is whole without it.
import "./pages.css";

import { copyText } from "../web/clipboard";
import { span } from "../web/times";
import { listen } from "../web/events";
import { takeFromHash } from "../web/place";
import { progressOf, readPhase } from "../control/chat/phase";
import type { Phase } from "../control/chat/phase";

const reason = document.querySelector<HTMLElement>(".reason");

function say(words: string): void {
  if (reason !== null) {
    reason.hidden = words === "";
    reason.textContent = words;
  }
}

/** A link `…/#token=…` opened by somebody without a cookie: the token goes to the router, never into its log. */
async function tokenPage(): Promise<void> {
  const token = takeFromHash("token");
  if (token === undefined) return;
  const button = document.querySelector<HTMLButtonElement>("form button");
  if (button !== null) button.disabled = true;
  try {
    const answer = await fetch("/api/login", {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ token, next: location.pathname + location.search }),
    });
    if (answer.ok) {
      location.reload();
      return;
    }
    say(answer.status === 401 ? "The token in this link is not right, or it was changed since." : `The router answered ${answer.status}. Try again.`);
  } catch {
    say("The router did not answer. Check the connection, then try again.");
  }
  if (button !== null) button.disabled = false;
}

function waitingPage(): void {
  const bar = document.querySelector<HTMLElement>(".progress");
  let phase: Phase | undefined;

  const show = (): void => {
    if (phase === undefined || bar === null) return;
    const done = progressOf(phase, Date.now());
    if (done === undefined) bar.removeAttribute("aria-valuenow");
    else {
      bar.setAttribute("aria-valuenow", String(Math.round(done * 100)));
      bar.style.setProperty("--done", String(done));
    }
    const seconds = phase.until === undefined ? undefined : Math.ceil((phase.until - Date.now()) / 1000);
    const rest = seconds === undefined ? "" : seconds < 1 ? "any moment now" : `about ${span(seconds)}`;
    say([phase.message ?? "Waking up", rest].filter(Boolean).join(" · "));
  };

  const timer = window.setInterval(show, 500);
  const end = listen("/api/events", ["phase"], "/api/status", {
    onEvent: (_, data) => {
      phase = readPhase(data, phase, Date.now());
      if (phase?.name === "Awake") {
        window.clearInterval(timer);
        end();
        location.reload();
      } else if (phase?.name === "Failed" || phase?.name === "Suspended") {
        document.body.dataset["failed"] = "";
        window.clearInterval(timer);
        say(phase.message ?? "It could not be started; the administration says why.");
      } else {
        delete document.body.dataset["failed"];
        show();
      }
    },
    onUnauthorized: () => location.reload(),
  });
}

for (const pre of document.querySelectorAll("pre")) {
  const code = pre.querySelector("code")?.textContent ?? "";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", () => {
    void copyText(code).then((done) => {
      button.textContent = done ? "Copied" : "Not copied";
      window.setTimeout(() => {
        button.textContent = "Copy";
      }, 1600);
    });
  });
  pre.append(button);
}

const page = document.body.dataset["page"];
if (page === "token") void tokenPage();
if (page === "waiting") waitingPage();
