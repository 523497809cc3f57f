// What the model writes, as Markdown. It is hostile text: raw HTML is shown as text, nothing is loaded from elsewhere (an image
// becomes a link, so that no picture can carry words out), and the result goes through DOMPurify all the same.
import DOMPurify from "dompurify";
import { Marked } from "marked";
import type { Token } from "marked";
import { memo } from "preact/compat";

import { copyText } from "../../web/clipboard";

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (source: string): string => source.replace(/[&<>"']/g, (char) => escapes[char] ?? char);

const SAFE = /^(https?:|mailto:|tel:)/i;

function anchor(href: string, inside: string): string {
  return SAFE.test(href) ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer nofollow">${inside}</a>` : inside;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  async: false,
  renderer: {
    html: ({ text }) => escape(text),
    image: ({ href, text }) => anchor(href, escape(text || href)),
    link({ href, tokens }) {
      return anchor(href, this.parser.parseInline(tokens));
    },
    // A page has one h1 already: headings of an answer begin at h3.
    heading({ tokens, depth }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level} data-depth="${depth}">${this.parser.parseInline(tokens)}</h${level}>`;
    },
    code({ text, lang }) {
      const language = escape((lang ?? "").split(/\s/)[0] ?? "");
      return (
        `<figure class="code"><figcaption><span>${language || "text"}</span>` +
        `<button type="button" class="button quiet small" data-copy>Copy</button></figcaption>` +
        `<pre tabindex="0"><code>${escape(text)}</code></pre></figure>`
      );
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const ALLOWED = {
  ALLOWED_TAGS: [
    ..."a b blockquote br button code del em figcaption figure h3 h4 h5 h6 hr i li ol p pre s span strong".split(" "),
    ..."sub sup table tbody td th thead tr ul".split(" "),
  ],
  ALLOWED_ATTR: ["href", "target", "rel", "class", "data-copy", "data-depth", "type", "tabindex", "align", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

const Block = memo(function Block({ html }: { html: string }) {
  return <div class="md-block" dangerouslySetInnerHTML={{ __html: html }} />;
});

function render(token: Token): string {
  return DOMPurify.sanitize(marked.parser([token]), ALLOWED);
}

// An answer grows at its end: blocks that are whole are rendered once.
const rendered = new Map<string, string>();
const MOST_KEPT = 500;

function renderOnce(token: Token): string {
  // A reference link is resolved by a definition elsewhere, so such a block is not known by its own text alone.
  const key = `${token.type}\n${token.raw}`;
  if (token.raw.includes("][") || token.raw.length > 20_000) return render(token);
  let html = rendered.get(key);
  if (html === undefined) {
    html = render(token);
    if (rendered.size >= MOST_KEPT) rendered.clear();
    rendered.set(key, html);
  }
  return html;
}

async function onClick(event: MouseEvent): Promise<void> {
  if (!(event.target instanceof HTMLElement) || !event.target.matches("[data-copy]")) return;
  const button = event.target;
  const code = button.closest("figure")?.querySelector("code")?.textContent ?? "";
  button.textContent = (await copyText(code)) ? "Copied" : "Not copied";
  window.setTimeout(() => {
    button.textContent = "Copy";
  }, 1600);
}

export function Markdown({ source }: { source: string }) {
  const blocks = marked.lexer(source).filter((token) => token.type !== "space" && token.type !== "def");
  return (
    // The handler is for the Copy buttons inside, which the keyboard reaches by themselves.
    <div class="md" onClick={(event) => void onClick(event)}>
      {blocks.map((token, index) => (
        <Block key={index} html={renderOnce(token)} />
      ))}
    </div>
  );
}
