import "../design/tokens.css";
import "../design/base.css";
import "./control.css";
import "./views/turn.css";
import "./views/composer.css";

import { render } from "preact";

import { start } from "./chat/living";
import { App } from "./views/app";

const root = document.getElementById("app");
if (root === null) throw new Error("index.html has no #app");
render(<App />, root);
void start();
