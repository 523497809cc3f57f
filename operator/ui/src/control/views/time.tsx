// The time of a message.
import { clockTime, fullTime } from "../../web/times";

export function Time({ at }: { at: number | undefined }) {
  if (at === undefined) return null;
  return (
    <time dateTime={new Date(at).toISOString()} title={fullTime(at)}>
      {clockTime(at)}
    </time>
  );
}
