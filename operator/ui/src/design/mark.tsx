// The mark: a tail, plate over plate, the part of the animal that it slips out of when it grows.

export function Mark({ size = 32, tile = true }: { size?: number; tile?: boolean }) {
  return (
    <svg class={tile ? "mark" : "mark bare"} width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      {tile && <rect width="32" height="32" rx="9" class="mark-tile" />}
      <g class="mark-shell" transform="translate(16 16) scale(1.1) translate(-16 -15.7)">
        <path d="M6.6 10.2Q16 3.4 25.4 10.2Q25.6 13 24.2 14.6Q16 9.4 7.8 14.6Q6.4 13 6.6 10.2Z" />
        <path d="M9 16.1Q16 11.9 23 16.1Q22.9 18.4 21.7 19.7Q16 16.3 10.3 19.7Q9.1 18.4 9 16.1Z" opacity=".84" />
        <path d="M14.3 20.4Q16 19.3 17.7 20.4L18.3 26Q16 27.7 13.7 26Z" />
        <path d="M12.9 20.9Q11.3 21.2 10.6 22.2Q8.9 23.7 8.3 25.6Q10.2 27 12.3 26.1Z" opacity=".84" />
        <path d="M19.1 20.9Q20.7 21.2 21.4 22.2Q23.1 23.7 23.7 25.6Q21.8 27 19.7 26.1Z" opacity=".84" />
      </g>
    </svg>
  );
}
