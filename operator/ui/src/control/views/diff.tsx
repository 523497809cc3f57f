// A difference between two versions of a text: lines that went and lines that came.

const KINDS: Readonly<Record<string, readonly [string, string]>> = { "+": ["came", "added: "], "-": ["went", "removed: "], "@": ["at", ""] };

export function Diff({ source }: { source: string }) {
  const lines = source.split("\n").filter((line) => !line.startsWith("---") && !line.startsWith("+++"));
  const came = lines.filter((line) => line.startsWith("+")).length;
  const went = lines.filter((line) => line.startsWith("-")).length;
  return (
    <div class="diff">
      <p class="diff-sum">
        <span class="came">+{came}</span> <span class="went">−{went}</span>
        <span class="sr-only"> lines</span>
      </p>
      <pre tabIndex={0} role="group" aria-label="Changes">
        {lines.map((line, index) => {
          const [kind, word] = KINDS[line.charAt(0)] ?? ["", ""];
          return (
            <span key={index} class={`diff-line ${kind}`}>
              <span class="sr-only">{word}</span>
              {line.startsWith("@@") ? "⋯" : line}
              {"\n"}
            </span>
          );
        })}
      </pre>
    </div>
  );
}
