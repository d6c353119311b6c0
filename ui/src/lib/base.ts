/** What programs are told, from the server's own address; this page's until that is known. */
import type { Status } from '../types';

export const baseUrl = (status: Status | null): string => `${status?.url ?? location.origin}/v1`;
