/**
 * Markdown as HTML that is safe to show: what a model writes is nobody's to trust. It may not style, script, load or send
 * anything; pictures become links to them.
 */
import DOMPurify from 'dompurify';
import { Marked, type Tokens } from 'marked';
import type { Block } from './blocks';

const escape = (text: string): string =>
  text.replace(/[&<>"]/g, (mark) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[mark] ?? mark);

const marked = new Marked({
  gfm: true,
  renderer: {
    heading({ depth, tokens }: Tokens.Heading) {
      // The page and the message have their own above these.
      const tag = `h${Math.min(6, depth + 1)}`;
      return `<${tag}>${this.parser.parseInline(tokens)}</${tag}>`;
    },
    code({ text, lang }: Tokens.Code) {
      const language = lang?.split(/\s/)[0]?.toLowerCase() ?? '';
      return `<pre data-language="${escape(language)}"><code>${escape(text)}</code></pre>`;
    },
    image: ({ href, text }: Tokens.Image) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }: Tokens.Checkbox) => (checked ? '☑ ' : '☐ '),
    table(token: Tokens.Table) {
      const row = (cells: Tokens.TableCell[]) => `<tr>${cells.map((cell) => this.tablecell(cell)).join('')}</tr>`;
      return `<div class="table"><table><thead>${row(token.header)}</thead><tbody>${token.rows.map(row).join('')}</tbody></table></div>`;
    },
  },
});

const TAGS =
  'a b blockquote br code dd del div dl dt em h2 h3 h4 h5 h6 hr i ins kbd li mark ol p pre s small span strong sub sup table tbody td th thead tr u ul';
const purifier = DOMPurify(window);
purifier.setConfig({
  ALLOWED_TAGS: TAGS.split(' '),
  ALLOWED_ATTR: ['href', 'title', 'align', 'start', 'class', 'data-language'],
  ALLOW_DATA_ATTR: false,
  // Nothing but links has to look like one.
  ADD_URI_SAFE_ATTR: ['align', 'start', 'data-language'],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
});
purifier.addHook('afterSanitizeAttributes', (node) => {
  if (node.getAttribute('class') !== 'table') node.removeAttribute('class');
  if (node.tagName === 'TABLE') node.parentElement?.setAttribute('tabindex', '0');
  if (node.tagName !== 'A') return;
  node.setAttribute('target', '_blank');
  node.setAttribute('rel', 'noopener noreferrer');
});

export const lex = (text: string): Block[] => marked.lexer(text);
export const toHtml = (text: string): string => purifier.sanitize(marked.parse(text, { async: false }));
