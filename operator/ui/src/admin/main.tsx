import "../design/tokens.css";
import "../design/base.css";
import "./admin.css";

import { render } from "preact";

import { start } from "./store";
import { App } from "./views/app";

const root = document.getElementById("app");
if (root === null) throw new Error("admin.html has no #app");
render(<App />, root);
void start();
