/** Who asked, by what a program says of itself: `Zed/0.210`, `OpenAI/Python 2.3.0`; null for any browser. */
export const programOf = (userAgent: string): string | null => (userAgent.startsWith('Mozilla/') ? null : userAgent.split(' (')[0] || userAgent);
