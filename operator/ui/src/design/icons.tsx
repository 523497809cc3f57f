// Drawn on a grid of 20, one stroke, round ends. Always beside words or on a button with a label, so hidden from screen readers.

const PATHS = {
  plus: "M10 4.5v11M4.5 10h11",
  send: "M10 15.5v-11M5.5 9 10 4.5 14.5 9",
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  close: "m5.5 5.5 9 9m0-9-9 9",
  moon: "M16 11.7A6.5 6.5 0 0 1 8.3 4a6.5 6.5 0 1 0 7.7 7.7Z",
  sun: "M10 6.75a3.25 3.25 0 1 0 0 6.5 3.25 3.25 0 0 0 0-6.5ZM10 2.5v1M10 16.5v1M2.5 10h1M16.5 10h1M4.7 4.7l.7.7M14.6 14.6l.7.7M4.7 15.3l.7-.7M14.6 5.4l.7-.7",
  screen: "M4.5 4h11A1.5 1.5 0 0 1 17 5.5v6a1.5 1.5 0 0 1-1.5 1.5h-11A1.5 1.5 0 0 1 3 11.5v-6A1.5 1.5 0 0 1 4.5 4ZM7.5 16.5h5M10 13v3.5",
  copy: "M8.5 7.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1ZM5.5 12.5h-.5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1h6.5a1 1 0 0 1 1 1v.5",
  check: "m4.5 10.5 3.5 3.5 7.5-8",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  again: "M15.5 8A6 6 0 1 0 16 10.5M16 4.5V8h-3.5",
  warning: "M10 4 17 16H3L10 4ZM10 8.5v3.5M10 14h.01",
  unlocked: "M5.5 9h9a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1ZM7 9V6.5a3 3 0 0 1 5.8-1.1",
  down: "m5.5 8 4.5 4.5L14.5 8",
  bolt: "M11 3 5 11.5h4.5L9 17l6-8.5h-4.5L11 3Z",
  pause: "M7.5 5v10M12.5 5v10",
  backup: "M6 15.5a3.5 3.5 0 0 1-.4-6.97 4.75 4.75 0 0 1 9.17 1.25A3 3 0 0 1 14.5 15.5M10 16.5v-6M7.75 12.5 10 10.25l2.25 2.25",
  device: "M6.5 2.5h7a1 1 0 0 1 1 1v13a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1v-13a1 1 0 0 1 1-1ZM9 15h2",
  laptop: "M5 4.5h10a1 1 0 0 1 1 1v7H4v-7a1 1 0 0 1 1-1ZM2.5 15.5h15",
  terminal: "M4 4h12a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1ZM6 8l2.5 2L6 12M10.5 12.5h3",
  offline: "M3 3l14 14M4.5 9a8 8 0 0 1 3-1.9M12.8 7.2A8 8 0 0 1 15.5 9M7 11.8a4.5 4.5 0 0 1 2-1.1M10 15h.01",
  shield: "M10 3l5.5 2v4.5c0 3.5-2.3 6-5.5 7.5-3.2-1.5-5.5-4-5.5-7.5V5L10 3Z",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      stroke-width={name === "more" ? 2.4 : 1.6}
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
