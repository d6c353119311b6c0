/** What to paste into a program so that it asks this server, with what is in use already filled in. */

export const languages = ['curl', 'python', 'node'] as const;
export type Language = (typeof languages)[number];

export interface Wanted {
  /** With `/v1`. */
  base: string;
  model: string;
  stream: boolean;
  /** Whether the server asks for a key; it is shown once and known to nobody here. */
  key: boolean;
}

const QUESTION = 'Hello!';
const KEY = 'YOUR_API_KEY';

export const snippet = (language: Language, wanted: Wanted): string => ({ curl, python, node })[language](wanted);

function curl({ base, model, stream, key }: Wanted): string {
  const body = [
    `"model": ${JSON.stringify(model)},`,
    ...(stream ? ['"stream": true,'] : []),
    `"messages": [{"role": "user", "content": ${JSON.stringify(QUESTION)}}]`,
  ];
  const lines = [
    `curl ${stream ? '-N ' : ''}${base}/chat/completions`,
    `-H 'Content-Type: application/json'`,
    ...(key ? [`-H 'Authorization: Bearer ${KEY}'`] : []),
    `-d '{\n    ${body.join('\n    ').replaceAll("'", `'\\''`)}\n  }'`,
  ];
  return lines.join(' \\\n  ');
}

function python({ base, model, stream, key }: Wanted): string {
  const call = [
    'client.chat.completions.create(',
    `    model=${JSON.stringify(model)},`,
    `    messages=[{"role": "user", "content": ${JSON.stringify(QUESTION)}}],`,
    ...(stream ? ['    stream=True,'] : []),
    ')',
  ].join('\n');
  const use = stream
    ? `stream = ${call}\nfor chunk in stream:\n    print(chunk.choices[0].delta.content or "", end="", flush=True)`
    : `answer = ${call}\nprint(answer.choices[0].message.content)`;
  return `from openai import OpenAI\n\nclient = OpenAI(base_url="${base}", api_key="${keyFor(key)}")\n${use}`;
}

function node({ base, model, stream, key }: Wanted): string {
  const call = [
    'await client.chat.completions.create({',
    `  model: ${JSON.stringify(model)},`,
    `  messages: [{ role: "user", content: ${JSON.stringify(QUESTION)} }],`,
    ...(stream ? ['  stream: true,'] : []),
    '});',
  ].join('\n');
  const use = stream
    ? `const stream = ${call}\nfor await (const chunk of stream) process.stdout.write(chunk.choices[0].delta.content ?? "");`
    : `const answer = ${call}\nconsole.log(answer.choices[0].message.content);`;
  return `import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "${base}", apiKey: "${keyFor(key)}" });\n${use}`;
}

const keyFor = (key: boolean): string => (key ? KEY : 'not-needed');
