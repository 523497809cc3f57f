// The views beside the conversation. Each is fetched when it is opened first: the chat never waits for them.
import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "../../design/icons";
import { closePanel } from "../chat/choosing";
import type { Panel } from "../chat/state";

const LOADERS: Readonly<Record<Panel, () => Promise<{ default: ComponentType }>>> = {
  schedule: () => import("../panels/schedule"),
  skills: () => import("../panels/skills"),
  files: () => import("../panels/files"),
  usage: () => import("../panels/usage"),
};
const TITLES: Readonly<Record<Panel, string>> = { schedule: "Schedule", skills: "Skills", files: "Files", usage: "Usage" };

const loaded = signal<Partial<Record<Panel, ComponentType>>>({});
const failed = signal<Panel | undefined>(undefined);

async function load(name: Panel): Promise<void> {
  failed.value = undefined;
  try {
    const view = (await LOADERS[name]()).default;
    loaded.value = { ...loaded.value, [name]: view };
  } catch {
    failed.value = name;
  }
}

export function PanelView({ name }: { name: Panel }) {
  const title = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    title.current?.focus();
    if (loaded.value[name] === undefined) void load(name);
  }, [name]);
  const View = loaded.value[name];
  return (
    <section class="panel" aria-label={TITLES[name]} data-panel={name}>
      <div class="panel-column">
        <div class="panel-top">
          <button type="button" class="button quiet small" onClick={closePanel}>
            <Icon name="back" size={16} />
            Back to the chat
          </button>
        </div>
        <h2 class="panel-title" ref={title} tabIndex={-1}>
          {TITLES[name]}
        </h2>
        {View !== undefined ? (
          <View />
        ) : failed.value === name ? (
          <p class="problem" role="alert">
            This view could not be fetched.{" "}
            <button type="button" class="button small" onClick={() => void load(name)}>
              Try again
            </button>
          </p>
        ) : (
          <div class="skeletons" role="status" aria-label="Loading">
            <div class="skeleton" />
            <div class="skeleton" />
          </div>
        )}
      </div>
    </section>
  );
}
